"""The synthetic layers of the study: theory beside measurement."""

from __future__ import annotations

from statistics import fmean, stdev

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from parts.nonlinear import KEPT, KINDS, TOKENS, Kind, Layer, errors


@given(st.sampled_from(KINDS), st.floats(0, 1), st.integers(0, 9))
def test_removed_channels_are_standardised_and_explained_as_the_theory_has_it(
    kind: Kind, share: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    layer = Layer.drawn(kind, share, generator)
    x = torch.randn(8_000, KEPT, generator=generator, dtype=torch.float64)
    removed = layer.removed(x, generator)
    assert float(removed.mean(dim=0).abs().max()) < 0.08
    left = removed - x @ torch.linalg.lstsq(x, removed).solution
    explained = 1 - float(left.var(dim=0).sum() / removed.var(dim=0).sum())
    assert explained == pytest.approx(layer.explained(), abs=0.03)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_least_squares_leaves_what_no_line_explains(kind: Kind, share: float) -> None:
    drawn = [errors(kind, share, seed) for seed in range(4)]
    theory = fmean(theory for theory, _ in drawn) * (1 + KEPT / TOKENS)
    found = [each["least-squares"] for _, each in drawn]
    assert fmean(found) == pytest.approx(theory, abs=0.005 + 3 * stdev(found))
    assert all(each["least-squares"] <= each["liar"] * 1.001 for _, each in drawn)
