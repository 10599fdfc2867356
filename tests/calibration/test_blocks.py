"""What runs of blocks add, their patches and errors, against the residual stream of the model's own forward."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from accelerate import cpu_offload
from torch import Tensor

from liar.calibration import block_statistics
from liar.calibration.block_statistics import Span, spans
from liar.maths.patch import PATCHES
from liar.models.loaded import LoadedModel
from liar.runtime.devices import Batch
from tests import tiny
from tests.models.test_families import behind

LAYERS = 5


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny.language_model(layers=LAYERS)


def text(*lengths: int) -> list[Batch]:
    """Two batches of letters; shorter sequences are padded."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(4, 30, (len(lengths), max(lengths)), generator=generator)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)).long()
    half = len(lengths) // 2
    return [{"input_ids": ids[part], "attention_mask": mask[part]} for part in (slice(half), slice(half, None))]


def rows(loaded: LoadedModel, batches: list[Batch]) -> list[tuple[Tensor, Tensor]]:
    """Of every block the inputs of its FFN consumer and the residual stream behind it, real tokens of all text."""
    return [behind(loaded.adapter, site, batches) for site in loaded.adapter.sites("ffn")]


def check(span: Span, found: list[tuple[Tensor, Tensor]]) -> None:
    (x, z), (_, y) = ([each.double() for each in found[layer]] for layer in (span.start.layer, span.removed[-1]))
    lost = y - z
    moments = span.start.moments
    assert moments.tokens == len(x)
    torch.testing.assert_close(moments.covariance.double(), x.T.cov(correction=0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(span.lost.mean.double(), lost.mean(dim=0), rtol=1e-4, atol=1e-5)
    cross = (x - x.mean(dim=0)).T @ (lost - lost.mean(dim=0)) / len(x)
    torch.testing.assert_close(span.lost.cross.double(), cross, rtol=1e-4, atol=1e-5)
    weight = torch.zeros(x.shape[1], y.shape[1])
    patches = span.patches(weight, PATCHES)
    plain, aware = (span.errors(weight, patches, norm_aware=kind) for kind in (False, True))
    for name, patch in patches.items():
        left = (lost - x @ patch.weight - patch.bias_change).square().sum(dim=1)
        assert plain[name] == pytest.approx(float(left.sum() / y.square().sum()), rel=1e-4)
        assert aware[name] == pytest.approx(float((left / y.square().sum(dim=1)).mean()), rel=1e-4)


@pytest.mark.parametrize("lengths", [[1], [2, 3], range(1, 5)])
def test_every_run_is_seen_once_with_its_moments_and_errors(loaded: LoadedModel, lengths: Sequence[int]) -> None:
    batches = text(16, 16, 9, 12, 3)
    expected = rows(loaded, batches)
    found = list(spans(loaded.adapter, batches, lengths))
    runs = {(first, length) for length in lengths for first in range(1, LAYERS - length + 1)}
    assert sorted((span.removed.start, span.blocks) for span in found) == sorted(runs)
    for span in found:
        check(span, expected)


def test_one_factorisation_serves_all_lengths_at_a_start(loaded: LoadedModel) -> None:
    """The patch of a run does not depend on which others share the factor."""
    batches = text(16, 9, 12, 3)
    together = {(span.start.layer, span.blocks): span for span in spans(loaded.adapter, batches, range(1, 5))}
    assert len({id(span.start) for span in together.values()}) == LAYERS - 1
    for (before, blocks), span in together.items():
        (alone,) = spans(loaded.adapter, batches, [blocks], before=before)
        weight = loaded.adapter.consumer(span.start.site).weight.T
        for name, patch in span.patches(weight, PATCHES).items():
            other = alone.patches(weight, (name,))[name]
            assert torch.equal(patch.weight, other.weight)
            assert torch.equal(patch.bias_change, other.bias_change)


def test_norm_aware_errors_are_of_a_sample_of_a_long_text(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_statistics, "MEAN_TOKENS", 0.5)
    batches = text(*[16] * 10, 9, 3)
    (span,) = spans(loaded.adapter, batches, [1], before=1)
    sampled = sum(len(end[chosen]) for end, chosen in zip(span.ends, span.start.reported, strict=True))
    assert 24 <= sampled < sum(map(len, span.ends)) / 2
    weight = loaded.adapter.consumer(span.start.site).weight.T
    found = span.patches(weight, ("none",))
    y, z = (
        torch.cat([part[chosen] for part, chosen in zip(parts, span.start.reported, strict=True)])
        for parts in (span.ends, span.start.streams)
    )
    expected = ((y - z).square().sum(dim=1) / y.square().sum(dim=1)).mean()
    assert span.errors(weight, found, norm_aware=True)["none"] == pytest.approx(float(expected), rel=1e-5)


def test_massive_tokens_count_as_ones_to_which_the_run_adds_nothing(loaded: LoadedModel) -> None:
    batches = text(16, 16, 16, 16)
    letter = batches[0]["input_ids"][0, 0]
    massive = torch.cat([batch["input_ids"].flatten() for batch in batches]) == letter
    own = tiny.language_model(layers=LAYERS)
    with torch.no_grad():
        own.model.get_input_embeddings().weight[letter] *= 1000
    (span,) = spans(own.adapter, batches, [1], before=0)
    assert torch.equal(torch.cat(span.ordinary).squeeze(1) == 0, massive)
    (_, before), (_, after), *_ = rows(own, batches)
    lost = (after - before) * ~massive.unsqueeze(1)
    torch.testing.assert_close(span.lost.mean, lost.mean(dim=0), rtol=1e-3, atol=1e-4)


def test_a_streamed_model_has_the_same_moments(loaded: LoadedModel) -> None:
    batches = text(16, 9, 12, 3)
    streamed = tiny.language_model(layers=LAYERS)
    cpu_offload(streamed.model, execution_device=torch.device("cpu"))
    for one, other in zip(spans(loaded.adapter, batches, [3]), spans(streamed.adapter, batches, [3]), strict=True):
        assert torch.equal(one.start.moments.covariance, other.start.moments.covariance)
        assert torch.equal(one.lost.cross, other.lost.cross)
