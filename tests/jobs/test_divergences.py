"""Divergences of masked candidates are those of the smaller models, and of torch."""

from __future__ import annotations

from math import log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from liar.calibration.calibrate import calibrate
from liar.calibration.divergences import answers_steps, divergence_steps, masked, pieces_of, restored
from liar.data.corpora import calibration_batches
from liar.jobs.decide import decide
from liar.maths.criteria import Evidence, score
from liar.maths.divergence import of_distributions, of_numbers, of_yes_or_no
from liar.models import precision
from liar.models.adapter import Batch
from liar.models.catalog import LoadedModel, working_copy
from liar.models.memory import PlannedWork
from liar.models.surgery import ConsumerParameters, install, shrink
from liar.progress import finish
from liar.sites import Site
from liar.spec import Targets
from tests import tiny

# -- divergences --------------------------------------------------------------------------------------------------------

logits = st.lists(st.lists(st.floats(-20, 20), min_size=4, max_size=4), min_size=1, max_size=5)


@given(logits, st.integers(0, 100))
def test_divergences_are_those_of_torch_and_never_negative(rows: list[list[float]], seed: int) -> None:
    dense = torch.tensor(rows, dtype=torch.float64).float()
    pruned = dense + torch.randn(dense.shape, generator=torch.Generator().manual_seed(seed))
    found = of_distributions(dense, pruned)
    p, q = dense.double().log_softmax(-1), pruned.double().log_softmax(-1)
    expected = torch.nn.functional.kl_div(q, p, reduction="none", log_target=True).sum(-1)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)
    assert (found >= -1e-6).all()
    assert (of_distributions(dense, dense) == 0).all()
    assert (of_yes_or_no(dense, dense) == 0).all()
    both = torch.distributions.kl_divergence(
        torch.distributions.Bernoulli(logits=dense.double()), torch.distributions.Bernoulli(logits=pruned.double())
    )
    torch.testing.assert_close(of_yes_or_no(dense, pruned), both.sum(-1), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(of_numbers(dense, pruned), (dense - pruned).double().square().sum(-1) / 2)


def test_a_class_that_is_none_adds_nothing() -> None:
    dense = torch.tensor([[0.0, 0.0, -torch.inf]])
    pruned = torch.tensor([[log(3.0), 0.0, -torch.inf]])
    assert float(of_distributions(dense, pruned)) == pytest.approx(log(2 / 3**0.5))


# -- candidates ---------------------------------------------------------------------------------------------------------


def answers(model: LoadedModel, batches: list[Batch]) -> Tensor:
    with torch.no_grad():
        return torch.cat([model.model(**batch).logits.flatten(0, 1) for batch in batches])


def divergence(model: LoadedModel, batches: list[Batch], candidate: dict[Site, ConsumerParameters]) -> float:
    pieces = pieces_of(model.adapter, batches)
    dense = finish(answers_steps(model.adapter, pieces))
    for site, parameters in candidate.items():
        install(model.adapter, site, parameters)
    return finish(divergence_steps(model.adapter, pieces, dense))


@pytest.mark.parametrize("targets", ["ffn", "heads", "both"])
def test_a_masked_candidate_answers_as_the_smaller_model(
    text: str, model: LoadedModel, targets: Targets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_fast_half", lambda: False)
    batches = calibration_batches(text, model, 256, 32, 0)
    moments = calibrate(model, text, tokens=512, sequence_length=32).moments
    small = working_copy(model, PlannedWork())
    candidate: dict[Site, ConsumerParameters] = {}
    for site in model.adapter.sites(targets):
        consumer = model.adapter.consumer(site)
        weight = consumer.weight.T
        scores = score("obs", Evidence(site, moments[site].plain, weight))
        decision = decide(site, scores, site.bundles // 2, moments[site].plain, weight)
        parameters = ConsumerParameters.install_of(consumer, decision.solutions["least-squares"])
        candidate[site] = masked(consumer.weight, decision.channels, parameters)
        shrink(small.adapter, site, decision.bundles, parameters)
    small.adapter.after_surgery(small.adapter.sites(targets))
    dense = answers(model, batches)
    with restored(model.adapter, list(candidate)):
        assert divergence(model, batches, {}) == 0
        found = divergence(model, batches, candidate)
        torch.testing.assert_close(answers(model, batches), answers(small, batches), rtol=1e-4, atol=1e-4)
    assert torch.equal(answers(model, batches), dense), "the dense consumers are back"
    assert all(model.adapter.consumer(site).bias is None for site in model.adapter.sites())
    assert found == pytest.approx(float(of_distributions(dense, answers(small, batches)).mean()), rel=1e-3)
    monkeypatch.setattr(precision, "has_fast_half", lambda: True)
    with restored(model.adapter, list(candidate)):
        fast = divergence(model, batches, candidate)
    assert found != fast == pytest.approx(found, rel=0.05)


@pytest.mark.parametrize("maker", [tiny.classifier, tiny.language_model])
def test_padding_does_not_matter(maker: object, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_fast_half", lambda: False)
    model: LoadedModel = maker()  # type: ignore[operator]
    (batch,) = calibration_batches(text, model, 40, 16, 0)
    padded = {name: torch.nn.functional.pad(tensor, (0, 5)) for name, tensor in batch.items() if tensor.ndim == 2}
    site = model.adapter.sites("ffn")[0]
    zero = {site: ConsumerParameters(torch.zeros_like(model.adapter.consumer(site).weight), None)}
    found = []
    for each in (batch, padded):
        with restored(model.adapter, [site]):
            found.append(divergence(model, [each], zero))
    assert found[0] > 0
    assert found[1] == pytest.approx(found[0], rel=1e-3)
