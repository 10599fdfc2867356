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
from liar.models.families.deberta import DebertaAdapter
from liar.models.families.distilbert import DistilBertAdapter
from liar.models.families.gemma import GemmaAdapter
from liar.models.families.gpt2 import Gpt2Adapter
from liar.models.families.granite import GraniteAdapter
from liar.models.families.llama import LlamaAdapter
from liar.models.families.modernbert import ModernBertAdapter
from liar.models.families.mpnet import MPNetAdapter
from liar.models.families.nomic_bert import NomicBertAdapter
from liar.models.families.olmo2 import Olmo2Adapter
from liar.models.families.opt import OptAdapter
from liar.models.families.phi3 import Phi3Adapter
from liar.models.families.qwen3_5 import Qwen35Adapter
from liar.models.ragged import PREFIX
from liar.presets import title_of
from liar.runtime.devices import devices_of

FAMILIES: list[type[Adapter]] = [
    LlamaAdapter,
    BertAdapter,
    GraniteAdapter,
    GemmaAdapter,
    Olmo2Adapter,
    Phi3Adapter,
    Qwen35Adapter,
    Gpt2Adapter,
    OptAdapter,
    DistilBertAdapter,
    MPNetAdapter,
    DebertaAdapter,
    ModernBertAdapter,
    NomicBertAdapter,
]


TRIED: tuple[type[Adapter], ...] = (LlamaAdapter, BertAdapter)
"""Families whose modules models of types that are not listed may have."""


def family_of(model_type: object) -> type[Adapter] | None:
    """The adapter for this value of ``config.model_type``; None for a type that is not listed."""
    known = {name: family for family in FAMILIES for name in family.model_types}
    return known.get(str(model_type).removeprefix(PREFIX))


def note_of(adapter: Adapter) -> str | None:
    """A sentence on a model whose type is not listed."""
    if family_of(adapter.config.model_type) is not None:
        return None
    kin = title_of(adapter.family)
    return f"{adapter.config.model_type} is not a listed type; it runs as {kin}, checked against its own forward."


def adapt(model: PreTrainedModel) -> Adapter:
    """The adapter of a model's family; of a type that is not listed, that of the family whose modules it has.

    Whether it runs as one of that family, :mod:`liar.models.self_check` decides. Raises :class:`UnsupportedModelError` for a
    model without such modules, and for one spread over several devices: its blocks are run one module at a time, which bypasses
    the hooks that move tensors between devices.
    """
    if len(devices := devices_of(model)) > 1:
        raise UnsupportedModelError(
            f"This model is spread over {', '.join(sorted(map(str, devices)))}; load it onto one device, or with "
            "liar.load_model, which streams what does not fit."
        )
    if (family := family_of(model.config.model_type)) is not None:
        return family(model)
    lacks = []
    for family in TRIED:
        try:
            adapter = family(model)
            for site in adapter.layout():
                adapter.consumer(site), adapter.producers(site)
        except (AttributeError, TypeError, ZeroDivisionError) as error:
            lacks.append(f"as {title_of(family.family)}: {error}")
        else:
            return adapter
    raise UnsupportedModelError(
        f"Models of type {model.config.model_type!r} are not supported, and this one has not the modules of a LLaMA or a BERT "
        f"({'; '.join(lacks)}); choose one of: {', '.join(name for each in FAMILIES for name in each.model_types)}."
    )
