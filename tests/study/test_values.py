"""Value channels: turned attentions compute what they did, and lose coordinates one by one as any model loses units."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parts.subjects import Subject
from torch.testing import assert_close
from turned import Gathered, Spread, balanced, turned
from values import section

from liar import LoadedModel, PruneSpec, run
from liar.models.families import adapt
from tests.families import BUILDERS, batches, build, logits
from tests.tiny import labelled_letters, tokenizer


def _loaded(family: str) -> LoadedModel:
    model = build(family).float().requires_grad_(False)
    return LoadedModel(f"tiny/{family}", model, tokenizer(64), adapt(model), None)


@pytest.mark.parametrize("family", BUILDERS)
def test_a_turned_model_computes_the_same(family: str) -> None:
    dense, text = _loaded(family), batches(padded=True)
    before = logits(dense.model, text[0])
    model = turned(dense, text)
    assert (logits(model.model, text[0]) - before).abs().max() < 1e-5 * before.abs().max()
    assert torch.equal(logits(dense.model, text[0]), before)
    sites = model.adapter.sites("heads")
    assert [site.channels for site in sites] == [site.channels for site in dense.adapter.sites("heads")]
    groups = {"llama": 2, "mistral": 2, "qwen2": 2, "qwen3": 2}.get(family.partition("-")[0], 1)
    assert {site.unit_size for site in sites} == {groups}


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), size=st.integers(2, 9), kept=st.integers(1, 9))
def test_the_first_coordinates_of_one_head_are_the_best(seed: int, size: int, kept: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(40, size, generator=generator, dtype=torch.float64) @ torch.randn(
        size, size, generator=generator, dtype=torch.float64
    )
    rows -= rows.mean(dim=0)
    W, kept = torch.randn(size, 12, generator=generator, dtype=torch.float64), min(kept, size)
    basis = balanced((rows.T @ rows / 40).unsqueeze(0), W.unsqueeze(0))
    lost = rows @ W - (rows @ basis.into[:, :kept]) @ (basis.back[:kept] @ W)
    least = torch.linalg.svdvals(rows @ W)[kept:].square().sum()  # Eckart & Young 1936: no rank of so many is closer
    assert_close(lost.square().sum(), least, rtol=1e-6, atol=1e-8)
    assert_close(basis.added[kept:].sum() * 40, least, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("family", ["llama", "bert"])
@pytest.mark.parametrize("schedule", ["one-shot", "corrective"])
def test_half_of_the_coordinates_go(family: str, schedule: str, tmp_path: Path) -> None:
    text = tmp_path / "letters.txt"
    text.write_text("\n\n".join(sample.text for sample in labelled_letters(24)))
    model = turned(_loaded(family), batches())
    recipe = {"targets": "heads", "ratio": 0.5, "schedule": schedule, "tokens": 512, "sequence_length": 32}
    result = run(PruneSpec.create(model=model.id, calibration=str(text), **recipe), model)
    kept, of = sum(site.kept for site in result.sites), sum(site.units for site in result.sites)
    assert kept == pytest.approx(of / 2, abs=2)
    for site in result.sites:
        assert 0 <= site.error["least-squares"] <= site.error["bias"] + 1e-9
    dense, sites = model.adapter, model.adapter.sites("heads")
    each = {dense.bundle_parameters(site) for site in sites}
    assert len(each) == 1
    gone = result.totals.block_parameters_before - result.totals.block_parameters_after
    assert gone == pytest.approx((of - kept) * each.pop(), abs=dense.consumer(sites[0]).out_features * len(sites))


def test_what_is_removed_of_a_turned_attention_is_zero() -> None:
    linear = torch.nn.Linear(4, 2, bias=False)
    spread = Spread(linear, torch.tensor([1, 4]), 6)
    hidden = torch.randn(3, 4)
    assert spread(hidden)[:, [0, 2, 3, 5]].abs().max() == 0
    assert torch.equal(spread(hidden)[:, [1, 4]], linear(hidden))
    reader = torch.nn.Linear(2, 5)
    wide = torch.randn(3, 6)
    assert torch.equal(Gathered(reader, torch.tensor([5, 0]))(wide), reader(wide[:, [5, 0]]))


@pytest.mark.long
def test_values_stand_beside_heads() -> None:
    subject = Subject("demo/minilm-sentiment", "sentiment", "heads")
    text = section((subject,), (0.25,), evaluate_limit=40, tokens=2048)
    assert "Of 1 comparisons value channels are ahead in" in text
    assert "| minilm-sentiment | 25% | 50% |" in text
