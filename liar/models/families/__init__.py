"""Supported families. To add one, write a file with its :class:`~liar.models.adapter.Adapter` and list it here.

>>> from transformers import BertConfig, BertModel
>>> from liar.models.families import adapt
>>> model = BertModel(BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=48))
>>> [(site.name, site.units) for site in adapt(model).sites()]
[('layers.0.attention', 4), ('layers.0.ffn', 48)]
"""

from __future__ import annotations

from transformers import PreTrainedModel

from liar.errors import UnsupportedModelError
from liar.models.adapter import Adapter
from liar.models.families.bert import BertAdapter
from liar.models.families.llama import LlamaAdapter
from liar.models.ragged import PREFIX
from liar.runtime.devices import devices_of

FAMILIES: list[type[Adapter]] = [LlamaAdapter, BertAdapter]


def family_of(model_type: object) -> type[Adapter]:
    """The adapter for this value of ``config.model_type``; raises :class:`UnsupportedModelError` for an unknown family."""
    known = {name: family for family in FAMILIES for name in family.model_types}
    if (family := known.get(str(model_type).removeprefix(PREFIX))) is None:
        raise UnsupportedModelError(
            f"Models of type {model_type!r} are not supported; choose one of: {', '.join(known)}."
        )
    return family


def adapt(model: PreTrainedModel) -> Adapter:
    """The adapter of a model's family.

    Raises :class:`UnsupportedModelError` for an unknown family, and for a model spread over several devices: its blocks
    are run one module at a time, which bypasses the hooks that move tensors between devices.
    """
    if len(devices := devices_of(model)) > 1:
        raise UnsupportedModelError(
            f"This model is spread over {', '.join(sorted(map(str, devices)))}; load it onto one device, or with "
            "liar.load_model, which streams what does not fit."
        )
    return family_of(model.config.model_type)(model)
