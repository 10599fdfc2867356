"""Loading a model by name: a demo model, a local folder, or any hub id, with or without @revision.

>>> from transformers import ByT5Tokenizer, LlamaConfig, LlamaForCausalLM
>>> sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
>>> LlamaForCausalLM(LlamaConfig(vocab_size=384, **sizes)).save_pretrained("tiny")
>>> _ = ByT5Tokenizer().save_pretrained("tiny")
>>> from liar.loading.catalog import load_model
>>> loaded = load_model("tiny")
>>> loaded.task, len(loaded.adapter.sites("ffn"))
('perplexity', 2)
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    GPT2ForSequenceClassification,
    OPTForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_layers import GenericForSequenceClassification

from liar.errors import ModelNotFoundError, UnsupportedModelError
from liar.files import ASSETS
from liar.loading.demo_bundle import OnProgress, bundle_folder, fetch_demo
from liar.loading.notices import fetch_notices
from liar.loading.sentence_modules import SentenceModules, read_modules
from liar.loading.source import Source, cached_folder, find_model, local_folder, read_config, weight_bytes
from liar.loading.weights import explained, load_classifier, load_network, register_ragged
from liar.models.embedder import Embedder
from liar.models.families import adapt
from liar.models.heads import architecture_for, head_of, serves, task_for
from liar.models.loaded import LoadedModel
from liar.models.self_check import check_once
from liar.presets import DEMO, OF_AN_EMBEDDER, PRESETS, Preset, meant, preset_of
from liar.runtime.devices import execution_device
from liar.runtime.memory import PlannedWork
from liar.runtime.placement import choose_device, choose_dtype
from liar.runtime.quiet import quiet_transformers
from liar.spec import PruneSpec
from liar.tasks.record import Task
from liar.tasks.registry import TASKS, task_named

ADAPTERS = ASSETS / "adapters"
"""Folder of the LoRA adapters: one subfolder for each task that the bare MiniLM was fine-tuned for."""

_TOKENIZER_FILES = ("tokenizer*", "vocab*", "merges.txt", "*.model", "*.tiktoken", "tekken.json")


_MEAN = (
    "The checkpoint does not say how its states become the vector of a text, so it is taken as an embedder with mean "
    "pooling."
)

_READ_LAST = (GenericForSequenceClassification, GPT2ForSequenceClassification, OPTForSequenceClassification)
"""Classifiers that read the last token of a text."""


def load_model(
    model: str,
    device: str = "auto",
    dtype: str = "auto",
    *,
    offload_folder: Path | None = None,
    work: PlannedWork | None = None,
    on_progress: OnProgress | None = None,
) -> LoadedModel:
    """Load ``model`` in evaluation mode; for a demo model fetch the demo bundle if it is missing.

    A hub id may end in the name of a branch, tag, commit or pull request: ``owner/name@refs/pr/3``.

    If the model does not fit the accelerator's free memory, its weights stay on the host and are streamed; with
    ``offload_folder`` they stay on disk on any device (the small demo classifiers are never offloaded). Memory is left
    for ``work``, by default a run with default choices and no backward pass; if it takes gradients that cannot be
    computed, the model is refused before its weights are read.

    The checkpoint's head is kept; one that cannot be kept is an error, and so is a model that does not run as its family does
    (:mod:`liar.models.self_check`). Raises :class:`ModelNotFoundError`,
    :class:`UnsupportedModelError`, :class:`InsufficientMemoryError` or :class:`InvalidSpecError`, and for demo models
    the errors of :func:`liar.loading.demo_bundle.fetch_demo`.
    """
    report = on_progress or (lambda message, fraction: None)
    target = choose_device(device)
    precision = choose_dtype(dtype, target)
    work = work or PlannedWork()
    preset = preset_of(model)
    source = _source(model, preset, on_progress)
    register_ragged(str(read_config(source)["model_type"]))
    modules = read_modules(source)
    fetch_notices(source)
    report(f"Loading {model}", 0.0)
    with quiet_transformers():
        with explained(source):
            config = AutoConfig.from_pretrained(source.path, **source.options)
        if modules is not None and modules.embedder is not None:  # a head for training stays behind
            config.architectures = [cast(type, AutoModel._model_mapping[type(config)]).__name__]
        tokenizer = _tokenizer(source, config)
        if preset is None or preset.adapter is None:
            network = load_network(source, config, precision, target, offload_folder, work)
        else:
            _give_head(config, task_named(preset.adapter))
            network = load_classifier(source, config, ADAPTERS / preset.adapter, precision, target, work)
    network.eval()
    _settle_padding(model, network, tokenizer)
    adapter = adapt(network)
    check_once(adapter)
    report(f"Loaded {model}", 1.0)
    loaded = LoadedModel(model, network, tokenizer, adapter, _task(config, preset, modules))
    loaded.beside = {} if modules is None else modules.files
    loaded.embedder = _embedder(loaded, modules, is_known=preset is not None)
    return loaded


def _embedder(loaded: LoadedModel, modules: SentenceModules | None, *, is_known: bool) -> Embedder | None:
    """How a model without a head makes the vector of a text; of a preset ``is_known`` that it takes the mean."""
    if loaded.head != "none":
        return None
    if modules is None or modules.embedder is None:
        return Embedder(note=None if is_known else _MEAN)
    modules.embedder.dense.to(execution_device(loaded.model))
    return modules.embedder


def usual_allocation(model: str) -> str:
    """The allocation of a recipe for ``model`` that names none; raises what :func:`load_model` raises for a missing model."""
    preset = preset_of(model)
    if preset is not None:
        return preset.allocation
    source = find_model(model)
    config, modules = read_config(source), read_modules(source)
    is_pooled = modules is not None and modules.embedder is not None
    embeds = is_pooled or head_of(config.get("architectures") or []) == "none"
    return OF_AN_EMBEDDER if embeds else PruneSpec().allocation


def _source(model: str, preset: Preset | None, on_progress: OnProgress | None) -> Source:
    if preset is not None and preset.weights is not None:
        return Source(str(fetch_demo(on_progress) / preset.weights.folder), local_only=True)
    if model.startswith(DEMO):
        known = ", ".join(preset.id for preset in PRESETS if preset.weights is not None)
        advice = meant(model) or f"choose one of: {known}."
        raise ModelNotFoundError(f"There is no demo model {model!r}; {advice}")
    return find_model(model)


def _tokenizer(source: Source, config: PreTrainedConfig) -> PreTrainedTokenizerBase:
    folder = Path(source.path)
    tokenizer: PreTrainedTokenizerBase | None = None
    if not folder.is_dir() or any(file for pattern in _TOKENIZER_FILES for file in folder.glob(pattern)):
        with explained(source):
            tokenizer = AutoTokenizer.from_pretrained(source.path, config=config, **source.options)
    # Without files, transformers generates one that has only special tokens.
    if tokenizer is None or set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        raise ModelNotFoundError(
            f"{source.name!r} has no tokenizer; add the one that the model was trained with, by "
            'AutoTokenizer.from_pretrained("ITS ID").save_pretrained("A FOLDER") of transformers, beside config and weights.'
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = _padding(tokenizer)
    return tokenizer


def _padding(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Padding token for a tokenizer without one: the end token, unless the tokenizer appends it to every text.

    Some classifiers read the last token of a text that is not padding, so a text must not end with the padding token.
    """
    last = tokenizer("a")["input_ids"][-1:]
    found = [tokenizer.eos_token, tokenizer.unk_token, tokenizer.bos_token]
    return next((token for token in found if token and [tokenizer.convert_tokens_to_ids(token)] != last), None)


def _settle_padding(model: str, network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Copy the tokenizer's padding token to the config: some classifiers need it to find the last token of a text."""
    reads_last = isinstance(network, _READ_LAST)
    if reads_last and tokenizer.pad_token_id is None:
        raise UnsupportedModelError(
            f"{model!r} is a classifier that reads the last token of a text, and its tokenizer has no token to pad with; set "
            "tokenizer.pad_token to one that no text has and save it with the model."
        )
    if reads_last or network.config.pad_token_id is None:
        network.config.pad_token_id = tokenizer.pad_token_id


def _give_head(config: PreTrainedConfig, task: Task) -> None:
    """Turn the config of the bare encoder into that of the model for ``task``."""
    assert task.head is not None, "only tasks with a head have adapters"
    if task.head != "span":
        labels = task.labels or ("score",)
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: index for index, label in enumerate(labels)}
    config.architectures = [f"Bert{architecture_for(task.head)}"]


def _task(config: PreTrainedConfig, preset: Preset | None, modules: SentenceModules | None) -> str | None:
    if preset is not None and preset.weights is not None:
        return preset.task
    if modules is not None and serves(head_of(config.architectures or []), config, "rerank"):
        return "wiki-rerank"
    found = task_for(head_of(config.architectures or []), config, [task for task in TASKS if task.is_bundled])
    return found.name if found is not None else None


def bytes_on_disk(model: str) -> int | None:
    """Bytes of the safetensors that :func:`load_model` read for ``model``; None if they are not found."""
    folder, preset = folder_of(model), preset_of(model)
    adapter = ADAPTERS / preset.adapter if preset is not None and preset.adapter is not None else None
    return sum(weight_bytes(place) for place in (folder, adapter) if place is not None) or None


def folder_of(model: str) -> Path | None:
    """Folder of the files that :func:`load_model` read for ``model``; None if it is not found."""
    preset = preset_of(model)
    if preset is not None and preset.weights is not None:
        folder = bundle_folder() / preset.weights.folder
        return folder if folder.is_dir() else None
    return local_folder(model) or cached_folder(model)
