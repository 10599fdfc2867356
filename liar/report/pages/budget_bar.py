"""Bar of a model's parameters by kind: what stays of words, heads and neurons is filled, what goes is hollow, layers too.

Words are the vocabulary.

>>> from liar.report.pages.budget_bar import Part, budget_bar
>>> bar = budget_bar([Part("words", 0.5, 0.1), Part("neurons", 0.3, 0.1)])
>>> "80 % of all parameters stay" in bar, bar.count('class="gone"')
(True, 2)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

from liar.explore.allocation import nearest_removed
from liar.explore.sizes import Sizes
from liar.report.words.metric_sentences import percent
from liar.report.words.sentences import UNITS
from liar.results import SiteReport, Totals, removed_layers
from liar.spec import PruneSpec


@dataclass(frozen=True, slots=True)
class Part:
    """A kind of unit: the shares of all parameters that are ``kept`` and ``gone``."""

    name: str
    kept: float
    gone: float


def parts_of(spec: PruneSpec, sizes: Sizes, sites: Sequence[SiteReport] = ()) -> list[Part]:
    """The parts of a model of these ``sizes``: by the ``sites`` of a run or forecast, by the recipe if there are none.

    Norms and biases count with the words.
    """
    depth = len(removed_layers(sites)) if sites else nearest_removed(sizes.layers, spec.depth)
    left, units = 1 - depth / sizes.layers, []
    for kind, facts in sizes.kinds.items():
        share = facts.bundles * facts.bundle_parameters * sizes.layers / sizes.parameters
        reports = [site for site in sites if site.kind == kind and site.kept]
        if reports:
            kept = sum(site.kept for site in reports) / sum(site.units for site in reports)
        else:
            kept = 1 - spec.ratio if not sites and facts in sizes.targeted(spec) else 1.0
        units.append(Part(UNITS[kind], left * kept * share, left * (1 - kept) * share))
    rest, tokens = 1 - sum(part.kept + part.gone for part in units) / left, sizes.tokens_gone / sizes.parameters
    layers = [Part("layers", 0.0, (1 - left) * (1 - rest))] if depth else []
    return [Part("words", rest - tokens, tokens), *layers, *units]


def bar_of(spec: PruneSpec, sizes: Sizes, sites: Sequence[SiteReport], totals: Totals | None) -> str:
    """The bar of a recipe, by the ``totals`` of its run or forecast; empty if the tokens that go are not known yet."""
    if totals is None and spec.vocabulary is not None:
        return ""
    if totals is not None:
        before, after = (
            totals.parameters_before - totals.block_parameters_before,
            totals.parameters_after - totals.block_parameters_after,
        )
        sizes = replace(sizes, tokens_gone=before - after)
    return budget_bar(parts_of(spec, sizes, sites))


def budget_bar(parts: Sequence[Part]) -> str:
    """HTML figure of a bar: each part's filled piece and its hollow one, as wide as their shares.

    The larger piece has the name, which the style hides where there is no room.
    """
    pieces = []
    for part in parts:
        larger = max(part.kept, part.gone)
        for state, share in (("kept", part.kept), ("gone", part.gone)):
            if share >= 0.0005:
                words = f"{part.name} {percent(share)}{' gone' if state == 'gone' else ''}"
                name = part.name if share == larger else ""
                pieces.append(f'<span class="{state}" style="flex-grow:{share:.4f}" title="{words}">{name}</span>')
    return f'<figure class="budget"><div role="img" aria-label="{escape(words_of(parts))}">{"".join(pieces)}</div></figure>'


def words_of(parts: Sequence[Part]) -> str:
    """``70 % of all parameters stay; layers 16 % and neurons 14 % go.``"""
    gone = [f"{part.name} {percent(part.gone)}" for part in parts if part.gone >= 0.0005]
    stay = f"{percent(sum(part.kept for part in parts))} of all parameters stay"
    return f"{stay}; {' and '.join(filter(None, (', '.join(gone[:-1]), gone[-1])))} go." if gone else f"{stay}."
