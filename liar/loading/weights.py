"""Loading a checkpoint's network onto its device, or with its weights on the host or on disk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import cpu_offload, disk_offload, init_empty_weights
from accelerate.utils import patch_environment
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.utils import SAFE_WEIGHTS_NAME
from transformers.utils.peft_utils import find_adapter_config_file

from liar.errors import ModelNotFoundError, StorageError, UnsupportedModelError
from liar.loading.source import Source, conversion_of
from liar.models.adapter import Adapter
from liar.models.families import adapt
from liar.models.heads import Head, check_gradients, head_of
from liar.models.ragged import PREFIX, ragged
from liar.runtime.memory import PlannedWork, working_bytes
from liar.runtime.placement import check_room, place

_ALIGNMENT = 64
"""Alignment in bytes of the tensors that torch allocates on a CPU."""

_UNUSED = re.compile(r"^pooler\.|(position_ids|inv_freq)$")
"""Weights that no head needs: old checkpoints have an unused pooler and computed tables."""

_WEIGHT_FILES = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.h5", "*.msgpack", "*.ckpt*")

_AUTO_CLASSES: Mapping[Head, Any] = {
    "none": AutoModel,
    "causal-lm": AutoModelForCausalLM,
    "sequence-classification": AutoModelForSequenceClassification,
    "token-classification": AutoModelForTokenClassification,
    "question-answering": AutoModelForQuestionAnswering,
    "masked-lm": AutoModelForMaskedLM,
}


def auto_class(architectures: Sequence[str] | None) -> Any:
    """The auto class that keeps the head of these model classes; raises the errors of :func:`liar.models.heads.head_of`."""
    return _AUTO_CLASSES[head_of(architectures or [])]


def register_ragged(model_type: str) -> None:
    """Register this package's classes for a ragged checkpoint, so that no code of the checkpoint is ever run."""
    if not model_type.startswith(PREFIX) or model_type in CONFIG_MAPPING:
        return
    base: Any = CONFIG_MAPPING[model_type.removeprefix(PREFIX)]
    config: Any = None
    for auto in _AUTO_CLASSES.values():
        if base not in auto._model_mapping:
            continue
        made, model = ragged(base, auto._model_mapping[base])
        config = model.config_class = config or made  # one for all heads
        auto.register(config, model)
    AutoConfig.register(model_type, config)


def load_network(
    source: Source,
    config: PreTrainedConfig,
    dtype: torch.dtype,
    device: torch.device,
    offload_folder: Path | None,
    work: PlannedWork,
) -> PreTrainedModel:
    """The model of ``config`` with the weights of ``source``.

    The weights are on ``device`` if they fit there beside the ``work``, else on the host; with ``offload_folder`` they
    stay on disk. Raises :class:`InsufficientMemoryError` if the host is too small, :class:`InvalidSpecError` (before a
    weight is read) if the work takes gradients that cannot be computed, and the errors of :func:`explained`.
    """
    head = head_of(config.architectures or [])
    work = replace(work, embeds=head == "none")
    if work.gradients:
        check_gradients(head, streamed=offload_folder is not None)
    parameters, adapter = _skeleton(source, config)
    if offload_folder is not None:
        adapter.check_streams()
    if offload_folder is not None and device.type == "cpu":
        # Directly from the checkpoint's files: the whole model is never in memory.
        return _read(source, config, dtype, device_map={"": "disk"}, offload_folder=str(offload_folder))
    placement = place(parameters, dtype, device, working_bytes(config, adapter.widest, dtype, work))
    if placement == "streamed":
        adapter.check_streams()
    if work.gradients:
        check_gradients(head, streamed=placement == "streamed")
    network = _read(source, config, dtype)
    if offload_folder is not None:
        try:
            disk_offload(network, str(offload_folder), execution_device=device)
        except OSError as error:
            raise StorageError(
                f"The weights cannot be written to {offload_folder} ({error.strerror}); choose another folder or disk."
            ) from error
    elif placement == "streamed":
        cpu_offload(network, execution_device=device)
    else:
        _align(network)
        cast(nn.Module, network).to(device)
    return network


def load_classifier(
    source: Source, config: PreTrainedConfig, adapter: Path, dtype: torch.dtype, device: torch.device, work: PlannedWork
) -> PreTrainedModel:
    """The bare encoder of ``source`` with the LoRA adapter and head of the folder ``adapter`` merged into it.

    Raises :class:`ModelNotFoundError` without adapter, :class:`InsufficientMemoryError` if the host or the ``device`` is
    too small, and the errors of :func:`explained`.
    """
    from peft import PeftModel

    if not (adapter / "adapter_config.json").is_file():
        raise ModelNotFoundError(f"The adapter in {adapter} is missing; install the package anew.")
    parameters, bare = _skeleton(source, config)
    working, is_host = working_bytes(config, bare.widest, dtype, work), device.type == "cpu"
    # The adapter is merged on the host, the work is done on the device.
    place(parameters, torch.float32, torch.device("cpu"), working if is_host else 0)
    if not is_host:
        check_room(parameters * dtype.itemsize + working, device)
    network = _read(source, config, torch.float32, may_lack=("classifier.", "qa_outputs."))
    _align(network)
    merged: PreTrainedModel = PeftModel.from_pretrained(network, str(adapter)).merge_and_unload()
    cast(nn.Module, merged).to(device=device, dtype=dtype)  # cast after merging, which is done in fp32
    return merged


def _read(
    source: Source,
    config: PreTrainedConfig,
    dtype: torch.dtype,
    may_lack: str | tuple[str, ...] = "pooler.",
    **options: Any,
) -> PreTrainedModel:
    """Call ``from_pretrained``; missing weights are an error unless their names begin with ``may_lack``."""
    # transformers would add the layers of an adapter, also from a pickle; on the Hub it would load another model than this.
    with explained(source):
        adapter = find_adapter_config_file(source.path, revision=source.revision, local_files_only=source.local_only)
    if adapter:
        raise UnsupportedModelError(
            f"{source.name!r} is an adapter or has one beside its weights; merge it with merge_and_unload of peft, save model "
            "and tokenizer to a new folder with save_pretrained, and name that folder."
        )
    loader = auto_class(config.architectures)
    options |= source.options | {"config": config, "dtype": dtype, "use_safetensors": True}
    network: PreTrainedModel
    # Otherwise transformers replaces pickled weights of the Hub by those of the first pull request of the right title, or has
    # one made by a service on the Hub and waits without a limit. The variable is the only switch.
    with patch_environment(DISABLE_SAFETENSORS_CONVERSION="1"), explained(source):
        network, report = loader.from_pretrained(source.path, output_loading_info=True, **options)
    missing = sorted(name for name in report["missing_keys"] if not name.startswith(may_lack))
    if missing:
        raise UnsupportedModelError(
            f"The checkpoint {source.name!r} lacks {len(missing)} weights of its model, {missing[0]} among them; save "
            "it again with save_pretrained."
        )
    if not config.architectures and (
        lost := sorted(name for name in report["unexpected_keys"] if not _UNUSED.search(name))
    ):
        raise UnsupportedModelError(
            f"The config of {source.name!r} names no architecture, so that {lost[0]} would be lost; add the name of its "
            'model class, such as "architectures": ["BertForSequenceClassification"].'
        )
    return network


def _align(network: PreTrainedModel) -> None:
    """Copy, one by one, the weights that are not aligned like tensors allocated by torch.

    A weight mapped from a file begins at any address, and if unaligned some CPUs add it in another order: results of a
    loaded model and of its copy would differ in the last bits.
    """
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.data_ptr() % _ALIGNMENT:
            tensor.data = tensor.data.clone()


def _skeleton(source: Source, config: PreTrainedConfig) -> tuple[int, Adapter]:
    """Number of distinct parameters, without allocating them, and the adapter of a model without weights."""
    with explained(source):
        with init_empty_weights():
            skeleton = auto_class(config.architectures).from_config(config)
        skeleton.tie_weights()
        return sum(parameter.numel() for parameter in skeleton.parameters()), adapt(skeleton)


@contextmanager
def explained(source: Source) -> Iterator[None]:
    """Turn the failures of a loader of transformers into one-sentence errors.

    Raises :class:`ModelNotFoundError` for missing or damaged files, :class:`UnsupportedModelError` for pickled weights
    (with the pull request that offers converted ones, if the Hub has one) and for a config that does not fit.
    """
    try:
        yield
    except SafetensorError as error:
        raise ModelNotFoundError(f"The weights of {source.name!r} are damaged; download or save them again.") from error
    except OSError as error:
        if source.local_only and not any(any(Path(source.path).glob(pattern)) for pattern in _WEIGHT_FILES):
            raise ModelNotFoundError(
                f"{source.name!r} has a config and no weights; add its safetensors, or name the folder or id that has them."
            ) from error
        if SAFE_WEIGHTS_NAME in str(error):  # a missing shard has a longer name
            converted = conversion_of(source)
            way_out = (
                "where you trust it, load it with from_pretrained of transformers, save model and tokenizer to a new folder "
                "with save_pretrained, and name that folder."
                if converted is None
                else f"the Hub's conversion bot offers them as safetensors in a pull request, so load it as {converted}."
            )
            raise UnsupportedModelError(
                f"{source.name!r} has no safetensors weights, and pickled ones may run code; {way_out}"
            ) from error
        raise ModelNotFoundError(
            f"The files of {source.name!r} are incomplete or out of reach; check the folder or the network."
        ) from error
    except (ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise UnsupportedModelError(
            f"transformers cannot load {source.name!r} ({reason}); check that its config and weights belong together."
        ) from error
