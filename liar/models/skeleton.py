"""What a config says of a model's sizes, and what it cannot: a model is compared with the one that its config would build.

That one is a skeleton, for which no weight is allocated. A pruned model is *stock* if nothing differs: any loader of its family
reads it. What differs of others is written beside the config (:mod:`liar.models.ragged`).

>>> from liar import load_model
>>> from liar.models.skeleton import sizes_of
>>> sizes_of(load_model("tiny").model).any
False
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from accelerate import init_empty_weights
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from liar.models.ragged import PREFIX
from liar.runtime.offload import resident
from liar.spec import SiteKind

if TYPE_CHECKING:
    from liar.models.adapter import Adapter

Linear = tuple[int, int, bool]
"""Outputs, inputs, and whether there is a bias."""

_READ_FROM_CONFIG = "config.num_attention_heads"
"""Head count that some attentions read from a config of their own (Phi-3)."""


@dataclass(slots=True)
class Sizes:
    """Differences between a model and its skeleton: ``linears`` by name, and size attributes by name of their module.

    ``biases`` are names of linear layers without a bias that have one in the skeleton, where zeros would do, ``new_biases``
    those with one that have none there; ``misfits`` counts all that differs but the first.
    """

    linears: dict[str, Linear] = field(default_factory=dict)
    attributes: dict[str, dict[str, int]] = field(default_factory=dict)
    biases: list[str] = field(default_factory=list)
    new_biases: list[str] = field(default_factory=list)
    misfits: int = 0

    @property
    def any(self) -> bool:
        return bool(self.linears or self.attributes)

    def as_dict(self) -> dict[str, Mapping[str, object]]:
        """The fields of the config of a ragged checkpoint."""
        return {"linears": self.linears, "attributes": self.attributes}


def model_class(model: PreTrainedModel) -> Any:
    """The family's own model class, also for a model loaded from a ragged checkpoint."""
    return type(model).__mro__[1] if str(model.config.model_type).startswith(PREFIX) else type(model)


def skeleton_of(model: PreTrainedModel, config: PreTrainedConfig) -> nn.Module:
    """The model of the same class that ``config`` builds, without weights."""
    family = model_class(model)
    with init_empty_weights():
        return cast(nn.Module, family(family.config_class.from_dict(config.to_dict())))


def sizes_of(model: PreTrainedModel, skeleton: nn.Module | None = None) -> Sizes:
    """Differences between ``model`` and ``skeleton``, by default that of its own config."""
    skeleton = skeleton_of(model, model.config) if skeleton is None else skeleton
    found = Sizes()
    for name, module in cast(nn.Module, model).named_modules():
        plain = skeleton.get_submodule(name)
        if isinstance(module, (nn.Linear, Conv1D)):
            ours, theirs = _linear(module), _linear(plain)
            if ours != theirs:
                found.linears[name] = ours
            if theirs[2] != ours[2]:
                (found.biases if theirs[2] else found.new_biases).append(name)
            found.misfits += (ours[0] != theirs[0]) + (ours[1] != theirs[1]) + (ours[2] > theirs[2])
            continue
        changed = {
            key: value
            for key, value in _numbers(module, model.config).items()
            if _numbers(plain, None).get(key) not in (value, None)
        }
        if changed:
            found.attributes[name] = changed
            found.misfits += len(changed)
    return found


def _linear(module: nn.Module) -> Linear:
    if isinstance(module, Conv1D):
        return module.nf, module.nx, True
    linear = cast(nn.Linear, module)
    return linear.out_features, linear.in_features, linear.bias is not None


def _numbers(module: nn.Module, shared: object) -> dict[str, int]:
    """Whole numbers that a module has, and the head count in a config of its own, which is not the ``shared`` one."""
    found = {key: value for key, value in vars(module).items() if type(value) is int}
    own = vars(module).get("config")
    heads = getattr(own, "num_attention_heads", None)
    return found | ({_READ_FROM_CONFIG: heads} if heads is not None and own is not shared else {})


def fit_config(adapter: Adapter) -> None:
    """Change the config of a pruned model where a model of the changed config is more like it.

    Sizes are changed if all layers have the same; a switch is turned on that gives consumers with a new bias one in the config
    too, and other linear layers that it gives a bias get zeros.
    """
    model, current = adapter.model, sizes_of(adapter.model)
    for changes in _candidates(adapter):
        if not current.any:
            return
        if all(getattr(model.config, name, None) == value for name, value in changes.items()):
            continue
        if (found := _with(model, changes)) is None or found.misfits >= current.misfits:
            continue
        for name, value in changes.items():
            setattr(model.config, name, value)
        for name in found.biases:
            _add_zeros(cast(nn.Linear, cast(nn.Module, model).get_submodule(name)))
        current = sizes_of(model)


def biased_together(adapter: Adapter, kind: SiteKind) -> list[str]:
    """Linear layers that get a bias if the consumers of ``kind`` do, because the config has one switch for all of them.

    Empty if the consumers have a bias, or if the family knows none.
    """
    consumer = adapter.consumer(adapter.site(0, kind))
    name = next(name for name, module in cast(nn.Module, adapter.model).named_modules() if module is consumer)
    if consumer.bias is None:
        for switch in _switches(adapter.config):
            if (found := _with(adapter.model, {switch: True})) is not None and name in found.biases:
                return found.biases
    return []


def adds_bias(adapter: Adapter, sizes: Sizes) -> bool:
    """Whether a consumer has a bias that the family had not: its config knows none, or the linear layers beside it have zeros.

    ``sizes`` are the differences between the model and its skeleton.
    """
    if sizes.new_biases:
        return True
    for site in adapter.layout():
        with resident(adapter.layers[site.layer]):
            others = [producer.module.bias for producer in adapter.producers(site)]
            if adapter.consumer(site).bias is not None and not any(bias is not None and bias.any() for bias in others):
                return True
    return False


def _candidates(adapter: Adapter) -> Iterator[dict[str, Any]]:
    widths = {site.units for site in adapter.layout("ffn")}
    if len(widths) == 1:
        yield {adapter.width_field: widths.pop()}
    heads = {(site.units, site.group, site.unit_size) for site in adapter.layout("heads")}
    if len(heads) == 1:
        units, group, size = heads.pop()
        yield {"head_dim": size, "num_attention_heads": units, "num_key_value_heads": units // group}
    yield from ({switch: True} for switch in _switches(adapter.config))


def _switches(config: PreTrainedConfig) -> list[str]:
    """Fields of the config that may give linear layers a bias and are off."""
    return [name for name, value in config.to_dict().items() if value is False and name.endswith("bias")]


def _with(model: PreTrainedModel, changes: dict[str, Any]) -> Sizes | None:
    """Differences between ``model`` and a model of its config with ``changes``; None if there is no such model."""
    config = copy.deepcopy(model.config)
    try:
        for name, value in changes.items():
            setattr(config, name, value)
        skeleton = skeleton_of(model, config)
    except (ValueError, TypeError):  # the family rejects the sizes
        return None
    both = (cast(nn.Module, model), skeleton)
    names, theirs = ({name for name, _ in each.named_parameters(remove_duplicate=False)} for each in both)
    found = sizes_of(model, skeleton)
    known = names | {f"{name}.bias" for name in found.linears}
    return found if theirs <= known else None


def _add_zeros(linear: nn.Linear) -> None:
    with resident(linear):
        zeros = linear.weight.new_zeros(linear.out_features)
        linear.register_parameter("bias", nn.Parameter(zeros, requires_grad=False))
