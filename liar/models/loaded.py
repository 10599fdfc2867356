"""A model with its tokenizer and adapter: what every job takes, with its size and a copy of it to prune."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from liar.errors import InvalidSpecError
from liar.models.adapter import Adapter
from liar.models.embedder import Embedder
from liar.models.heads import Head, LabelOrder, head_of, kind_of
from liar.results import ModelInfo
from liar.runtime.devices import execution_device
from liar.runtime.memory import PlannedWork, working_bytes
from liar.runtime.offload import is_offloaded
from liar.runtime.placement import check_room
from liar.tasks.record import HeadKind
from liar.tasks.registry import task_named

if TYPE_CHECKING:
    from liar.models.vocabulary.vocabulary import Vocabulary


@dataclass(slots=True)
class LoadedModel:
    """A model ready to be evaluated and pruned.

    ``task`` is the task to measure if none is named: of a preset its own, else one of the demo bundle that the head fits and
    whose labels a classifier has; None if there is none. ``label_orders``, by name of the task, are those that
    :func:`liar.evaluate.label_order.settle_order` found; copies of the model share them. ``embedder``: how a model without a
    head makes the vector of a text. ``beside``: files of sentence-transformers by their path, which are saved with the model.
    ``dense_vectors`` are the last ones of dense models, by a digest of model and texts (:mod:`liar.evaluate.embedding`); copies
    share them. ``vocabulary``: the tokens that it keeps of the dense model's, if any went.
    """

    id: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    adapter: Adapter
    task: str | None
    label_orders: dict[str, LabelOrder] = field(default_factory=dict)
    embedder: Embedder | None = None
    beside: Mapping[str, bytes] = field(default_factory=dict)
    dense_vectors: dict[str, Tensor] = field(default_factory=dict)
    vocabulary: Vocabulary | None = None

    @property
    def cached(self) -> int:
        """Numbers in the keys and values of one token of one layer; of a bundle of heads those of one."""
        return max(2 * site.unit_size * site.bundles for site in self.adapter.layout("heads")) if self.windows else 0

    @property
    def windows(self) -> tuple[int | None, ...]:
        """For each layer the most tokens whose keys and values it keeps, None for all; empty for an encoder, which keeps none.

        A layer with a recurrent state keeps that alone.
        """
        if not self.is_language_model:
            return ()
        layers = DynamicCache(config=self.model.config).layers
        return tuple(
            0 if self.adapter.state_of(layer) else getattr(cached, "sliding_window", None)
            for layer, cached in enumerate(layers)
        )

    @property
    def is_language_model(self) -> bool:
        return self.head == "causal-lm"

    @property
    def embeds(self) -> bool:
        """Whether it is an embedder whose gradients can be computed."""
        return self.embedder is not None and not is_offloaded(self.model)

    @property
    def kind(self) -> HeadKind | None:
        """What the model can do: the kind of its task, else the first kind that its head serves."""
        named = task_named(self.task) if self.task is not None else None
        return named.head if named is not None else kind_of(self.head, self.model.config)

    @property
    def head(self) -> Head:
        """Kind of the head; raises :class:`UnsupportedModelError` for a head that could not be saved."""
        return head_of([type(self.model).__name__])


def model_info(loaded: LoadedModel) -> ModelInfo:
    """Description of the model, with its present size, for a result."""
    layers = len(loaded.adapter.layers)
    return ModelInfo(
        id=loaded.id, family=loaded.adapter.family, layers=layers, parameters=parameter_count(loaded.model)
    )


def parameter_count(module: nn.Module) -> int:
    """Number of parameters, shared ones counted once; offloaded weights count by their shape."""
    return sum(parameter.numel() for parameter in module.parameters())


def bytes_in_memory(module: nn.Module) -> int:
    """Bytes of all parameters and buffers, shared ones counted once; offloaded weights count by their shape."""
    tensors = [*module.parameters(), *module.buffers()]
    return sum(stored.nbytes for tensor in tensors for stored in _stored(tensor))


def _stored(tensor: Tensor) -> list[Tensor]:
    """The tensors stored for a weight: the weight itself, or the parts of a quantized one."""
    if not is_traceable_wrapper_subclass(tensor):
        return [tensor]
    return [cast(Tensor, getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0]]


def working_copy(loaded: LoadedModel, work: PlannedWork) -> LoadedModel:
    """Copy ``loaded``, so that the copy can be pruned.

    Raises :class:`InvalidSpecError` for a streamed model, and :class:`InsufficientMemoryError` if memory is too small
    for the copy and the ``work`` on it.
    """
    if is_offloaded(loaded.model):
        raise InvalidSpecError("A streamed model cannot be copied; pass its id in the spec and let the run load it.")
    needed = bytes_in_memory(loaded.model) + working_bytes(
        loaded.model.config, loaded.adapter.widest, loaded.model.dtype, replace(work, embeds=loaded.embeds)
    )
    check_room(needed, execution_device(loaded.model))
    model = copy.deepcopy(loaded.model)
    return replace(loaded, model=model, adapter=type(loaded.adapter)(model))
