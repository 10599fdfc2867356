"""Drift: a streamed covariance of two things, and the share of it that a repair compensates."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from liar.errors import NonFiniteError
from liar.maths.drift import LEAST_FACTOR, MASSIVE, SHARES, Drift, DriftAccumulator, attenuation, ordinary, share_of
from liar.maths.moments import Moments
from liar.maths.reconstruct import reconstruct_all
from liar.spec import RECONSTRUCTIONS


def drift_of(rows: Tensor, lost: Tensor, *cuts: int) -> Drift:
    accumulator = DriftAccumulator(rows.shape[1], lost.shape[1], dtype=rows.dtype)
    for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        accumulator.update(rows[start:end], lost[start:end])
    return accumulator.finish()


def drawn(seed: int, tokens: int = 200) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs (tokens, 6), a weight (6, 4), and a drift (tokens, 4) that is in part linear in the inputs."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    rows = random(tokens, 6) @ random(6, 6) + 3 * random(6)
    return rows, random(6, 4), rows @ random(6, 4) + random(tokens, 4) + random(4)


@given(st.integers(0, 100), st.integers(0, 200), st.integers(0, 200))
def test_chunks_do_not_matter(seed: int, first: int, second: int) -> None:
    rows, _, lost = drawn(seed)
    found = drift_of(rows, lost, *sorted([first, second]))
    torch.testing.assert_close(found.mean, lost.mean(dim=0))
    torch.testing.assert_close(found.cross, (rows - rows.mean(dim=0)).T @ (lost - lost.mean(dim=0)) / len(rows))


@given(st.integers(0, 100))
def test_the_repair_is_the_least_squares_map_to_output_and_share_of_the_drift(seed: int) -> None:
    rows, weight, lost = drawn(seed)
    kept = torch.tensor([0, 2, 3])
    solutions = reconstruct_all(Moments.of(rows), weight, kept, ridge=0.0, drift=drift_of(rows, lost).times(0.3))
    ones = torch.ones(len(rows), 1, dtype=torch.float64)
    direct = torch.linalg.lstsq(torch.cat([rows[:, kept], ones], dim=1), rows @ weight + 0.3 * lost).solution
    installed = solutions["least-squares"].installed
    torch.testing.assert_close(installed.weight, direct[:-1])
    torch.testing.assert_close(installed.bias_change, direct[-1])


@given(st.integers(0, 100))
def test_only_what_least_squares_installs_reads_the_drift(seed: int) -> None:
    rows, weight, lost = drawn(seed)
    kept = torch.tensor([1, 4])
    without = reconstruct_all(Moments.of(rows), weight, kept)
    corrected = reconstruct_all(Moments.of(rows), weight, kept, drift=drift_of(rows, lost))
    unmoved = reconstruct_all(Moments.of(rows), weight, kept, drift=drift_of(rows, torch.zeros_like(lost)))
    for name in RECONSTRUCTIONS:
        for other, equal in ((corrected, name != "least-squares"), (unmoved, True)):
            for found, same in ((other[name], True), (other[name].installed, equal)):
                assert torch.equal(without[name].weight, found.weight) == same
                assert torch.equal(without[name].bias_change, found.bias_change) == same


def test_tokens_with_massive_activations_have_none() -> None:
    streams = [torch.ones(5, 3), torch.ones(4, 3)]
    streams[1][2] *= MASSIVE * 1.01
    streams[1][3] *= MASSIVE * 0.99
    assert [mask.flatten().tolist() for mask in ordinary(streams)] == [[1] * 5, [1, 1, 0, 1]]


@pytest.mark.parametrize("tokens", [0, 1])
def test_few_tokens_have_no_covariance(tokens: int) -> None:
    found = drift_of(torch.ones(tokens, 6), torch.ones(tokens, 4))
    assert not found.cross.any()
    assert found.mean.tolist() == [tokens] * 4


def test_shares_go_from_first_to_last_block() -> None:
    assert [share_of(layer, 4) for layer in range(4)] == pytest.approx([SHARES[0], 0.3, 0.2, SHARES[1]])
    assert share_of(0, 1) == SHARES[0]


@given(st.integers(0, 100))
def test_attenuation_is_a_slope_beside_an_intercept(seed: int) -> None:
    rows, _, lost = drawn(seed)
    states, dense = rows[:, :4], lost
    centred = torch.cat([torch.eye(4, dtype=torch.float64).repeat(len(rows), 1), states.reshape(-1, 1)], dim=1)
    slope = float(torch.linalg.lstsq(centred, dense.reshape(-1, 1)).solution[-1])
    expected = min(max(slope, LEAST_FACTOR), 1.0)
    assert attenuation([dense[:50], dense[50:]], [states[:50], states[50:]]) == pytest.approx(expected, abs=1e-9)


@given(st.integers(0, 100), st.floats(0, 10))
def test_noise_attenuates(seed: int, noise: float) -> None:
    """States with added noise call for a factor of energy / (energy + noise^2)."""
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(5000, 4, generator=generator)
    noisy = states + noise * torch.randn(5000, 4, generator=generator)
    assert attenuation([states], [noisy]) == pytest.approx(max(1 / (1 + noise**2), LEAST_FACTOR), abs=0.05)


def test_attenuation_of_equal_constant_opposite_and_broken_states() -> None:
    states = torch.randn(20, 4)
    assert attenuation([states], [states]) == pytest.approx(1)
    assert attenuation([states], [torch.ones(20, 4)]) == 1
    assert attenuation([states], [-states]) == LEAST_FACTOR
    assert attenuation([states], [states / 2]) == 1
    with pytest.raises(NonFiniteError, match="last hidden states"):
        attenuation([states], [states / 0])


@given(st.integers(0, 100), st.sampled_from([1e-7, 1e-5]), st.booleans())
def test_states_that_differ_by_rounding_alone_have_no_slope(seed: int, noise: float, of_dense: bool) -> None:
    """On a text that repeats one word every token has the same state; the slope of the rounding noise would be about 0."""
    generator = torch.Generator().manual_seed(seed)
    varied, other = torch.randn(200, 4, generator=generator), torch.randn(200, 4, generator=generator)
    same = 3 + noise * other
    states = ([same], [varied]) if of_dense else ([varied], [same])
    assert attenuation(*states) == 1
