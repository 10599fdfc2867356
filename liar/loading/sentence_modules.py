"""Folders of sentence-transformers: what stands in them beside a transformers model, read without running any of their code.

An embedder lists its pooling and what follows in ``modules.json``; a reranker lists the transformers model alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn
from transformers.utils.hub import cached_file

from liar.errors import UnsupportedModelError
from liar.loading.source import Source
from liar.loading.weights import explained
from liar.models.embedder import POOLINGS, Embedder, Pooling

MODULES = "modules.json"
_PROMPTS = "config_sentence_transformers.json"
_LENGTH = "sentence_bert_config.json"
_OF_MODULE = ("config.json", "model.safetensors")
_MOST_BYTES = 100_000_000
_VECTOR = "sentence_embedding"

_FLAGS: Mapping[str, str] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Flags of older folders, and what they mean today."""

_ACTIVATIONS: Mapping[str, type[nn.Module]] = {
    f"torch.nn.modules.{module}.{kind.__name__}": kind
    for module, kinds in {
        "linear": (nn.Identity,),
        "activation": (nn.Tanh, nn.ReLU, nn.GELU, nn.SiLU, nn.Sigmoid),
    }.items()
    for kind in kinds
}


@dataclass(frozen=True, slots=True)
class SentenceModules:
    """``files`` are all of them but the transformers model, by their path; ``embedder`` is None for a reranker."""

    files: Mapping[str, bytes]
    embedder: Embedder | None


def read_modules(source: Source) -> SentenceModules | None:
    """The modules of a folder or hub model of sentence-transformers; None if it is none.

    Raises :class:`UnsupportedModelError` for a module that would be lost, or whose result could not be measured.
    """
    listed = _read(source, MODULES)
    if listed is None:
        return None
    files = {MODULES: listed}
    settings: dict[str, Any] = {}
    for name in (_PROMPTS, _LENGTH):
        if (content := _read(source, name)) is not None:
            files[name] = content
            settings |= _fields(source, name, content)
    modules = _json(source, MODULES, listed)
    if not isinstance(modules, list) or not all(isinstance(each, Mapping) for each in modules) or not modules:
        raise _refused(source, "has a modules.json that is no list of modules")
    transformer, *rest = modules
    if _kind(transformer) != "Transformer" or transformer.get("path"):
        raise _refused(source, "does not begin with a transformers model at the top of the folder")
    if not rest:
        return SentenceModules(files, None)
    pooling: Pooling | None = None
    dense: list[nn.Module] = []
    for module in rest:
        kind, path = _kind(module), str(module.get("path") or "")
        if ".." in PurePosixPath(path).parts or PurePosixPath(path).is_absolute():
            raise _refused(source, f"has a module outside of its folder, {path!r}")
        own = {
            name: content for name in _OF_MODULE if path and (content := _read(source, f"{path}/{name}")) is not None
        }
        files |= {f"{path}/{name}": content for name, content in own.items()}
        config = _fields(source, f"{path}/config.json", own.get("config.json", b"{}"))
        if kind == "Pooling" and pooling is None:
            pooling = _pooling(source, config)
        elif kind == "Dense" and pooling is not None:
            dense += _dense(source, path, config, own.get("model.safetensors"))
        elif kind != "Normalize" or config.get("module_input_name", _VECTOR) != _VECTOR:
            raise _refused(source, f"has the module {kind}, which would be lost")
    if pooling is None:
        raise _refused(source, "lists no pooling, so that it has no vector for a text; add a module Pooling")
    return SentenceModules(files, _embedder(source, pooling, dense, settings))


def _embedder(source: Source, pooling: Pooling, dense: list[nn.Module], settings: Mapping[str, Any]) -> Embedder:
    prompts, length = settings.get("prompts") or {}, settings.get("max_seq_length")
    if not isinstance(prompts, Mapping) or not isinstance(length, int | None) or length == 0:
        raise _refused(source, "has prompts or a max_seq_length that cannot be read")
    named = {str(name): str(text) for name, text in prompts.items()}
    usual = named.get(str(settings.get("default_prompt_name")), "")
    return Embedder(pooling, nn.Sequential(*dense).eval().requires_grad_(False), named, usual, length)


def _pooling(source: Source, config: Mapping[str, Any]) -> Pooling:
    named = config.get("pooling_mode") or [mode for flag, mode in _FLAGS.items() if config.get(flag)] or "mean"
    modes = [named] if isinstance(named, str) else list(named)
    if not config.get("include_prompt", True):
        raise _refused(source, "leaves its prompt out of the pooling, which cannot be done here")
    if len(modes) == 1 and modes[0] in POOLINGS:
        found: Pooling = modes[0]
        return found
    raise _refused(source, f"pools by {' and '.join(map(str, modes))}; {', '.join(POOLINGS)} can be pruned here")


def _dense(source: Source, path: str, config: Mapping[str, Any], weights: bytes | None) -> list[nn.Module]:
    """The linear layer of a module Dense and its activation."""
    activation = _ACTIVATIONS.get(str(config.get("activation_function", "torch.nn.modules.activation.Tanh")))
    places = {str(config.get(name) or _VECTOR) for name in ("module_input_name", "module_output_name")}
    if activation is None or places != {_VECTOR} or config.get("use_residual"):
        raise _refused(source, f"has a Dense at {path} with an activation or a connection that cannot be computed here")
    try:
        linear = nn.Linear(int(config["in_features"]), int(config["out_features"]), bool(config.get("bias", True)))
        stored = load(weights or b"")
        linear.load_state_dict({name.removeprefix("linear."): each.float() for name, each in stored.items()})
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise _refused(source, f"has a Dense at {path} without fitting safetensors weights") from error
    return [linear, activation()]


def _kind(module: Mapping[str, Any]) -> str:
    """The last part of a module's class, which has moved between versions."""
    return str(module.get("type")).rpartition(".")[2]


def _read(source: Source, name: str) -> bytes | None:
    """A file of the model; None if it has none of this ``name``."""
    options = {key: value for key, value in source.options.items() if key != "trust_remote_code"}
    with explained(source):
        path = cached_file(source.path, name, _raise_exceptions_for_missing_entries=False, **options)
    if path is None:
        return None
    with open(path, "rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise _refused(source, f"has a {name} of more than {_MOST_BYTES:,} bytes")
    return content


def _json(source: Source, name: str, content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise _refused(source, f"has a {name} that is no JSON") from error


def _fields(source: Source, name: str, content: bytes) -> Mapping[str, Any]:
    fields = _json(source, name, content)
    if not isinstance(fields, Mapping):
        raise _refused(source, f"has a {name} without named fields")
    return fields


def _refused(source: Source, why: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"{source.name!r} is a folder of sentence-transformers and {why}; or load its transformers model alone and save that "
        "with save_pretrained to a folder of its own."
    )
