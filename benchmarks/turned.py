"""Attention whose values are written in other coordinates, so that coordinates can go one by one: a unit of its own.

The values of a key/value head may be written in any basis: with v' = v B and W' = B^-1 W for the rows of W of every query head
that reads them, the output is the same. Coordinates are balanced here as states are in balanced truncation (Moore 1981): with
C the covariance of what the query heads of the group pass to W, averaged over them, and G = sum over them of W M W^T, the
eigenvectors U of C^(1/2) G C^(1/2) give B = C^(-1/2) U. M is the metric of the loss at the outputs, as in the criterion kfac.
Each coordinate has variance 1 and none goes with another; its eigenvalue is what it adds to the output. For a group of one head
the first k coordinates are the best k, for any k.

:func:`turned` gives a model that the library prunes as any other, with coordinates in the place of heads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from liar import LoadedModel
from liar.calibration.activations import walk
from liar.calibration.gradients import gradient_steps
from liar.calibration.needs import Needs
from liar.calibration.sample import sample_of
from liar.maths.criteria import damped_metric
from liar.maths.moments import Moments
from liar.maths.solver import in_solver_precision
from liar.models.adapter import Adapter, Producer
from liar.models.families.bert import BertAdapter
from liar.models.families.llama import LlamaAdapter
from liar.models.loaded import working_copy
from liar.progress import finish
from liar.runtime.devices import Batch
from liar.runtime.memory import PlannedWork
from liar.sites import Site
from liar.spec import SiteKind

_LEAST = 1e-8
"""Share of the largest variance that a direction of the values has at least, so that every one can be scaled to 1."""


@dataclass(frozen=True, slots=True)
class Basis:
    """Coordinates of one key/value head, those that add most first: v' = v ``into``, W' = ``back`` W, both (size, size).

    ``added`` (size,) is what each adds to the output. All are fp64, on the solver's device.
    """

    into: Tensor
    back: Tensor
    added: Tensor


def balanced(covariances: Tensor, weights: Tensor) -> Basis:
    """Basis of a group of heads: ``covariances`` (heads, size, size) of their values, ``weights`` (heads, size, d_out)."""
    variances, axes = torch.linalg.eigh(in_solver_precision(covariances).mean(dim=0))
    deviations = variances.clamp_min(_LEAST * variances.max().clamp_min(1e-30)).sqrt()
    half = (axes * deviations) @ axes.T  # C^(1/2)
    W = in_solver_precision(weights)
    added, turns = torch.linalg.eigh(half @ (W @ W.mT).sum(dim=0) @ half)
    turns = turns.flip(1)
    return Basis((axes / deviations) @ axes.T @ turns, turns.T @ half, added.flip(0).clamp_min(0))


# -- modules ------------------------------------------------------------------------------------------------------------


class Spread(nn.Module):
    """A linear layer whose outputs are ``places`` of ``width`` channels; the others are zero."""

    places: Tensor

    def __init__(self, linear: nn.Linear, places: Tensor, width: int) -> None:
        super().__init__()
        self.linear, self.width = linear, width
        self.register_buffer("places", places)

    def forward(self, hidden: Tensor) -> Tensor:
        some: Tensor = self.linear(hidden)
        return some.new_zeros(*some.shape[:-1], self.width).index_copy(-1, self.places, some)


class Gathered(nn.Module):
    """A linear layer that reads ``places`` of its channels: the same coordinate of all heads of a group side by side."""

    places: Tensor

    def __init__(self, linear: nn.Linear, places: Tensor) -> None:
        super().__init__()
        self.linear = linear
        self.register_buffer("places", places)

    def forward(self, hidden: Tensor) -> Tensor:
        answer: Tensor = self.linear(hidden.index_select(-1, self.places))
        return answer


@dataclass(frozen=True, slots=True)
class Attention:
    """Where values are written and read: the modules that hold the linear layers, with their names.

    Each key/value head has ``size`` values, which ``group`` query heads read.
    """

    source: tuple[nn.Module, str]
    reader: tuple[nn.Module, str]
    size: int
    group: int

    @classmethod
    def of(cls, block: Any) -> Attention:
        """The attention of a block of a LLaMA or a BERT."""
        if hasattr(block, "self_attn"):
            own = block.self_attn
            return cls((own, "v_proj"), (own, "o_proj"), own.head_dim, own.num_key_value_groups)
        own = block.attention.self
        return cls((own, "value"), (block.attention.output, "dense"), own.attention_head_size, 1)

    def bases(self, moments: Moments, metric: Tensor) -> list[Basis]:
        """The coordinates of each key/value head; ``metric`` is the lower factor of M, (d_out, d_out)."""
        heads = len(moments.mean) // self.size
        weight = in_solver_precision(getattr(*self.reader).weight).T @ metric
        blocks = moments.covariance.view(heads, self.size, heads, self.size).diagonal(dim1=0, dim2=2).permute(2, 0, 1)
        each = zip(blocks.split(self.group), weight.unflatten(0, (heads, self.size)).split(self.group), strict=True)
        return [balanced(covariances, weights) for covariances, weights in each]

    @torch.no_grad()
    def turn(self, bases: Sequence[Basis]) -> None:
        """Write the values of each key/value head in its basis, and read them there; up to rounding nothing changes."""
        source: nn.Linear = getattr(*self.source)
        reader: nn.Linear = getattr(*self.reader)
        into, back = (torch.stack([getattr(basis, side) for basis in bases]) for side in ("into", "back"))
        source.weight = _parameter(self._turned(into.mT, source.weight), source.weight)
        if source.bias is not None:
            source.bias = _parameter(self._turned(into.mT, source.bias.unsqueeze(1)).squeeze(1), source.bias)
        weight = self._turned(back.repeat_interleave(self.group, dim=0), reader.weight.T)
        channels = torch.arange(len(weight)).view(len(bases), self.group, self.size)
        places = channels.transpose(1, 2).flatten()
        reader.weight = _parameter(weight[places].T, reader.weight)
        setattr(*self.source, Spread(source, torch.arange(source.out_features), source.out_features))
        setattr(*self.reader, Gathered(reader, places))

    def _turned(self, turns: Tensor, rows: Tensor) -> Tensor:
        """Each ``size`` of ``rows`` (heads * size, n) times its turn, (heads, size, size)."""
        parts: Tensor = turns @ rows.to(turns).unflatten(0, (-1, self.size))
        return parts.flatten(0, 1)


def _parameter(tensor: Tensor, like: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.to(like).contiguous(), requires_grad=False)


# -- models -------------------------------------------------------------------------------------------------------------


class _Turned(Adapter):
    """Overrides of a family's adapter: units of an attention are coordinates of values, in place of heads."""

    def site(self, layer: int, kind: SiteKind) -> Site:
        if kind == "ffn":
            return super().site(layer, kind)  # type: ignore[safe-super]
        attention = Attention.of(self.layers[layer])
        return Site(layer, kind, getattr(*attention.source).linear.out_features, attention.group)

    def consumer(self, site: Site) -> nn.Linear:
        if site.kind == "ffn":
            return super().consumer(site)  # type: ignore[safe-super]
        return self._reader(site).linear

    def producers(self, site: Site) -> list[Producer]:
        if site.kind == "ffn":
            return super().producers(site)  # type: ignore[safe-super]
        return [Producer(getattr(*Attention.of(self.layers[site.layer]).source).linear, 1)]

    def consumer_input(self, site: Site, hidden: Tensor, context: Mapping[str, Any]) -> Tensor:
        channels = super().consumer_input(site, hidden, context)  # type: ignore[safe-super]
        return channels if site.kind == "ffn" else channels.index_select(-1, self._reader(site).places)

    def keep_units(self, site: Site, bundles: Tensor) -> None:
        if site.kind == "ffn":
            super().keep_units(site, bundles)
            return
        source, reader = getattr(*Attention.of(self.layers[site.layer]).source), self._reader(site)
        source.places = source.places[bundles]
        reader.places = reader.places.view(-1, site.bundle_size)[bundles].flatten()

    def after_surgery(self, sites: list[Site]) -> None:
        """No config of the family describes this model."""

    def _reader(self, site: Site) -> Gathered:
        reader: Gathered = getattr(*Attention.of(self.layers[site.layer]).reader)
        return reader


class TurnedLlama(_Turned, LlamaAdapter):
    """A LLaMA whose attentions lose value channels."""


class TurnedBert(_Turned, BertAdapter):
    """A BERT whose attentions lose value channels."""


def turned(loaded: LoadedModel, batches: Sequence[Batch]) -> LoadedModel:
    """A copy of ``loaded`` whose values are in the coordinates that ``batches`` give: it computes the same up to rounding."""
    copied = working_copy(loaded, PlannedWork())
    adapter = copied.adapter
    gradients = finish(gradient_steps(adapter, batches, "heads", Needs(sensitivity=True, outputs=True)))
    for visit in walk(adapter, sample_of(batches, adapter), "heads", norm_aware=0):
        attention = Attention.of(adapter.layers[visit.site.layer])
        outputs = gradients[visit.site.name].outputs
        assert outputs is not None, "they were asked for"
        metric = torch.linalg.cholesky(damped_metric(outputs))
        attention.turn(attention.bases(visit.moments.plain, metric))
    kind = TurnedLlama if isinstance(adapter, LlamaAdapter) else TurnedBert
    return replace(copied, adapter=kind(copied.model))
