"""Patch of a run of blocks: identities, orders of the errors, and its solution against a direct fit."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from liar.choices import Reconstruction
from liar.errors import NonFiniteError
from liar.maths.moments import Moments
from liar.maths.patch import PATCHES, factor_of, patches
from liar.maths.reconstruct import Solution
from liar.maths.solver import RIDGE
from liar.spec import RECONSTRUCTIONS
from tests.maths.problem import TOLERANCE
from tests.maths.test_drift import drawn, drift_of

seeds = st.integers(0, 2**31 - 1)


def solve(
    x: Tensor, weight: Tensor, lost: Tensor, methods: Sequence[Reconstruction] = PATCHES, ridge: float = RIDGE
) -> dict[Reconstruction, Solution]:
    inputs = Moments.of(x)
    factor = factor_of(inputs, ridge=ridge, site="layers.3.ffn")
    return patches(inputs, drift_of(x, lost), weight, methods, factor=factor, site="layers.3.ffn")


def error(x: Tensor, lost: Tensor, weight: Tensor, patch: Solution) -> float:
    return float((lost - x @ (patch.weight - weight) - patch.bias_change).square().sum() / len(x))


@given(seeds)
def test_blocks_that_do_nothing_change_nothing(seed: int) -> None:
    x, weight, lost = drawn(seed)
    for patch in solve(x, weight, torch.zeros_like(lost)).values():
        torch.testing.assert_close(patch.weight, weight)
        torch.testing.assert_close(patch.bias_change, torch.zeros(4, dtype=torch.float64))


@given(seeds)
def test_least_squares_is_the_direct_fit(seed: int) -> None:
    x, weight, lost = drawn(seed)
    patch = solve(x, weight, lost, ("least-squares",), ridge=0.0)["least-squares"]
    direct = torch.linalg.lstsq(torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1), lost).solution
    torch.testing.assert_close(patch.weight - weight, direct[:-1])
    torch.testing.assert_close(patch.bias_change, direct[-1])


@given(seeds, st.floats(0, 10), st.integers(2, 60))
def test_a_fitted_patch_is_never_worse_than_the_mean_nor_that_than_none(seed: int, ridge: float, tokens: int) -> None:
    x, weight, lost = drawn(seed, tokens)
    errors = {name: error(x, lost, weight, patch) for name, patch in solve(x, weight, lost, ridge=ridge).items()}
    assert errors["least-squares"] <= errors["bias"] * (1 + TOLERANCE) + TOLERANCE
    assert errors["bias"] <= errors["none"] * (1 + TOLERANCE)


@given(seeds)
def test_a_map_of_the_input_is_at_least_as_close_as_one_of_the_output(seed: int) -> None:
    """ReplaceMe's map T of the output x W, with an intercept."""
    x, weight, lost = drawn(seed)
    patch = solve(x, weight, lost, ridge=0.0)["least-squares"]
    outputs = torch.cat([x @ weight, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
    rest = lost - outputs @ torch.linalg.lstsq(outputs, lost).solution
    assert error(x, lost, weight, patch) <= float(rest.square().sum() / len(x)) * (1 + TOLERANCE)


def test_other_reconstructions_are_of_units() -> None:
    for name in set(RECONSTRUCTIONS) - set(PATCHES):
        with pytest.raises(KeyError):
            solve(*drawn(0), (name,))


def test_what_is_not_finite_is_refused_with_its_site() -> None:
    x, weight, lost = drawn(0)
    lost[3, 1] = float("nan")
    with pytest.raises(NonFiniteError, match=r"layers\.3\.ffn"):
        solve(x, weight, lost)
