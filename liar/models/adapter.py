"""The interface between an architecture and the algorithms.

An adapter gives the sites, producers and consumers of a model of one family and runs one block in two stages. The
algorithms never name an architecture; a new family is one file that subclasses :class:`Adapter`.

>>> from liar import load_model
>>> adapter = load_model("tiny").adapter
>>> site = adapter.sites("ffn")[0]
>>> site.units, adapter.consumer(site), len(adapter.producers(site))
(48, Linear(in_features=48, out_features=32, bias=False), 2)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from transformers import PreTrainedModel

from liar.errors import NonFiniteError, UnsupportedModelError
from liar.runtime.devices import Batch, execution_device, without_labels
from liar.runtime.offload import resident
from liar.sites import Site
from liar.spec import LEFT_OUT, SiteKind, Targets

_HALVES: tuple[SiteKind, ...] = ("attention", "ffn")


@dataclass(frozen=True, slots=True)
class Producer:
    """A linear layer that writes a site's channels: ``rows`` output rows belong to each bundle, in bundle order."""

    module: nn.Linear
    rows: int


@dataclass(slots=True)
class Stream:
    """State of one batch between two blocks: hidden states (sequences, length, width) and a mask of the real tokens.

    ``mask`` is boolean (sequences, length), None if all tokens are real; padding never enters moments. ``contexts`` are,
    for each block, the arguments with which the model would call it.
    """

    hidden: Tensor
    mask: Tensor | None
    contexts: list[dict[str, Any]]

    def real(self, values: Tensor, chosen: slice | Tensor = slice(None)) -> Tensor:
        """Rows of the real tokens of the ``chosen`` sequences, whose ``values`` these are: (sequences, length, ...) -> (real
        tokens, ...); a view if there is no padding.
        """
        return values.flatten(0, 1) if self.mask is None else values[self.mask[chosen]]


class Adapter(ABC):
    """Base class of the families: sites and blocks of one loaded model."""

    family: ClassVar[str]
    model_types: ClassVar[tuple[str, ...]]
    """Values of ``config.model_type`` that this adapter supports."""
    layers_path: ClassVar[str]
    """Path of the list of blocks below the base model: ``layers`` or ``encoder.layer``."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.config = model.config

    # -- sites and layers ---------------------------------------------------------------------------------------

    @property
    def base(self) -> nn.Module:
        """The model without its head."""
        return self.model.base_model

    @property
    def layers(self) -> nn.ModuleList:
        return cast(nn.ModuleList, self.base.get_submodule(self.layers_path))

    def block(self, layer: int) -> Any:
        """One block, whose modules the subclass knows by name."""
        return self.layers[layer]

    @abstractmethod
    def site(self, layer: int, kind: SiteKind) -> Site:
        """The site with its present number of units."""

    @abstractmethod
    def consumer(self, site: Site) -> nn.Linear:
        """The linear layer that reads the site's channels."""

    @abstractmethod
    def producers(self, site: Site) -> list[Producer]:
        """The linear layers that write the site's channels."""

    def sites(self, targets: Targets = "both") -> list[Site]:
        """All sites of the chosen targets that can be pruned, in the order of the computation.

        Raises :class:`UnsupportedModelError` for a model that is already quantized: its weights cannot be re-solved.
        """
        if getattr(self.config, "quantization_config", None) is not None:
            raise UnsupportedModelError(
                "This model is quantised already; prune the one it was made from, and quantise what is left of it."
            )
        return self.layout(targets)

    def layout(self, targets: Targets = "both") -> list[Site]:
        """Sites of the chosen targets, also of a model that cannot be pruned."""
        sites = (site for layer in range(len(self.layers)) for site in self.halves(layer))
        return [site for site in sites if site.kind != LEFT_OUT.get(targets)]

    def halves(self, layer: int) -> Iterator[Site]:
        """The two sites of a block, in the order of the computation."""
        return (self.site(layer, kind) for kind in _HALVES)

    @property
    def widest(self) -> int:
        """Channels of the widest site."""
        return max(site.channels for site in self.layout())

    def bundle_parameters(self, site: Site) -> int:
        """Number of parameters of one bundle: its columns of the consumer and its rows of the producers."""
        count = site.bundle_size * self.consumer(site).out_features
        for producer in self.producers(site):
            count += producer.rows * (producer.module.in_features + (producer.module.bias is not None))
        return count

    def first_token_linears(self) -> list[nn.Linear]:
        """Linear layers that read only one token of each text; none by default."""
        return []

    def last_norm(self) -> nn.Module | None:
        """The norm between the last block and the head, whose parameters scale what the head reads; none by default."""
        return None

    @torch.no_grad()
    def attenuate(self, factor: float) -> None:
        """Multiply what the head reads, the output of the last norm, by ``factor``.

        A norm multiplies by its ``weight``, or by 1 + ``weight`` (Gemma), and may add a ``bias``.
        """
        norm = self.last_norm()
        assert norm is not None, "only a family with a last norm has a gain"
        with resident(norm):
            parameters = dict(norm.named_parameters())
            zeros = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
            probe = zeros["weight"].new_ones(zeros["weight"].shape).cumsum(0)
            plus_one = bool(functional_call(norm, zeros, (probe,)).any())
            for name, parameter in parameters.items():
                added = float(plus_one and name == "weight")
                changed = (parameter + added) * factor - added
                setattr(norm, name, nn.Parameter(changed, requires_grad=False))

    # -- one forward, block by block ----------------------------------------------------------------------------

    @abstractmethod
    def consumer_input(self, site: Site, hidden: Tensor, context: Mapping[str, Any]) -> Tensor:
        """Input of the site's consumer: (sequences, length, width) -> (sequences, length, channels).

        Runs the family's own attention or feed-forward module with an identity in place of the consumer.
        """

    @abstractmethod
    def add_residual(self, site: Site, output: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Add the consumer's output to the residual stream.

        Returns the sum of residual and output before any normalisation (errors are relative to it) and the next hidden
        states; in a pre-norm family both are the same tensor.
        """

    @torch.no_grad()
    def read(self, site: Site, stream: Stream) -> Tensor:
        """Input of the site's consumer, (sequences, length, channels)."""
        return self.consumer_input(site, stream.hidden, stream.contexts[site.layer])

    @torch.no_grad()
    def pass_on(self, site: Site, rows: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """:meth:`add_residual` of the consumer's output for its input ``rows``."""
        return self.add_residual(site, self.consumer(site)(rows), hidden)

    def advance(self, site: Site, stream: Stream) -> tuple[Tensor, Tensor]:
        """Run the site's half of its block on ``stream``; the input of the consumer and the residual stream behind it."""
        rows = self.read(site, stream)
        total, stream.hidden = self.pass_on(site, rows, stream.hidden)
        return rows, total

    @torch.no_grad()
    def embed(self, batch: Batch) -> Stream:
        """Embeddings of a batch and the arguments of each block.

        Runs the model's own forward with recorders in place of its blocks, so masks and position embeddings are exactly
        those of the family and of the installed version of transformers.
        """
        device = execution_device(self.model)
        inputs = {name: tensor.to(device) for name, tensor in without_labels(batch).items()}
        recorders = [_Recorder(layer) for layer in self.layers]
        path, _, name = self.layers_path.rpartition(".")
        with replaced(self.base.get_submodule(path), name, nn.ModuleList(recorders)):
            self.base(**inputs, use_cache=False)  # a cache would hold keys and values of all layers and batches
        hidden = recorders[0].hidden
        assert hidden is not None
        mask = inputs["attention_mask"].bool()
        return Stream(hidden, None if bool(mask.all()) else mask, [recorder.context for recorder in recorders])

    # -- surgery ------------------------------------------------------------------------------------------------

    def after_surgery(self, sites: list[Site]) -> None:
        """Update the config and size attributes after ``sites`` were shrunk; nothing to do by default."""

    def check_blocks(self) -> None:
        """Raise :class:`UnsupportedModelError` if whole blocks cannot be removed: by default they cannot.

        Behind a norm of the sum of residual and output, the consumer before cannot add what the blocks did.
        """
        raise UnsupportedModelError(
            f"Whole layers of a {self.family} cannot go, because each normalises the sum that it writes, so that no weight "
            "before it can replace it; choose neurons or heads."
        )

    def remove_blocks(self, blocks: range) -> None:
        """Remove whole ``blocks`` and update the config; only for families that pass :meth:`check_blocks`."""
        raise NotImplementedError

    def keep_units(self, site: Site, bundles: Tensor) -> None:
        """Update what the site's modules know of their units, such as head counts, once only ``bundles`` are left.

        Nothing to do by default.
        """

    # -- checks -------------------------------------------------------------------------------------------------

    def check_finite(self, site: Site) -> None:
        """Raise :class:`NonFiniteError` if a weight of the site holds NaN or Inf."""
        for module in [self.consumer(site), *(producer.module for producer in self.producers(site))]:
            if not module.weight.is_meta and not torch.isfinite(module.weight).all():
                raise NonFiniteError(
                    f"A weight of {site.name} holds NaN or Inf; download the model again or repair that layer first."
                )


class _Recorder(nn.Module):
    """Replacement for a block: records the arguments of its call and returns the hidden states unchanged."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        object.__setattr__(self, "_block", block)  # not a submodule, so its parameters are not moved or counted
        self.hidden: Tensor | None = None
        self.context: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_block"], name)  # a recorder has no parameters or modules of its own

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        self.hidden = hidden_states
        # Families pass the mask by position (BERT) or by name (LLaMA).
        self.context = {**kwargs, "attention_mask": args[0] if args else kwargs.get("attention_mask")}
        return hidden_states


def bypassed(parent: nn.Module, name: str) -> AbstractContextManager[None]:
    """Replace ``parent.name`` by an identity inside the context."""
    return replaced(parent, name, nn.Identity())


@contextmanager
def replaced(parent: nn.Module, name: str, module: nn.Module) -> Iterator[None]:
    """Replace ``parent.name`` by ``module`` inside the context."""
    original = getattr(parent, name)
    setattr(parent, name, module)
    try:
        yield
    finally:
        setattr(parent, name, original)
