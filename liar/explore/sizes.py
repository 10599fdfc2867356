"""What a recipe leaves of a model, counted: parameters, bytes of the weights, and bytes of keys and values.

To the unit for a uniform allocation, for others to the bundle that ends their budget; edits, rounded widths, the bias of a
patch and int8 weights are not considered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Self

from liar.choices import REPAIRS
from liar.explore.allocation import nearest_removed
from liar.spec import LEFT_OUT, MAX_RATIO, PruneSpec, SiteKind

if TYPE_CHECKING:
    from liar.explore.atlas import AtlasFacts, KindFacts

RATIOS = tuple(percent / 100 for percent in range(1, round(100 * MAX_RATIO) + 1))
"""Ratios are whole percent, so that slider, links and stored runs can have the same ones."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What parameters and bytes are counted by: ``parameters`` of the model and of all its ``blocks``, equal ones, what all
    sites of a kind have in common, and the bytes of a parameter; ``tokens_gone``: parameters of the tokens that go before.

    ``windows``: for each layer the most tokens whose keys and values it keeps, None for all; empty for an encoder, which keeps
    none; None if it is not known. Each keeps ``cached`` numbers of a token. ``loses_layers``: whether whole layers can go.
    """

    parameters: int
    blocks: int
    kinds: Mapping[SiteKind, KindFacts]
    parameter_bytes: float
    tokens_gone: int = 0
    windows: tuple[int | None, ...] | None = None
    cached: int = 0
    loses_layers: bool = False

    @classmethod
    def of(cls, facts: AtlasFacts) -> Self:
        """Those of the model of an atlas."""
        counted = facts.model.parameters, facts.block_parameters, facts.kinds, facts.parameter_bytes
        return cls(*counted, windows=facts.windows, cached=facts.cached, loses_layers=facts.loses_layers)

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return max(len(facts.layers) for facts in self.kinds.values())

    def targeted(self, spec: PruneSpec) -> list[KindFacts]:
        """The kinds whose units ``spec`` removes."""
        left_out = LEFT_OUT.get(spec.targets)
        return [facts for kind, facts in self.kinds.items() if spec.cuts_width and kind != left_out]


def possible_ratios(bundles: Iterable[int], fewest_left: int = 1) -> list[float]:
    """The ratios, in whole percent, at which sites of so many ``bundles`` keep some; the least first."""
    fewest = min(bundles)
    return [ratio for ratio in RATIOS if nearest_removed(fewest, ratio) <= fewest - fewest_left]


def parameters_left(spec: PruneSpec, sizes: Sizes, ratio: float) -> float:
    """Parameters that ``spec`` leaves at ``ratio`` of a model of these ``sizes``.

    A uniform cut takes whole bundles from each site; others meet their budget to one bundle.
    """
    spec = spec.model_copy(update={"ratio": ratio})
    shifts, gone = REPAIRS[spec.reconstruction].changes_bias, nearest_removed(sizes.layers, spec.depth)
    change = -sizes.tokens_gone - gone * sizes.blocks / sizes.layers
    for facts in sizes.targeted(spec):
        removed = nearest_removed(facts.bundles, ratio) if spec.allocation == "uniform" else ratio * facts.bundles
        layers = len(facts.layers) - gone
        change -= layers * removed * facts.bundle_parameters
        if shifts and removed > 0:
            change += layers * (facts.bias_fixed + (facts.bundles - removed) * facts.bias_per_bundle)
    return sizes.parameters + change


def cached_left(spec: PruneSpec, sizes: Sizes, ratio: float, tokens: int) -> float:
    """Numbers in the keys and values of one text of ``tokens``, as :func:`parameters_left`; those of the tokens that a window
    spans, of which some runtimes keep one less.
    """
    if not sizes.windows:
        return 0.0
    spec, heads, share = spec.model_copy(update={"ratio": ratio}), sizes.kinds.get("attention"), 1.0
    if heads and heads in sizes.targeted(spec):
        share -= nearest_removed(heads.bundles, ratio) / heads.bundles if spec.allocation == "uniform" else ratio
    kept = fmean(tokens if window is None else min(tokens, window) for window in sizes.windows)
    layers = sizes.layers - nearest_removed(sizes.layers, spec.depth)
    return layers * kept * sizes.cached * share
