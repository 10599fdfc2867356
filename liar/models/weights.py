"""A checkpoint becomes a network on its device, on the host, or on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from accelerate import cpu_offload, disk_offload, init_empty_weights
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

from liar.errors import ModelNotFoundError, StorageError, UnsupportedModelError
from liar.models.heads import Head, check_gradients, head_of
from liar.models.memory import Work, working_bytes
from liar.models.placement import place
from liar.models.ragged import PREFIX, ragged
from liar.models.source import Source

T = TypeVar("T")

_ALIGNMENT = 64
"""Bytes; torch's own tensors on a CPU begin at multiples of them."""


_AUTO_CLASSES: Mapping[Head, Any] = {
    "none": AutoModel,
    "causal-lm": AutoModelForCausalLM,
    "sequence-classification": AutoModelForSequenceClassification,
    "token-classification": AutoModelForTokenClassification,
    "question-answering": AutoModelForQuestionAnswering,
    "masked-lm": AutoModelForMaskedLM,
}


def auto_class(config: PreTrainedConfig) -> Any:
    """The auto class that keeps the checkpoint's head; raises what :func:`liar.models.heads.head_of` raises."""
    return auto_class_of(config.architectures or [])


def auto_class_of(architectures: Sequence[str]) -> Any:
    """The same for the names of model classes."""
    return _AUTO_CLASSES[head_of(architectures)]


def register_ragged(model_type: str) -> None:
    """Make the auto classes know a ragged checkpoint by our own code, so that none of the checkpoint's is ever run."""
    if not model_type.startswith(PREFIX) or model_type in CONFIG_MAPPING:
        return
    base: Any = CONFIG_MAPPING[model_type.removeprefix(PREFIX)]
    config: Any = None
    for auto in _AUTO_CLASSES.values():
        if base not in auto._model_mapping:
            continue
        made, model = ragged(base, auto._model_mapping[base])
        if config is None:
            config = made
            AutoConfig.register(model_type, config)
        model.config_class = config
        auto.register(config, model)


def load_network(
    source: Source,
    config: PreTrainedConfig,
    dtype: torch.dtype,
    device: torch.device,
    offload_folder: Path | None,
    work: Work,
) -> PreTrainedModel:
    """The model of ``config`` with the weights of ``source``.

    It is on ``device`` when it fits there beside the ``work`` on it, else its weights stay on the host; with
    ``offload_folder`` they stay on disk. Raises :class:`InsufficientMemoryError` when the host is too small, and what
    :func:`explained` raises; where the work takes gradients also :class:`InvalidSpecError`, before a weight is read, where
    no loss reaches the sites.
    """
    head = head_of(config.architectures or [])
    if work.gradients:
        check_gradients(head, streamed=offload_folder is not None)
    if offload_folder is not None and device.type == "cpu":
        # Straight from the checkpoint's own files: the whole model is never in memory.
        return _read(source, config, dtype, device_map={"": "disk"}, offload_folder=str(offload_folder))
    parameters = explained(source, lambda: _count_parameters(config))
    placement = place(parameters, dtype, device, working_bytes(config, dtype, work))
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
    source: Source, config: PreTrainedConfig, adapter: Path, dtype: torch.dtype, device: torch.device, work: Work
) -> PreTrainedModel:
    """The bare encoder of ``source`` with the LoRA adapter, head included, of the folder ``adapter`` merged into it.

    Raises :class:`InsufficientMemoryError` when the host is too small for it, and what :func:`explained` raises.
    """
    from peft import PeftModel

    if not (adapter / "adapter_config.json").is_file():
        raise ModelNotFoundError(
            f"The adapter in {adapter} is missing; make it again with `liar train-adapter {adapter.name}`."
        )
    parameters = explained(source, lambda: _count_parameters(config))
    place(parameters, torch.float32, torch.device("cpu"), working_bytes(config, torch.float32, work))
    network = _read(source, config, torch.float32, may_lack="classifier.")
    _align(network)
    merged: PreTrainedModel = PeftModel.from_pretrained(network, str(adapter)).merge_and_unload()
    cast(nn.Module, merged).to(device=device, dtype=dtype)  # rounded after merging, not before
    return merged


def _read(
    source: Source, config: PreTrainedConfig, dtype: torch.dtype, may_lack: str = "pooler.", **options: Any
) -> PreTrainedModel:
    """``from_pretrained``, but weights that would have to be invented are an error, save those ``may_lack`` names."""
    loader = auto_class(config)
    options |= source.options | {"config": config, "dtype": dtype, "use_safetensors": True}
    network: PreTrainedModel
    network, report = explained(
        source, lambda: loader.from_pretrained(source.path, output_loading_info=True, **options)
    )
    missing = sorted(name for name in report["missing_keys"] if not name.startswith(may_lack))
    if missing:
        raise UnsupportedModelError(
            f"The checkpoint {source.path!r} lacks {len(missing)} weights of its model, {missing[0]} among them; save "
            "it again with save_pretrained."
        )
    if not config.architectures and (lost := sorted(filter(_is_of_a_head, report["unexpected_keys"]))):
        raise UnsupportedModelError(
            f"The config of {source.path!r} names no architecture, so that {lost[0]} would be lost; add the name of its "
            'model class, such as "architectures": ["BertForSequenceClassification"].'
        )
    return network


def _align(network: PreTrainedModel) -> None:
    """Copy the weights that begin where no tensor made by torch would begin, one by one.

    A weight that is mapped from a file begins at any address, and some CPUs add up in another order there: the same model
    would answer differently in the last bits when it is loaded than when it is copied.
    """
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.data_ptr() % _ALIGNMENT:
            tensor.data = tensor.data.clone()


def _is_of_a_head(name: str) -> bool:
    """Old checkpoints also hold a pooler that is not used, and tables that are computed."""
    return not name.startswith("pooler.") and not name.endswith(("position_ids", "inv_freq"))


def _count_parameters(config: PreTrainedConfig) -> int:
    """Every distinct parameter, without allocating one."""
    with init_empty_weights():
        skeleton = auto_class(config).from_config(config)
    skeleton.tie_weights()
    return sum(parameter.numel() for parameter in skeleton.parameters())


def explained(source: Source, load: Callable[[], T]) -> T:
    """Run a loader of transformers; its failures become one sentence.

    Raises :class:`ModelNotFoundError` for missing or damaged files, :class:`UnsupportedModelError` for pickled weights
    and for a config that does not fit.
    """
    try:
        return load()
    except SafetensorError as error:
        raise ModelNotFoundError(f"The weights of {source.path!r} are damaged; download or save them again.") from error
    except OSError as error:
        if SAFE_WEIGHTS_NAME in str(error):  # a missing shard has a longer name
            raise UnsupportedModelError(
                f"{source.path!r} has no safetensors weights, and pickled ones may run code; where you trust it, load it "
                "with from_pretrained of transformers, save model and tokenizer to a new folder with save_pretrained, and "
                "name that folder."
            ) from error
        raise ModelNotFoundError(
            f"The files of {source.path!r} are incomplete or out of reach; check the folder or the network."
        ) from error
    except (ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise UnsupportedModelError(
            f"transformers cannot load {source.path!r} ({reason}); check that its config and weights belong together."
        ) from error
