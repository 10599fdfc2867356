"""The part of the calibration text that allocates: whole sequences, drawn evenly, the same each time."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from liar import LoadedModel, PruneSpec, run
from liar.calibration.activations import walk
from liar.calibration.calibrate import calibrate
from liar.calibration.sample import (
    CURVE_TOKENS,
    MEAN_TOKENS,
    divided,
    every,
    sensitivity_tokens,
    stride,
    tokens_of,
)
from liar.maths.criteria import Evidence, magnitude
from liar.maths.solver import RIDGE, ridge_share
from liar.runtime.devices import Batch
from tests import tiny


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "letters.txt"
    path.write_text("\n\n".join(" ".join(tiny.LETTERS[start % 26 :: 1 + start % 3]) for start in range(400)))
    return str(path)


def batches_of(lengths: list[list[int]]) -> list[Batch]:
    """Padded batches whose sequences have these lengths and a token of their own each."""
    found: list[Batch] = []
    for number, batch in enumerate(lengths):
        mask = torch.arange(max(batch)) < torch.tensor(batch).unsqueeze(1)
        ids = torch.arange(len(batch)).unsqueeze(1) + 100 * number
        found.append({"input_ids": ids.expand_as(mask) * mask, "attention_mask": mask.long()})
    return found


@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=5), min_size=1, max_size=6), st.integers(1, 200))
def test_a_text_is_divided_into_whole_sequences(lengths: list[list[int]], tokens: int) -> None:
    batches = batches_of(lengths)
    some, others = divided(batches, tokens)
    assert tokens_of(some) + tokens_of(others) == tokens_of(batches)
    assert tokens_of(some) >= min(tokens, tokens_of(batches))
    assert tokens_of(some) < tokens + 9

    def first_tokens(part: list[Batch]) -> list[int]:
        return [int(token) for batch in part for token in batch["input_ids"][:, 0]]

    assert sorted(first_tokens(some) + first_tokens(others)) == sorted(first_tokens(batches))
    assert first_tokens(divided(batches, tokens)[0]) == first_tokens(some)


def test_short_and_long_sequences_are_drawn_alike() -> None:
    """Batches are sorted by length, so a sample of the first ones would hold the shortest texts only."""
    batches = batches_of([[length] * 8 for length in range(1, 41)])
    some, _ = divided(batches, tokens_of(batches) // 4)
    mean = tokens_of(some) / sum(len(batch["input_ids"]) for batch in some)
    assert 17 < mean < 24


def test_norm_aware_moments_are_of_a_sample_and_plain_ones_of_all_tokens() -> None:
    loaded = tiny.language_model()
    site = loaded.adapter.sites("ffn")[0]
    tokens = 16 * site.channels
    ids = torch.randint(4, 30, (tokens // 16, 16))
    batches: list[Batch] = [{"input_ids": part, "attention_mask": torch.ones_like(part)} for part in ids.split(8)]
    assert stride(tokens, site.channels, MEAN_TOKENS) == 8
    visit = next(iter(walk(loaded.adapter, batches, "ffn")))
    assert visit.moments.plain.tokens == tokens
    assert visit.moments.norm_aware.tokens == tokens // 8
    alone = next(iter(walk(loaded.adapter, [{n: t[:1] for n, t in batch.items()} for batch in batches], "ffn")))
    torch.testing.assert_close(visit.moments.norm_aware.covariance, alone.moments.norm_aware.covariance)


def test_curves_of_norm_aware_moments_read_as_many_tokens_as_those_of_plain_ones(text: str) -> None:
    loaded = tiny.language_model()
    calibration = calibrate(loaded, text, tokens=2048, sequence_length=32)
    for site, moments in calibration.moments.items():
        assert moments.norm_aware.tokens >= min(CURVE_TOKENS * site.channels, 2048)


@given(st.integers(1, 20), st.floats(1, 12) | st.integers(1, 12).map(float))
def test_a_stride_need_not_be_an_integer(sequences: int, stride: float) -> None:
    chosen = torch.arange(sequences)[every(stride, sequences)].tolist()
    assert len(chosen) == math.ceil(sequences / stride), "no fewer than the mean needs"
    assert chosen == [int(place * stride) for place in range(len(chosen))]
    if stride.is_integer():
        assert chosen == list(range(sequences))[:: int(stride)]


@pytest.mark.parametrize(("loaded", "growth"), [(tiny.classifier(), 1), (tiny.language_model(), 4)])
def test_little_text_has_a_larger_ridge_in_a_language_model_alone(loaded: LoadedModel, growth: int) -> None:
    batch = {"input_ids": torch.full((1, 8), 5), "attention_mask": torch.ones(1, 8, dtype=torch.long)}
    for visit in walk(loaded.adapter, [batch], "both"):
        moments = visit.moments.plain
        assert ridge_share(moments) == growth * RIDGE * len(moments.mean) / 8, visit.site


def test_a_site_is_scored_once(text: str) -> None:
    """By the dense model, which allocates; so what an earlier site lost does not decide which units a later one keeps."""
    loaded, scored = tiny.language_model(), []

    def by_norm(evidence: Evidence) -> torch.Tensor:
        scored.append(evidence.site.name)
        return magnitude(evidence)

    spec = PruneSpec(model=loaded.id, calibration=text, tokens=640, sequence_length=32)
    run(spec, loaded, criterion=by_norm)
    assert sorted(scored) == sorted(site.name for site in loaded.adapter.sites("ffn"))


@given(st.integers(1, 4096), st.integers(1, 10**6))
def test_sensitivities_read_a_third_of_the_text_within_one_to_two_tokens_a_channel(widest: int, tokens: int) -> None:
    read = sensitivity_tokens(widest, tokens)
    assert min(tokens, widest) <= read <= min(tokens, 2 * widest)
    if widest <= tokens // 3 <= 2 * widest:
        assert read == tokens // 3
