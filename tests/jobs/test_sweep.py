"""A sweep shares the work that runs have in common, and every point equals a run by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from liar import PruneSpec, calibrate, run
from liar.calibration import calibrate as calibrate_module
from liar.errors import EmptySiteError, InsufficientMemoryError, InvalidSpecError
from liar.evaluate.outcome import Outcome, Outcomes
from liar.events import Evaluated, Progress
from liar.jobs import mask_table, pipeline, sweep
from liar.jobs.mask_table import mask_table_steps
from liar.jobs.pipeline import stream
from liar.jobs.stages import reduction
from liar.jobs.sweep import sweep_steps
from liar.models.loaded import LoadedModel
from liar.progress import finish
from liar.results import Evaluation, Items, MaskCell, MeasuredVariant, RunResult
from liar.spec import ALLOCATIONS, CRITERIA, RECONSTRUCTIONS, SCHEDULES, SweepSpec, ratios_between
from liar.store import RunStore
from liar.tasks.samples import Sample
from tests import tiny
from tests.jobs import conftest as recipe


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the metric by the mean square logit of fixed tokens; return the variants in the order of measurement."""
    variants: list[str] = []
    ids = torch.arange(4, 24).unsqueeze(0)
    labels = ["first", "second"]
    samples = [Sample("a b", "first"), Sample("b a", "second")]

    def measure(
        loaded: LoadedModel, variant: MeasuredVariant, outcomes: Outcomes | None = None
    ) -> Iterator[tuple[int, int]]:
        with torch.no_grad():
            value = float(loaded.model(ids).logits.square().mean())
        variants.append(variant)
        if outcomes is not None:
            answers = labels if variant == "dense" else ["second", "second"]
            right = [answer == label for answer, label in zip(answers, labels, strict=True)]
            outcome = Outcome(samples, Items(digest=""), answers, labels, right)
            outcomes.setdefault("perplexity", {})[variant] = outcome
        yield 1, 1
        return Evaluation(task="perplexity", metric="perplexity", variant=variant, value=value, n=1, stderr=value / 10)

    def prepare_all(loaded: LoadedModel, spec: PruneSpec) -> dict[str, SimpleNamespace]:
        return {
            task: SimpleNamespace(
                steps=measure, digests=frozenset(), asked=None, compared=None, is_open=lambda _: False
            )
            for task in spec.evaluate
        }

    for job in (pipeline, mask_table, sweep):
        monkeypatch.setattr(job, "prepare_all", prepare_all)
    return variants


def spec(text: str, **choices: object) -> PruneSpec:
    return recipe.spec(text, **{"schedule": "one-shot", "evaluate": ("perplexity",), **choices})


def points(steps: Iterator[object]) -> list[RunResult]:
    return [step for step in steps if isinstance(step, RunResult)]


def cells(steps: Iterator[object]) -> list[MaskCell]:
    return [step for step in steps if isinstance(step, MaskCell)]


def same(first: RunResult, second: RunResult) -> bool:
    """Whether two results are equal except for times and for what was shared."""
    timeless = {"timings": {}, "speeds": [], "gains": [], "shared": []}
    return [speed.variant for speed in first.speeds] == [speed.variant for speed in second.speeds] and (
        first.model_copy(update=timeless) == second.model_copy(update=timeless)
    )


# -- one calibration for many runs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_a_run_from_a_calibration_is_that_run(
    model: LoadedModel, text: str, measured: list[str], allocation: str, schedule: str
) -> None:
    shared = calibrate(model, text, tokens=640, sequence_length=32, gradients=True, sensitivity=True)
    for targets, edits in (("both", _EDITS), ("ffn", _EDITS), ("heads", ())):
        for criterion in ("fisher", "obs"):
            chosen = spec(
                text, allocation=allocation, schedule=schedule, criterion=criterion, targets=targets, edits=edits
            )
            assert same(run(chosen, model, calibration=shared), run(chosen, model))


_EDITS = ("layers.0.ffn:ratio=0.2", "layers.1.ffn:keep=0-3")


def test_a_one_shot_run_from_a_calibration_reads_no_text(
    model: LoadedModel, text: str, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = calibrate(model, text, tokens=640, sequence_length=32, sensitivity=True, outputs=True)
    chosen = spec(text, allocation="loss-curve")
    alone = run(chosen, model)

    for module, name in ((reduction, "walk"), (pipeline, "read_text"), (reduction, "gradient_steps")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("the text was read"))
    assert same(run(chosen, model, calibration=shared), alone)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_calibration_that_a_run_keeps_is_that_of_the_next(model: LoadedModel, text: str, schedule: str) -> None:
    first = spec(text, allocation="loss-curve", schedule=schedule)
    kept = finish(stream(first, model, keep_calibration=True)).calibration
    assert (kept is not None) is (schedule == "one-shot"), "the others free the moments of a site before the next"
    if kept is not None:
        following = first.model_copy(update={"ratio": 0.25})
        events = stream(following, model, calibration=kept, keep_calibration=True)
        last = finish(events)
        assert (last.result.shared, last.calibration) == (["calibration"], None)
        assert same(last.result, run(following, model))
        assert kept.bytes > 2 * sum(each.plain.covariance.nbytes for each in kept.moments.values()), (
            "and norm-aware ones"
        )
    assert finish(stream(first, model)).calibration is None


@pytest.mark.parametrize(
    ("choices", "given", "complaint"),
    [
        ({"criterion": "taylor"}, {}, "gradients=True"),
        ({"allocation": "loss-curve"}, {"outputs": True}, "sensitivity=True"),
        ({"criterion": "kfac"}, {"gradients": True, "sensitivity": True}, "outputs=True"),
        ({"targets": "both"}, {"targets": "ffn"}, r"layers\.0\.attention"),
    ],
)
def test_a_calibration_that_lacks_something_is_refused(
    model: LoadedModel, text: str, choices: dict[str, str], given: dict[str, object], complaint: str
) -> None:
    shared = calibrate(model, text, tokens=640, sequence_length=32, **given)
    chosen = spec(text, **{"allocation": "uniform", **choices})
    with pytest.raises(InvalidSpecError, match=complaint):
        run(chosen, model, calibration=shared)


@pytest.mark.parametrize("schedule", ["one-shot", "corrective"])
def test_a_calibration_of_another_model_or_text_is_refused(text: str, tmp_path: Path, schedule: str) -> None:
    model, fine_tuned = tiny.language_model(), tiny.language_model()
    with torch.no_grad():
        fine_tuned.model.get_submodule("model.layers.1.mlp.up_proj").weight.mul_(1.01)
    chosen = spec(text, allocation="uniform", criterion="obs", schedule=schedule)
    made = {"tokens": 640, "sequence_length": 32}
    run(chosen, model, calibration=calibrate(model, text, **made))
    with pytest.raises(InvalidSpecError, match="of a model with other weights"):
        run(chosen, model, calibration=calibrate(fine_tuned, text, **made))
    other = tmp_path / "other.txt"
    other.write_text(Path(text).read_text())
    with pytest.raises(InvalidSpecError, match=r"The calibration has calibration .*other\.txt, and the recipe"):
        run(chosen, model, calibration=calibrate(model, str(other), **made))
    for name, value in {"tokens": 512, "sequence_length": 16, "seed": 1, "separator": "newline"}.items():
        with pytest.raises(InvalidSpecError, match=f"The calibration has {name} {value}, and the recipe"):
            run(chosen, model, calibration=calibrate(model, text, **made | {name: value}))


# -- sweeps -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("allocation", ["uniform", "error-curve", "loss-curve"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_point_equals_a_run_by_itself(
    model: LoadedModel, text: str, measured: list[str], allocation: str, schedule: str
) -> None:
    base = spec(text, allocation=allocation, schedule=schedule)
    chosen = SweepSpec.create(base=base, ratios=(0.2, 0.5), reconstructions=("bias", "least-squares"))
    found = points(sweep_steps(chosen, model))
    assert [result.spec for result in found] == chosen.specs
    assert measured.count("dense") == 1
    assert [result.shared for result in found] == [["calibration"], *([["calibration", "dense"]] * (len(found) - 1))]
    for result in found:
        assert result.changes
        assert same(result, run(result.spec, model))


def test_the_rounded_dense_model_is_measured_once_too(model: LoadedModel, text: str, measured: list[str]) -> None:
    chosen = SweepSpec.create(base=spec(text, quantize="int8", allocation="uniform"), ratios=(0.2, 0.5))
    found = points(sweep_steps(chosen, model))
    assert (measured.count("dense"), measured.count("dense-int8"), measured.count("reconstructed-int8")) == (1, 1, 2)
    for result in found:
        assert same(result, run(result.spec, model))


def test_criteria_with_gradients_share_them(model: LoadedModel, text: str, measured: list[str]) -> None:
    chosen = SweepSpec.create(base=spec(text), ratios=(0.3,), criteria=("taylor", "wanda", "kfac"))
    for result in points(sweep_steps(chosen, model)):
        assert same(result, run(result.spec, model))


def test_memory_that_does_not_hold_a_calibration_costs_time_only(
    model: LoadedModel, text: str, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = SweepSpec.create(base=spec(text), ratios=(0.2, 0.4))
    shared = points(sweep_steps(chosen, model))
    monkeypatch.setattr(calibrate_module, "free_bytes", lambda device: 0)
    monkeypatch.setattr(sweep, "calibration_steps", None)
    assert all(same(a, b) for a, b in zip(points(sweep_steps(chosen, model)), shared, strict=True))
    with pytest.raises(InsufficientMemoryError, match="compare single runs"):
        list(mask_table_steps(spec(text), ("obs",), ("bias",), model))


def test_progress_counts_the_whole_sweep(model: LoadedModel, text: str, measured: list[str]) -> None:
    chosen = SweepSpec.create(base=spec(text, allocation="uniform"), ratios=(0.2, 0.4, 0.6))
    steps = list(sweep_steps(chosen, model))
    progress = [step for step in steps if isinstance(step, Progress)]
    assert {step.total for step in progress} == {3}
    assert [step.done for step in progress] == sorted(step.done for step in progress)
    known = [step for step in progress if step.share is not None]
    assert progress[0].seconds_left is None, "nothing has been timed by then"
    assert known == progress[len(progress) - len(known) :], "what is known once is known from then on"
    assert [step.share for step in known] == sorted(step.share or 0.0 for step in known)
    assert any(step.message.startswith("Ratio 40 %: ") for step in progress)
    assert (progress[-1].done, progress[-1].seconds_left, progress[-1].share) == (3, 0, 1)


def test_stopping_keeps_the_points_that_are_there(
    model: LoadedModel, text: str, measured: list[str], tmp_path: Path
) -> None:
    store = RunStore(tmp_path / "runs", shipped=tmp_path / "shipped")
    chosen = SweepSpec.create(base=spec(text), ratios=(0.2, 0.4, 0.6))
    steps = sweep_steps(chosen, model, store=store)
    first = next(step for step in steps if isinstance(step, RunResult))
    store.save(first)
    steps.close()

    measured.clear()
    again = points(sweep_steps(chosen, model, store=store))
    assert again[0] == first, "what is stored is taken as it is, its times included"
    assert [result.spec for result in again] == chosen.specs
    assert measured == ["dense", "pruned", "reconstructed", "pruned", "reconstructed"]


def test_a_ratio_that_no_run_can_reach_is_refused_before_the_first(model: LoadedModel, text: str) -> None:
    steps = sweep_steps(SweepSpec.create(base=spec(text), ratios=(0.1, 0.9)), model)
    with pytest.raises(EmptySiteError, match=r"at most 0\.50"):
        next(steps)


@pytest.mark.parametrize(
    ("choices", "complaint"),
    [({"evaluate_length": 100_000}, "above the"), ({"evaluate": ("topic",)}, "topic needs")],
)
def test_what_could_not_be_measured_is_refused_before_the_calibration(
    model: LoadedModel, text: str, monkeypatch: pytest.MonkeyPatch, choices: dict[str, Any], complaint: str
) -> None:
    for module in (sweep, mask_table):
        monkeypatch.setattr(module, "calibration_steps", lambda *_, **__: pytest.fail("text was read"))
    chosen = spec(text).model_copy(update=choices)
    with pytest.raises(InvalidSpecError, match=complaint):
        list(sweep_steps(SweepSpec(base=chosen, ratios=(0.2, 0.5)), model))
    with pytest.raises(InvalidSpecError, match=complaint):
        list(mask_table_steps(chosen, ["magnitude"], ["bias"], model))


@pytest.mark.parametrize(
    ("choices", "complaint"),
    [
        ({"ratios": ()}, "1 to 20 ratios"),
        ({"ratios": (0.5, 0.96)}, r"ratios\.1"),
        ({"ratios": ratios_between(0.1, 0.9, 11), "reconstructions": RECONSTRUCTIONS}, "55 runs, and 40"),
        ({"ratios": (0.5,), "criteria": ("best",)}, "known names"),
    ],
)
def test_sweeps_that_are_too_large_or_nonsense(choices: dict[str, object], complaint: str) -> None:
    with pytest.raises(InvalidSpecError, match=complaint):
        SweepSpec.create(base=PruneSpec(), **choices)


def test_ratios_meet_those_of_the_slider() -> None:
    assert ratios_between(0.1, 0.9, 9) == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    assert ratios_between(0.2, 0.21, 5) == (0.2, 0.21)
    assert ratios_between(0.3, 0.7, 1) == (0.3,)
    chosen = SweepSpec.create(base=PruneSpec(), ratios=ratios_between(0.1, 0.5, 5)).specs[2]
    assert chosen.key == PruneSpec(ratio=0.3).key


# -- masks of one criterion under the repairs of another ---------------------------------------------------------------


@pytest.mark.parametrize("allocation", ["uniform", "global"])
def test_cells_agree_with_runs(model: LoadedModel, text: str, measured: list[str], allocation: str) -> None:
    base = spec(text, allocation=allocation, edits=_EDITS)
    criteria = ("random", "taylor", "kfac")
    steps = list(mask_table_steps(base, criteria, RECONSTRUCTIONS, model))
    found = cells(steps)
    assert [(cell.criterion, cell.reconstruction) for cell in found] == [
        (criterion, name) for criterion in criteria for name in RECONSTRUCTIONS
    ]
    assert sum(isinstance(step, Evaluated) for step in steps) == 1
    for cell in found:
        alone = run(base.model_copy(update={"criterion": cell.criterion, "reconstruction": cell.reconstruction}), model)
        assert cell.error == pytest.approx(fmean(site.error[cell.reconstruction] for site in alone.sites), rel=1e-6)
        repaired = alone.evaluations[-1]
        assert repaired.variant == "reconstructed"
        assert cell.value == pytest.approx(repaired.value, rel=1e-6)
        assert (cell.task, cell.n) == ("perplexity", 1)


def test_a_curve_allocation_spreads_all_of_a_row_alike(model: LoadedModel, text: str, measured: list[str]) -> None:
    """The cells of a row differ only in the repair; the cell of the spec's own reconstruction equals its run."""
    base = spec(text, allocation="error-curve", reconstruction="bias")
    alone = run(base.model_copy(update={"criterion": "wanda"}), model)
    for cell in cells(mask_table_steps(base, ("wanda",), ("none", "bias"), model)):
        assert cell.error == pytest.approx(fmean(site.error[cell.reconstruction] for site in alone.sites), rel=1e-6)


def test_a_model_without_a_task_has_errors_and_no_metric(text: str) -> None:
    base = spec(text, evaluate=(), targets="ffn", allocation="uniform")
    found = cells(mask_table_steps(base, CRITERIA[:2], ("none",), tiny.mute()))
    assert len(found) == 2
    assert all(cell.value is None and cell.error > 0 for cell in found)


def test_a_table_of_masks_is_one_shot(text: str, model: LoadedModel) -> None:
    base = spec(text, allocation="error-curve", tokens=1024, schedule="sequential")
    first, second = (
        cells(mask_table_steps(chosen, ("wanda",), ("least-squares",), model))
        for chosen in (base, base.model_copy(update={"schedule": "one-shot"}))
    )
    assert first == second
