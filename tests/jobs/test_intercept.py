"""Repairs without an intercept: no bias changes, and the weight is the best one without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.small_models import write
from liar import PruneSpec, load_model, save_model
from liar.errors import InvalidSpecError
from liar.explore.forecast import check_covered
from liar.jobs.stages.decide import decide
from liar.maths.drift import Drift
from liar.maths.moments import Moments
from liar.report.words.sentences import recipe, short_recipe
from liar.sites import Site
from liar.spec import Targets
from tests import tiny
from tests.fake_atlas import tiny_atlas


def spec(folder: Path, **choices: Any) -> PruneSpec:
    text = {"calibration": str(folder / "text.txt"), "tokens": 1024, "sequence_length": 32}
    return PruneSpec(model=str(folder), device="cpu", dtype="float32", **{**text, **choices})


def test_the_weight_is_the_best_without_a_bias() -> None:
    torch.manual_seed(0)
    rows, drift = torch.randn(400, 12, dtype=torch.float64) + 2, torch.randn(400, 5, dtype=torch.float64) + 1
    weight, kept = torch.randn(12, 5, dtype=torch.float64), torch.arange(7)
    moments = Moments.of(rows)
    cross = (rows - rows.mean(dim=0)).T @ (drift - drift.mean(dim=0)) / len(rows)
    found = decide(
        Site(0, "ffn", 12), kept, moments, weight, drift=Drift(drift.mean(dim=0), cross), intercept=False
    ).solutions["least-squares"]
    assert found.corrected is not None
    for solution, target in ((found, rows @ weight), (found.corrected, rows @ weight + drift)):
        assert not solution.bias_change.any()
        best = torch.linalg.lstsq(rows[:, kept], target).solution
        left, least = (float((rows[:, kept] @ each - target).square().sum()) for each in (solution.weight, best))
        assert least <= left <= 1.001 * least, "but for the ridge"


@pytest.mark.parametrize("targets", ["ffn", "heads", "layers"])
def test_a_run_adds_no_bias_and_is_an_ordinary_checkpoint(targets: Targets, tmp_path: Path) -> None:
    write("mistral", tmp_path / "mistral")
    errors = {}
    for intercept in (True, False):
        chosen = spec(tmp_path / "mistral", targets=targets, allocation="uniform", ratio=0.34, intercept=intercept)
        last, model = tiny.finished(chosen)
        errors[intercept] = [site.error["least-squares"] for site in last.result.sites if "least-squares" in site.error]
        biases = [name for name, _ in model.model.named_parameters() if name.endswith("bias")]
        assert bool(biases) == intercept
        saved = save_model(model, tmp_path / f"saved-{intercept}", last.result)
        assert saved.form == ("ragged" if intercept else "stock")
        card = (saved.folder / "README.md").read_text()
        assert ("Some runtimes drop these in silence" in card) == intercept
        assert ("--no-intercept \\" in card or "--no-intercept --" in card) == (not intercept)
        assert load_model(str(saved.folder), device="cpu").adapter.family == "llama"
    assert errors[True][0] <= errors[False][0]


@pytest.mark.parametrize("reconstruction", ["bias", "liar"])
def test_a_repair_that_is_a_bias_is_refused_without_one(reconstruction: str, tmp_path: Path) -> None:
    write("llama", tmp_path)
    with pytest.raises(
        InvalidSpecError, match=f"{reconstruction} changes biases.* choose least-squares, scale or none"
    ):
        tiny.finished(spec(tmp_path, intercept=False, reconstruction=reconstruction))


def test_curves_are_not_shown_for_it() -> None:
    with pytest.raises(InvalidSpecError, match="Curves are of repairs with an intercept"):
        check_covered(PruneSpec(model="tiny/bert", intercept=False), tiny_atlas())


def test_the_other_repairs_are_what_they_are(tmp_path: Path) -> None:
    """Only least-squares is another: a table must not show a bias that is none."""
    write("llama", tmp_path)
    runs = [tiny.finished(spec(tmp_path, schedule="one-shot", intercept=each))[0].result for each in (True, False)]
    for first, second in zip(runs[0].sites, runs[1].sites, strict=True):
        assert {**first.error, "least-squares": 0} == {**second.error, "least-squares": 0}
        assert first.error["least-squares"] < second.error["least-squares"] <= second.error["none"]


def test_words_say_so() -> None:
    chosen = PruneSpec(intercept=False)
    assert "without an intercept" in recipe(chosen)
    assert "without an intercept" in short_recipe(chosen)
    assert "intercept" not in recipe(PruneSpec()) + short_recipe(PruneSpec())


def test_it_is_a_part_of_a_link_and_of_the_command() -> None:
    chosen = PruneSpec(intercept=False)
    assert PruneSpec.from_query(chosen.to_query()) == chosen
    assert chosen.key != PruneSpec().key
    assert "intercept" not in PruneSpec().to_query()
