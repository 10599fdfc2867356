"""An atlas made by hand, for tests of forecasts and charts. No model is involved and no figure is real."""

from __future__ import annotations

from typing import Any

import numpy as np

from liar.explore.allocation import nearest_removed
from liar.explore.atlas import RATIOS, WEIGHTINGS, Atlas, AtlasFacts, AtlasKey, KindArrays, KindFacts
from liar.results import ModelInfo
from liar.spec import CRITERIA, RECONSTRUCTIONS, PruneSpec, SiteKind

_BOTH: dict[str, Any] = {"bias_fixed": 36, "outputs": 36, "layers": [0, 1, 2]}
KINDS: dict[SiteKind, KindFacts] = {
    "attention": KindFacts(units=9, unit_size=4, group=3, bundle_parameters=6_912, bias_per_bundle=20, **_BOTH),
    "ffn": KindFacts(units=60, unit_size=1, group=1, bundle_parameters=108, bias_per_bundle=2, **_BOTH),
}
"""Sites of :func:`tiny_atlas`: three bundles of three heads that share keys and values, and sixty neurons."""


def tiny_atlas(spec: PruneSpec | None = None) -> Atlas:
    """An invented atlas of three layers of width 36, with every criterion, weighting and reconstruction.

    Errors grow with the square of the share removed, are worst in layer 0 and best for least-squares.
    """
    spec = spec or PruneSpec()
    facts = AtlasFacts(
        key=AtlasKey.of(spec),
        model=ModelInfo(id=spec.model, family="llama", layers=3, parameters=150_000),
        block_parameters=81_648,
        criteria=list(CRITERIA),
        reconstructions=list(RECONSTRUCTIONS),
        choice_reconstructions=[name for name in RECONSTRUCTIONS if name != "liar"],
        sensitive=True,
        kinds=KINDS,
        tokens=12_288,
        seconds=1.5,
        environment={},
    )
    return Atlas(facts, {kind: _tiny_arrays(kind, found) for kind, found in KINDS.items()})


def _tiny_choices(sites: int, bundles: int) -> Any:
    """Errors of every subset of fewer than five bundles, growing with the index of the subset; otherwise empty."""
    shape = (sites, len(WEIGHTINGS), len(RECONSTRUCTIONS) - 1, 2**bundles if bundles < 5 else 0)
    return np.broadcast_to(np.linspace(0, 1, shape[-1]), shape)


def _tiny_arrays(kind: SiteKind, facts: KindFacts) -> KindArrays:
    generator = np.random.default_rng(len(kind))
    sites, criteria = len(facts.layers), len(CRITERIA)
    bundles, channels = facts.units // facts.group, facts.units * facts.unit_size
    removed = np.array([nearest_removed(bundles, ratio) / bundles for ratio in RATIOS])
    depth = 1 / (1 + np.arange(sites))
    parts = np.array([1.0, 0.8, 0.6, 0.3, 0.25])  # none, bias, scale, liar, least-squares
    weights = np.array([1.0, 0.9])  # plain, norm-aware
    error = np.einsum("s,c,w,r,i->scwri", depth, 1 - 0.05 * np.arange(criteria), weights, parts, removed**2)
    sample = np.linspace(0, channels - 1, 12).round().astype(np.int32)
    factor = generator.normal(size=(sites, len(sample), 4))
    covariance = factor @ factor.transpose(0, 2, 1)
    deviation = np.sqrt(np.einsum("sii->si", covariance))
    order = np.stack([[generator.permutation(bundles) for _ in CRITERIA] for _ in facts.layers])
    scores = np.sort(generator.lognormal(sigma=2, size=(sites, criteria, bundles)), axis=-1)[..., ::-1]
    return KindArrays(
        order=order,
        scores=scores,
        deviation=scores.std(axis=-1, ddof=1),
        error=error,
        choices=_tiny_choices(sites, bundles),
        energy=np.ones((sites, len(WEIGHTINGS))),
        sensitivity=0.7 * np.ones(sites),
        spectrum=np.tile(np.logspace(2, -3, 24), (sites, 1)),
        condition=np.array([3.2e4] * sites),
        sample=np.tile(sample, (sites, 1)),
        correlation=covariance / (deviation[:, :, None] * deviation[:, None, :]),
    )
