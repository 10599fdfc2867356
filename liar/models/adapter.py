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
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from transformers import PreTrainedModel

from liar.errors import NonFiniteError, UnsupportedModelError
from liar.models.heads import head_of
from liar.models.ragged import PREFIX
from liar.models.recorder import Recorder, replaced
from liar.models.skeleton import fit_config
from liar.presets import title_of
from liar.runtime.devices import Batch, execution_device, without_labels
from liar.runtime.offload import is_offloaded, resident
from liar.sites import Site
from liar.spec import LEFT_OUT, SiteKind, Targets

_TEXT_HEADS = frozenset({"pooler", "head", "pre_classifier", "classifier"})
"""Modules of encoders that read one token of a text, or the mean of all."""


@dataclass(frozen=True, slots=True)
class Producer:
    """A linear layer that writes a site's channels: ``rows`` output rows belong to each bundle, in bundle order.

    The first of them is row ``offset``: one fused matrix may hold the rows of several producers.
    """

    module: nn.Linear
    rows: int
    offset: int = 0


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

    def padded(self, rows: Tensor) -> Tensor:
        """Inverse of :meth:`real` of all sequences, with zeros at padding."""
        if self.mask is None:
            return rows.view(*self.hidden.shape[:2], -1)
        values = rows.new_zeros(*self.mask.shape, rows.shape[-1])
        values[self.mask] = rows
        return values


class Adapter(ABC):
    """Base class of the families: sites and blocks of one loaded model."""

    family: ClassVar[str]
    model_types: ClassVar[tuple[str, ...]]
    """Values of ``config.model_type`` that this adapter supports."""
    layers_path: ClassVar[str]
    """Path of the list of blocks below the base model: ``layers`` or ``encoder.layer``."""
    order: ClassVar[tuple[SiteKind, ...]] = ("attention", "ffn")
    """The halves of a block, in the order of the computation."""
    prunable: ClassVar[Targets] = "both"
    """What can be pruned: both kinds, or "ffn" for neurons alone."""
    why_no_heads: ClassVar[str] = ""
    """Of a family whose heads cannot be pruned: why, for a sentence."""
    loses_blocks: ClassVar[bool] = False
    """Whether whole blocks can go: whether each only adds to the residual stream what its consumers give."""
    why_no_blocks: ClassVar[str] = (
        "each normalises the sum that it writes or what it adds, so that no weight before it can replace it"
    )
    """Of a family whose blocks cannot go: why, for a sentence."""
    gives_tuple: ClassVar[bool] = False
    """Whether a block returns a tuple that begins with the hidden states."""
    streams: ClassVar[bool] = True
    """Whether a model can be streamed: whether every weight is read by the forward of the module that holds it."""
    width_field: ClassVar[str] = "intermediate_size"
    """Field of the config with the number of neurons."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Raises :class:`UnsupportedModelError` for a streamed model of a family that cannot be streamed.

        ``origins``: after :meth:`remove_blocks` the number that each block had before, by which its sites are named; None
        starts the names anew.
        """
        self.model = model
        self.config = model.config
        self.origins: list[int] | None = None
        if is_offloaded(model):
            self.check_streams()

    @property
    def title(self) -> str:
        """Name of the model's type for people."""
        return title_of(str(self.config.model_type).removeprefix(PREFIX))

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

    def sites(self, targets: Targets | None = None) -> list[Site]:
        """All sites of the chosen targets, by default all that can be pruned, in the order of the computation.

        Raises :class:`UnsupportedModelError` for a model that is already quantized, whose weights cannot be re-solved, and for
        heads of a family whose heads cannot go.
        """
        if self.prunable == "ffn" and targets in ("both", "heads"):
            raise UnsupportedModelError(
                f"The heads of {self.title} cannot go, because {self.why_no_heads}; choose neurons."
            )
        if getattr(self.config, "quantization_config", None) is not None:
            raise UnsupportedModelError(
                "This model is quantised already; prune the one it was made from, and quantise what is left of it."
            )
        return self.layout(targets or self.prunable)

    def layout(self, targets: Targets = "both") -> list[Site]:
        """Sites of the chosen targets, also of a model that cannot be pruned."""
        sites = (site for layer in range(len(self.layers)) for site in self.halves(layer))
        return [site for site in sites if site.kind != LEFT_OUT.get(targets)]

    def halves(self, layer: int) -> Iterator[Site]:
        """The two sites of a block, in the order of the computation."""
        origin = None if self.origins is None else self.origins[layer]
        return (replace(self.site(layer, kind), origin=origin) for kind in self.order)

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
        """Linear layers that read only one token of each text: those of the head of an encoder that classifies texts."""
        if head_of([type(self.model).__name__]) not in ("none", "sequence-classification"):
            return []
        modules = cast(nn.Module, self.model).named_modules()
        heads = [module for name, module in modules if not _TEXT_HEADS.isdisjoint(name.split("."))]
        return [module for module in heads if isinstance(module, nn.Linear)]

    def state_of(self, layer: int) -> int | None:
        """Width of the recurrent state that each channel of a layer's attention reads; None if it reads the text."""
        return None

    def last_norm(self) -> nn.Module | None:
        """The norm between the last block and the head, whose parameters scale what the head reads; none by default."""
        return None

    @staticmethod
    def scaling(norm: Any) -> nn.Module | None:
        """``norm`` if it has a weight."""
        return norm if getattr(norm, "weight", None) is not None else None

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

    def add_residual(self, site: Site, output: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Add the consumer's output to the residual stream; by default as in a pre-norm family.

        Returns the sum that the output enters as it is, before any norm (errors are relative to it; the output alone if a norm
        reads it), and the next hidden states; in a pre-norm family both are the same tensor.
        """
        stream = hidden + output
        return stream, stream

    @property
    def multiplier(self) -> float:
        """Factor of what a consumer gives in the residual stream, of a family that :attr:`loses_blocks`."""
        return 1.0

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
        recorders = [Recorder(layer, self.gives_tuple) for layer in self.layers]
        path, _, name = self.layers_path.rpartition(".")
        with replaced(self.base.get_submodule(path), name, nn.ModuleList(recorders)):
            self.base(**inputs, use_cache=False)  # a cache would hold keys and values of all layers and batches
        hidden = recorders[0].hidden
        assert hidden is not None
        mask = inputs["attention_mask"].bool()
        return Stream(hidden, None if bool(mask.all()) else mask, [recorder.context for recorder in recorders])

    # -- surgery ------------------------------------------------------------------------------------------------

    def after_surgery(self) -> None:
        """Update the config after sites were shrunk, where it can express their sizes."""
        fit_config(self)

    def check_blocks(self) -> None:
        """Raise :class:`UnsupportedModelError` if whole blocks cannot be removed.

        If a norm reads what a block adds, or the sum, the consumer before cannot add what the blocks did.
        """
        if not self.loses_blocks:
            raise UnsupportedModelError(
                f"Whole layers of {self.title} cannot go, because {self.why_no_blocks}; choose "
                f"neurons{' or heads' if self.prunable == 'both' else ''}."
            )

    def check_streams(self) -> None:
        """Raise :class:`UnsupportedModelError` for a family that cannot be streamed."""
        if not self.streams:
            raise UnsupportedModelError(f"{self.title} cannot be streamed; choose a device that holds it.")

    def remove_blocks(self, blocks: range) -> None:
        """Remove whole ``blocks``; only for families that pass :meth:`check_blocks`.

        The result has the config of its family with fewer layers; a bias of the patch may make it ragged all the same.
        """
        config: Any = self.config
        for name, values in list(vars(config).items()):
            # Lists of token ids may be as long by chance.
            if isinstance(values, list) and len(values) == len(self.layers) and "token_id" not in name:
                setattr(config, name, [value for layer, value in enumerate(values) if layer not in blocks])
        origins = range(len(self.layers)) if self.origins is None else self.origins
        self.origins = [origin for layer, origin in enumerate(origins) if layer not in blocks]
        path, _, name = self.layers_path.rpartition(".")
        left = nn.ModuleList(block for layer, block in enumerate(self.layers) if layer not in blocks)
        setattr(self.base.get_submodule(path), name, left)
        for layer, block in enumerate(self.layers):
            for module in block.modules():
                if hasattr(module, "layer_idx"):
                    module.layer_idx = layer  # type: ignore[assignment]  # its place in the cache of keys and values
        config.num_hidden_layers = len(self.layers)

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
