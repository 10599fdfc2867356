"""Whether an adapter runs a model as the model runs itself: its walk over the blocks against the model's own forward.

The algorithms run a model block by block, in halves. A model whose blocks do something that its adapter does not know, such as
scaling what they add, would be pruned and repaired for another model than the one that is saved. So the two are compared when a
model is loaded, once for a config on this machine, after surgery, and with what a saved checkpoint gives.

>>> from liar import load_model
>>> from liar.models.self_check import largest_difference
>>> largest_difference(load_model("tiny").adapter) < 1e-6
True
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from liar.errors import LiarError, UnsupportedModelError
from liar.files import cache_folder
from liar.models.adapter import Adapter
from liar.presets import title_of
from liar.runtime.devices import Batch, execution_device, without_labels
from liar.runtime.offload import is_offloaded, resident

TOLERANCES = {torch.float64: 1e-4, torch.float32: 1e-4}
"""Largest relative difference of the hidden states behind a block, by the number format of the weights."""

_COARSE = 0.02
"""The same of formats with fewer bits, in which sums in another order differ."""

_ROUNDED = 0.25
"""The same of a checkpoint in another format than the model in memory: a wrong one differs by about 1."""

_SEQUENCES, _LENGTH = 2, 12


def check_walk(adapter: Adapter, *, pruned: bool = False) -> bool:
    """Compare walk and forward of a dense or a ``pruned`` model, with and without padding; False if nothing can be compared.

    Nothing can if the hidden states hold NaN or Inf, which has sentences of its own. A streamed model is compared with padding
    alone: each comparison reads all of its weights twice. Raises :class:`UnsupportedModelError` that names the layer.
    """
    tolerance, kin = _tolerance(adapter.model), title_of(adapter.family)
    what = f"this model of type {adapter.config.model_type!r}"
    way_out = f"{'choose other targets, or ' if pruned else ''}write a family for it, see docs/extending.md."
    for padded in (True,) if is_offloaded(adapter.model) else (False, True):
        try:
            found = list(differences(adapter, padded=padded))
        except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0][:160]
            raise UnsupportedModelError(
                f"The blocks of {what} do not run as those of {kin} ({reason}); {way_out}"
            ) from error
        if None in found:
            return False
        for layer, difference in enumerate(found):
            if difference is not None and difference > tolerance:
                raise UnsupportedModelError(
                    f"Behind layer {layer} {what} differs from what its blocks give, run as those of {kin}: by "
                    f"{difference:.2g} of its hidden states, where {tolerance:g} may be rounding; {way_out}"
                )
    return True


def check_once(adapter: Adapter) -> None:
    """:func:`check_walk` of a loaded model, unless one of the same config has passed on this machine.

    Raises :class:`UnsupportedModelError`.
    """
    marker = cache_folder() / "checked" / _key(adapter)
    if marker.exists() or not check_walk(adapter):
        return
    with suppress(OSError):  # without a place to remember it, the next load checks again
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()


def check_saved(adapter: Adapter, saved: PreTrainedModel, folder: Path) -> None:
    """Compare the walk over a model in memory with the forward of its checkpoint in ``folder``, loaded as ``saved``.

    Raises :class:`LiarError` that names the layer.
    """
    same = adapter.model.dtype == saved.dtype and not getattr(saved.config, "quantization_config", None)
    tolerance = _tolerance(saved) if same else _ROUNDED
    for layer, difference in enumerate(differences(adapter, saved, padded=True)):
        if difference is not None and difference > tolerance:
            raise LiarError(
                f"The checkpoint {folder} would not be the model in memory: behind layer {layer} it differs by "
                f"{difference:.2g} of the hidden states, where {tolerance:g} may be rounding; please report its type."
            )


def largest_difference(adapter: Adapter) -> float:
    """The largest of :func:`differences`, with and without padding; NaN if there is nothing to compare."""
    found = [each for padded in (False, True) for each in differences(adapter, padded=padded)]
    return max((each for each in found if each is not None), default=float("nan"))


@torch.no_grad()
def differences(adapter: Adapter, own: PreTrainedModel | None = None, *, padded: bool) -> Iterator[float | None]:
    """Norm of the difference between the walk and the forward of ``own`` behind each block, as a share of the forward's norm.

    ``own`` is by default the adapter's model. Of the real tokens of two sequences of random tokens; if ``padded``, a third of
    the second is padding. None if the forward is not finite there.
    """
    own = own or adapter.model
    batch = _batch(adapter, padded)
    with _recorded(adapter, own) as outputs:
        device = execution_device(own)
        own.base_model(**{name: tensor.to(device) for name, tensor in without_labels(batch).items()}, use_cache=False)
    stream = adapter.embed(batch)
    for layer, theirs in enumerate(outputs):
        with resident(adapter.layers[layer]):
            for site in adapter.halves(layer):
                adapter.advance(site, stream)
        ours = stream.real(stream.hidden).cpu().double()
        wanted = stream.real(theirs.to(stream.hidden.device)).cpu().double()
        error = (ours - wanted).norm() / wanted.norm()
        yield float(error) if bool(torch.isfinite(wanted).all()) else None


def _batch(adapter: Adapter, padded: bool) -> Batch:
    generator = torch.Generator().manual_seed(0)
    vocabulary = int(adapter.config.vocab_size)
    length = min(_LENGTH, max(3, int(getattr(adapter.config, "max_position_embeddings", None) or _LENGTH) - 4))
    size = (_SEQUENCES, length)
    # the first ids are special tokens in most vocabularies, and some models place a text by its padding id
    ids = torch.randint(min(10, vocabulary - 1), vocabulary, size, generator=generator)
    mask = torch.ones(size, dtype=torch.long)
    if padded:
        mask[1, -(length // 3) :] = 0
        ids[1, -(length // 3) :] = adapter.config.pad_token_id or 0
    return {"input_ids": ids, "attention_mask": mask}


@contextmanager
def _recorded(adapter: Adapter, own: PreTrainedModel) -> Iterator[list[Tensor]]:
    """The hidden states behind each block, in the order of the blocks, of a forward of ``own`` inside the context."""
    outputs: list[Tensor] = []

    def record(_module: nn.Module, _arguments: Any, output: Any) -> None:
        outputs.append(output[0] if isinstance(output, tuple) else output)

    with ExitStack() as stack:
        for block in cast(nn.ModuleList, own.base_model.get_submodule(adapter.layers_path)):
            stack.callback(block.register_forward_hook(record).remove)
        yield outputs


def _tolerance(model: PreTrainedModel) -> float:
    return TOLERANCES.get(model.dtype, _COARSE)


def _key(adapter: Adapter) -> str:
    """Digest of what decides how the blocks run: config, classes, number format, and the versions of the code."""
    model = adapter.model
    code = [version(package) for package in ("liar", "torch", "transformers")]
    known = {name: value for name, value in model.config.to_dict().items() if name not in ("_name_or_path", "id2label")}
    classes = [type(each).__qualname__ for each in (model, adapter)]
    facts = [known, classes, str(model.dtype), model.config._attn_implementation, code]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
