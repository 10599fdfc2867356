"""Moments with the means of texts: against a direct sum, and against what they are for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from liar.calibration.activations import walk
from liar.calibration.calibrate import coherence_of
from liar.calibration.coherence import COUNTED, Coherence, mean_weights, text_means
from liar.calibration.gradients import gradient_steps
from liar.maths.drift import DriftAccumulator
from liar.maths.moments import Moments, MomentsAccumulator
from liar.maths.reconstruct import reconstruct
from liar.models.adapter import Adapter, Stream
from liar.models.embedder import Embedder
from liar.models.families import adapt
from liar.runtime.devices import Batch
from liar.spec import Needs
from tests.families import batches, build, gradients

RHO = 0.4


def bare() -> Adapter:
    return adapt(build("bert").base_model)


def inputs(adapter: Adapter, batch: Batch) -> tuple[Tensor, Tensor]:
    """Inputs of the consumer of the first site (texts, length, d), and its residual stream."""
    stream, site = adapter.embed(batch), adapter.sites()[0]
    return adapter.advance(site, stream)


@pytest.mark.parametrize("padded", [False, True])
def test_moments_hold_the_means_of_texts_with_their_weights(padded: bool) -> None:
    adapter = bare()
    batch = batches(1, size=4, length=9, padded=padded)[0]
    mask = batch["attention_mask"].bool()
    rows, total = inputs(adapter, batch)
    lengths = mask.sum(dim=1)
    means = torch.stack([each[real].mean(dim=0) for each, real in zip(rows, mask, strict=True)])
    extra = COUNTED * RHO * (lengths - 1) * lengths
    weights = torch.cat([torch.ones(int(lengths.sum())), extra]).to(rows.dtype)
    wanted = Moments.of(torch.cat([rows[mask], means]), weights)
    first = next(iter(walk(adapter, [batch], "both", coherence={"layers.0.attention": RHO})))
    torch.testing.assert_close(first.moments.plain.covariance, wanted.covariance)
    torch.testing.assert_close(first.moments.plain.mean, wanted.mean)
    assert first.moments.plain.tokens == int(lengths.sum())
    energy = total.float().square().sum(dim=-1)
    of_text = torch.stack([each[real].mean() for each, real in zip(energy, mask, strict=True)])
    shares = torch.cat([1 / energy[mask], extra / of_text]).to(rows.dtype)
    norm_aware = Moments.of(torch.cat([rows[mask], means]), shares)
    torch.testing.assert_close(first.moments.norm_aware.covariance, norm_aware.covariance, rtol=1e-5, atol=1e-9)
    plain = next(iter(walk(adapter, [batch], "both")))
    assert not torch.allclose(plain.moments.plain.covariance, wanted.covariance)


def test_the_drift_has_them_too() -> None:
    torch.manual_seed(0)
    rows, lost, weights = torch.randn(20, 5), torch.randn(20, 3), torch.rand(20)
    accumulator = DriftAccumulator(5, 3)
    for part in (slice(0, 7), slice(7, 20)):
        accumulator.update(rows[part], lost[part], weights[part])
    found = accumulator.finish()
    share = weights / weights.sum()
    mean, drift = share @ rows, share @ lost
    torch.testing.assert_close(found.mean, drift)
    torch.testing.assert_close(found.cross, ((rows - mean) * share.unsqueeze(1)).T @ (lost - drift))


def test_coherence_is_the_share_of_what_pairs_of_tokens_could_have_in_common() -> None:
    torch.manual_seed(0)
    found, pairs, most = Coherence(), 0.0, 0.0
    for length in (3, 6):
        text = torch.randn(1, length, 4) + 0.7
        found.update(text, torch.ones(1, length))
        products = text[0] @ text[0].T
        pairs += float(products.sum() - products.trace())
        most += (length - 1) * float(products.trace())
    assert found.value == pytest.approx(pairs / most)
    assert Coherence().value == 0
    alone = Coherence()
    alone.update(torch.randn(2, 1, 4), torch.ones(2, 1))
    assert alone.value == 0, "one token has nothing in common with another"


def test_it_is_measured_with_the_sensitivities_of_an_embedder_alone() -> None:
    adapter, text = bare(), batches(4, padded=True)
    of_mean = gradients(gradient_steps(adapter, text, "both", Needs(sensitivity=True), Embedder()))
    of_first = gradients(gradient_steps(adapter, text, "both", Needs(sensitivity=True), Embedder("cls")))
    of_none = gradients(gradient_steps(adapter, text, "both", Needs(sensitivity=True)))
    assert coherence_of(of_none) == {}
    last = adapter.sites()[-1].name
    assert of_mean[last].coherence > 0.3
    assert of_first[last].coherence == 0, "the last block moves one token of a text"
    assert all(0 <= each.coherence <= 1 for each in of_mean.values())


def test_errors_that_tokens_share_count_as_the_vector_moves() -> None:
    """A repair by these moments leaves the mean over a text nearer to what it was than one by the moments of tokens."""
    torch.manual_seed(0)
    texts, length, width = 200, 10, 8
    shared, own = torch.randn(texts, 1, width), 3 * torch.randn(texts, length, width)
    rows = shared @ torch.randn(width, width) + own @ torch.randn(width, width)
    stream = Stream(torch.zeros(texts, length, 1), None, [])
    weight, kept = torch.randn(width, 4), torch.arange(4)
    moved = {}
    for coherence in (0.0, 1.0):
        accumulator = MomentsAccumulator(width)
        accumulator.update(rows.flatten(0, 1))
        accumulator.update(text_means(stream, rows), mean_weights(stream, coherence), are_tokens=False)
        solution = reconstruct(accumulator.finish(), weight, kept)
        left = rows[..., kept] @ solution.weight.float() + solution.bias_change.float() - rows @ weight
        moved[coherence] = float(left.mean(dim=1).square().sum())
    assert moved[1.0] < 0.9 * moved[0.0]
