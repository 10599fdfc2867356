"""Reading and replacing weights of a model that does not fit its accelerator, one block at a time.

accelerate loads an offloaded weight for one forward and discards changes to it. Pruning reads and replaces weights
between forwards, so a block is made resident for that time; replaced weights are written back to the storage of the old
ones (host memory, or the folder of a disk offload).
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from accelerate.hooks import AlignDevicesHook
from accelerate.utils import OffloadedWeightsLoader, PrefixedDataset, has_offloaded_params, offload_weight
from torch import Tensor, nn
from transformers import PreTrainedModel

_SAMPLED = 64
"""Values of each weight that :func:`fingerprint` reads, at least."""


def is_offloaded(model: nn.Module) -> bool:
    """Whether some weights are on the device only while they are used."""
    return any(has_offloaded_params(module) for module in model.modules())


@contextmanager
def resident(block: nn.Module) -> Iterator[None]:
    """Keep every weight of ``block`` on its execution device inside the context; no effect if it is not offloaded."""
    held: list[tuple[nn.Module, AlignDevicesHook, dict[str, nn.Parameter]]] = []
    try:
        for module in block.modules():
            if has_offloaded_params(module):
                hook: AlignDevicesHook = module._hf_hook  # type: ignore[assignment]
                hook.pre_forward(module)
                hook.offload = False
                held.append((module, hook, dict(module.named_parameters(recurse=False))))
        yield
    finally:
        for module, hook, before in held:
            hook.offload = True
            after = dict(module.named_parameters(recurse=False))
            if after.keys() != before.keys() or any(after[name] is not before[name] for name in after):
                hook.weights_map = _put_back(hook.weights_map, after)
            hook.post_forward(module, None)


def fingerprint(model: nn.Module, *, whole: bool = False) -> str:
    """sha256 of the names, sizes and number formats of all weights and of a sample of their values, also of a streamed model.

    Models with other weights have another one, unless the sample misses what differs; ``whole`` reads all values instead.
    """
    found = hashlib.sha256()
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            stored = getattr(getattr(module, "_hf_hook", None), "weights_map", None)
            values: Tensor = stored[name] if parameter.is_meta and stored else parameter.detach()
            found.update(f"{path}.{name} {tuple(values.shape)} {values.dtype}".encode())
            if whole:
                found.update(values.cpu().flatten().view(torch.uint8).numpy().tobytes())
                continue
            some = values.flatten()[:: max(1, values.numel() // _SAMPLED)]
            found.update(some.cpu().double().numpy().tobytes())
    return found.hexdigest()


def save_weights(
    model: PreTrainedModel,
    folder: Path,
    shard_bytes: int,
    *,
    as_published: bool = True,
    weights: dict[str, Tensor] | None = None,
) -> None:
    """Call ``save_pretrained``, also for a streamed model, whose weights are fetched shard by shard.

    ``as_published``: under the names that checkpoints of the type have, which transformers may map to those of the modules.
    ``weights``: instead of those of ``model``, which is not streamed then.
    """
    if not is_offloaded(model):
        model.save_pretrained(folder, max_shard_size=shard_bytes, state_dict=weights, save_original_format=as_published)
        return
    # Modules that share an offloaded weight have separate placeholders, so transformers cannot detect the sharing.
    state = {name: tensor for name, tensor in model.state_dict().items() if name not in model.all_tied_weights_keys}
    had = getattr(model, "hf_device_map", None)
    model.hf_device_map = had or {"": "cpu"}  # type: ignore[assignment]  # makes transformers fetch the weights
    try:
        with warnings.catch_warnings(action="ignore"):  # about shards that must fit into memory
            model.save_pretrained(
                folder, max_shard_size=shard_bytes, state_dict=state, save_original_format=as_published
            )
    finally:
        if had is None:
            del model.hf_device_map


def _put_back(old: Mapping[str, Tensor], parameters: dict[str, nn.Parameter]) -> Mapping[str, Tensor]:
    """Weights map of the new ``parameters``, stored beside the ``old`` one."""
    tensors = {name: parameter.detach().cpu() for name, parameter in parameters.items()}
    folder = getattr(getattr(old, "dataset", None), "save_folder", None)
    if folder is None:
        return tensors
    prefix = f"pruned.{old.prefix}"  # type: ignore[attr-defined]
    index: dict[str, dict[str, object]] = {}
    for name, tensor in tensors.items():
        offload_weight(tensor, prefix + name, folder, index=index)
    loader: Mapping[str, Tensor] = PrefixedDataset(OffloadedWeightsLoader(save_folder=folder, index=index), prefix)
    return loader
