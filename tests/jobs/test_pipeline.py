"""The run as a whole, on tiny random models: events, determinism, stopping, refusals, the result's promises."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import cpu_offload
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from liar import PruneSpec, calibrate, curves, run, stream
from liar.calibration.activations import Visit, walk
from liar.data.tasks import LabelledText
from liar.data.texts import read_samples
from liar.errors import CalibrationError, EmptySiteError, InsufficientMemoryError, InvalidSpecError, StorageError
from liar.events import Calibrated, Evaluated, Finished, Generated, Loaded, Progress, SiteDone, Warned
from liar.explore.allocation import Candidate, allocate, nearest_removed
from liar.maths.moments import SiteMoments, SiteMomentsAccumulator
from liar.models.catalog import LoadedModel, bytes_in_memory
from liar.models.memory import PlannedWork, working_bytes
from liar.report.sentences import verdict
from liar.results import Evaluation, SiteReport
from liar.sites import Site
from liar.spec import ALLOCATIONS, CRITERIA, RECONSTRUCTIONS
from tests import tiny


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Letters with a grammar of sorts, as a calibration file."""
    generator = torch.Generator().manual_seed(0)
    path = tmp_path_factory.mktemp("text") / "letters.txt"
    lines = []
    for _ in range(120):
        start = int(torch.randint(0, 26, (), generator=generator))
        steps = torch.randint(1, 4, (30,), generator=generator).cumsum(0)
        lines.append(" ".join(tiny.LETTERS[(start + int(step)) % 26] for step in steps))
    path.write_text("\n\n".join(lines))
    return str(path)


@pytest.fixture
def model() -> LoadedModel:
    return tiny.language_model()


def spec(text: str, **choices: object) -> PruneSpec:
    defaults = {"calibration": text, "tokens": 640, "sequence_length": 32, "targets": "both", "ratio": 0.5}
    return PruneSpec.create(model="tiny/llama", **{**defaults, **choices})


def test_events_come_in_order_and_end_with_the_result(model: LoadedModel, text: str) -> None:
    events = list(stream(spec(text), model, prompts=["a b c"], max_new_tokens=3))
    kinds = [type(event) for event in events if not isinstance(event, Progress)]
    assert kinds[0] is Loaded
    assert kinds[-1] is Finished
    assert kinds.count(SiteDone) == len(model.adapter.sites())
    assert kinds.index(Calibrated) < kinds.index(SiteDone)
    assert kinds.count(Generated) == 3
    result = events[-1].result  # type: ignore[union-attr]
    assert [site.name for site in result.sites] == [site.name for site in model.adapter.sites()]
    assert [item.variant for item in result.generations] == ["dense", "pruned", "reconstructed"]
    progress = [event for event in events if isinstance(event, Progress) and event.stage == "prune"]
    assert [event.done for event in progress] == list(range(1, len(result.sites) + 1))
    assert all(event.seconds_left is not None for event in progress)


@pytest.mark.parametrize("schedule", ["one-shot", "sequential"])
@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_a_passed_model_is_never_changed_and_equal_specs_give_equal_results(
    model: LoadedModel, text: str, schedule: str, allocation: str
) -> None:
    before = copy.deepcopy(model.model.state_dict())
    chosen = spec(text, schedule=schedule, allocation=allocation)
    first, second = run(chosen, model), run(chosen, model)
    assert first.sites == second.sites
    assert first.totals == second.totals
    after = model.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_runs_and_tells_every_error(model: LoadedModel, text: str, criterion: str) -> None:
    result = run(spec(text, criterion=criterion, schedule="one-shot"), model)
    for site in result.sites:
        assert list(site.error) == list(RECONSTRUCTIONS)
        assert list(site.norm_aware_error) == list(RECONSTRUCTIONS)
        assert all(value >= 0 for value in site.error.values())
        assert site.error["bias"] <= site.error["none"] + 1e-9
        assert site.kept == len(site.kept_units)
        assert site.kept_units == sorted(set(site.kept_units))
        assert max(site.kept_units) < site.units


@pytest.mark.parametrize("reconstruction", RECONSTRUCTIONS)
def test_totals_count_what_left(model: LoadedModel, text: str, reconstruction: str) -> None:
    result = run(spec(text, reconstruction=reconstruction, allocation="uniform"), model)
    totals = result.totals
    removed = sum(
        (site.bundles - report.kept // site.group) * model.adapter.bundle_parameters(site)
        for site, report in zip(model.adapter.sites(), result.sites, strict=True)
    )
    added = totals.block_parameters_after - (totals.block_parameters_before - removed)
    assert (added == 0) == (reconstruction == "none")  # a repair adds biases, and nothing else
    assert totals.parameters_before - totals.parameters_after == (
        totals.block_parameters_before - totals.block_parameters_after
    )


def test_a_ratio_of_zero_changes_nothing(model: LoadedModel, text: str) -> None:
    result = run(spec(text, ratio=0), model, prompts=["a b c d"])
    assert result.totals.parameters_after == result.totals.parameters_before
    assert all(error == pytest.approx(0, abs=1e-12) for site in result.sites for error in site.error.values())
    assert len({item.text for item in result.generations}) == 1


@pytest.mark.parametrize("stop_after", [Loaded, Calibrated, SiteDone])
def test_closing_between_events_leaves_nothing_behind(model: LoadedModel, text: str, stop_after: type) -> None:
    events = stream(spec(text), model)
    for event in events:
        if isinstance(event, stop_after):
            break
    working = weakref.ref(events.gi_frame.f_locals["job"].loaded.model)  # type: ignore[union-attr]
    assert working() is not None
    del event
    events.close()
    gc.collect()
    assert working() is None
    assert not any(module._forward_pre_hooks for module in model.model.modules())


def test_curves_agree_with_a_run(model: LoadedModel, text: str) -> None:
    """At the same mask, none and bias to the last digits, least-squares within the bound of the ridge."""
    chosen = spec(text, allocation="uniform", schedule="one-shot")
    calibration = calibrate(model, text, tokens=640, sequence_length=32, targets="both")
    found = {site.name: site for site in curves(model, calibration, [chosen.criterion])}
    for report in run(chosen, model).sites:
        curve = found[report.name]
        assert curve.kept[50] == report.kept
        for name in ("none", "bias"):
            assert curve.error[name][50] == pytest.approx(report.error[name], rel=1e-6)
        for name in ("liar", "least-squares"):
            assert report.error[name] <= curve.error[name][50] * (1 + 1e-6) <= report.error[name] * 1.2
        assert curve.error["none"][0] == pytest.approx(0, abs=1e-12)
        assert curve.error["none"][100] == pytest.approx(1)


@pytest.mark.parametrize(
    ("tokens", "choices", "said"),
    [
        (32, {}, True),
        (128, {}, True),
        (160, {}, False),
        (128, {"criterion": "fluctuation", "reconstruction": "bias"}, False),
        (128, {"criterion": "obs", "reconstruction": "bias"}, True),
    ],
)
def test_few_tokens_are_said_where_something_is_fitted_to_them(
    model: LoadedModel, text: str, tokens: int, choices: dict[str, Any], said: bool
) -> None:
    """48 channels, so 144 tokens are enough."""
    events = list(stream(spec(text, tokens=tokens, targets="ffn", **choices), model))
    warned = [event.message for event in events if isinstance(event, Warned)]
    assert events[-1].result.warnings == warned  # type: ignore[union-attr]
    assert len(warned) == int(said)
    if said:
        assert "few for the 48 channels" in warned[0]
        assert "take 144 or more" in warned[0]


@pytest.mark.parametrize("choices", [{}, {"criterion": "taylor"}, {"criterion": "fisher", "allocation": "global"}])
def test_a_head_with_one_output_spreads_the_ratio_by_what_it_feels(text: str, choices: dict[str, str]) -> None:
    """The softmax of one logit is constant; by its slope the first sites would fall to the floor, the last stay whole."""
    result = run(spec(text, **choices), tiny.classifier(("score",)))
    assert any(0.1 < site.kept / site.units < 0.9 for site in result.sites if site.kind == "ffn")


@pytest.fixture
def lonely(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Fails where moments of one site are gathered while those of another are alive; counts the sites."""
    known: list[weakref.ref[torch.Tensor]] = []
    counted: list[int] = []

    class Watched(SiteMomentsAccumulator):
        def __init__(self, width: int, *arguments: Any, **named: Any) -> None:
            assert not any(covariance() is not None for covariance in known)
            counted.append(width)
            super().__init__(width, *arguments, **named)

        def finish(self, site: str) -> SiteMoments:
            moments = super().finish(site)
            known.append(weakref.ref(moments.plain.covariance))
            if moments.norm_aware is not None:
                known.append(weakref.ref(moments.norm_aware.covariance))
            return moments

    monkeypatch.setattr("liar.calibration.activations.SiteMomentsAccumulator", Watched)
    return counted


@pytest.mark.parametrize("choices", [{}, {"allocation": "uniform"}, {"allocation": "uniform", "schedule": "one-shot"}])
def test_one_site_at_a_time_has_moments(
    model: LoadedModel, text: str, lonely: list[int], choices: dict[str, str]
) -> None:
    run(spec(text, **choices), model)
    assert len(lonely) == len(model.adapter.sites()) * (1 if choices else 2)


@pytest.mark.parametrize("criterion", ["obs", "fisher"])
@pytest.mark.parametrize("allocation", ["global", "error-curve", "loss-curve"])
def test_a_one_shot_run_walks_twice_where_all_moments_do_not_fit(
    model: LoadedModel,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    allocation: str,
    criterion: str,
) -> None:
    chosen = spec(text, allocation=allocation, criterion=criterion, schedule="one-shot")
    once = run(chosen, model)
    monkeypatch.setattr("liar.calibration.calibrate.free_bytes", lambda device: 0)
    lonely = request.getfixturevalue("lonely")
    twice = run(chosen, model)
    assert len(lonely) == 2 * len(model.adapter.sites())
    assert twice.sites == once.sites
    assert twice.totals == once.totals


def test_a_copy_that_would_not_fit_is_refused_before_it_is_made(
    model: LoadedModel, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for the copy and the walk, but not for a backward pass through many tokens."""
    free = bytes_in_memory(model.model) + working_bytes(
        model.model.config, torch.float32, PlannedWork(tokens=640, sequence_length=256)
    )
    monkeypatch.setattr("liar.models.placement.free_bytes", lambda device: free)
    monkeypatch.setattr("liar.jobs.pipeline.copy.deepcopy", lambda _: pytest.fail("the model was copied"))
    with pytest.raises(InsufficientMemoryError, match=r"without a backward pass"):
        run(spec(text, sequence_length=256), model)
    with pytest.raises(InvalidSpecError, match="no head for topic"):  # what the spec gets wrong is said before that
        run(spec(text, sequence_length=256, evaluate=("topic",)), model)
    monkeypatch.undo()
    monkeypatch.setattr("liar.models.placement.free_bytes", lambda device: free)
    run(spec(text, sequence_length=256, allocation="uniform"), model)


@pytest.mark.parametrize("schedule", ["one-shot", "sequential"])
@pytest.mark.parametrize("allocation", ["global", "error-curve", "loss-curve"])
def test_norm_aware_moments_are_taken_where_something_reads_them(
    model: LoadedModel, text: str, monkeypatch: pytest.MonkeyPatch, allocation: str, schedule: str
) -> None:
    """To allocate by error-curve and to report; they cost as much as the plain ones."""
    walks: list[bool] = []

    def noted(*arguments: Any, **named: Any) -> Iterator[Visit]:
        visits = walk(*arguments, **named)
        first = next(visits)
        walks.append(first.moments.norm_aware is not None)
        yield first
        yield from visits

    monkeypatch.setattr("liar.jobs.pipeline.walk", noted)
    result = run(spec(text, allocation=allocation, schedule=schedule), model)
    assert walks == ([True] if schedule == "one-shot" else [allocation == "error-curve", True])
    assert all(site.norm_aware_error["none"] > 0 for site in result.sites if site.kept < site.units)


# -- allocation ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("allocation", ["global", "error-curve"])
@pytest.mark.parametrize("ratio", [0.0, 0.2, 0.5, 0.9, 0.95])
def test_allocations_meet_the_budget_above_the_floor(allocation: str, ratio: float) -> None:
    generator = torch.Generator().manual_seed(1)
    candidates = []
    for layer in range(6):
        for kind, units, size, cost in (("ffn", 240, 1, 3), ("attention", 24, 4, 30)):
            scores = torch.rand(units, generator=generator, dtype=torch.float64)
            damage = torch.linspace(1 + layer, 0, units + 1, dtype=torch.float64).square()
            site = Site(layer, kind, units, size)  # type: ignore[arg-type]
            candidates.append(Candidate(site, cost, scores.numpy(), damage.numpy(), float(scores.std())))
    kept = allocate(allocation, candidates, ratio)  # type: ignore[arg-type]
    removed = sum((c.site.bundles - kept[c.site.name]) * c.bundle_parameters for c in candidates)
    whole = sum(c.site.bundles * c.bundle_parameters for c in candidates)
    assert removed == pytest.approx(ratio * whole, abs=30)
    for candidate in candidates:
        floor = min(candidate.site.bundles // 12, round((1 - ratio) * candidate.site.bundles))
        assert kept[candidate.site.name] >= max(1, floor)


def test_error_curve_takes_from_the_sites_that_suffer_least() -> None:
    flat, steep = (torch.linspace(top, 0, 101, dtype=torch.float64).square().numpy() for top in (1, 10))
    candidates = [Candidate(Site(0, "ffn", 100), 1, None, flat), Candidate(Site(1, "ffn", 100), 1, None, steep)]
    kept = allocate("error-curve", candidates, 0.5)
    assert kept["layers.0.ffn"] < 20
    assert kept["layers.1.ffn"] > 80
    assert sum(kept.values()) == 100


def test_a_head_that_overdraws_the_budget_adds_no_neurons_to_a_whole_site() -> None:
    heads = Candidate(Site(0, "attention", 4), 100, None, torch.zeros(5, dtype=torch.float64).numpy())
    steep = torch.linspace(10, 0, 11, dtype=torch.float64).numpy()
    kept = allocate("error-curve", [heads, Candidate(Site(0, "ffn", 10), 10, None, steep)], 0.12)
    assert kept == {"layers.0.attention": 3, "layers.0.ffn": 10}


@pytest.mark.parametrize(
    ("bundles", "ratio", "removed"), [(20, 0.35, 7), (3, 0.5, 1), (3, 0.67, 2), (12, 0.95, 11), (9, 0, 0)]
)
def test_the_nearest_legal_number(bundles: int, ratio: float, removed: int) -> None:
    assert nearest_removed(bundles, ratio) == removed


# -- what is decided by hand --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["one-shot", "sequential"])
@pytest.mark.parametrize("allocation", ["uniform", "loss-curve"])
def test_a_run_honours_edits(model: LoadedModel, text: str, schedule: str, allocation: str) -> None:
    """Two pairs of query heads share keys and values, so a pair goes together."""
    plain = spec(text, schedule=schedule, allocation=allocation)
    before = {site.name: site for site in run(plain, model).sites}
    gone, there = _gone_and_there(before["layers.1.ffn"])
    edits = (
        *("layers.0.attention:ratio=0", "layers.1.attention:keep=3", "layers.1.attention:ratio=0.5"),
        *("layers.0.ffn:ratio=0.25", f"layers.1.ffn:keep={gone}", f"layers.1.ffn:remove={there}"),
    )
    after = {site.name: site for site in run(plain.model_copy(update={"edits": edits}), model).sites}
    assert after["layers.0.attention"].kept_units == [0, 1, 2, 3]
    assert after["layers.1.attention"].kept_units == [2, 3]
    assert (after["layers.0.ffn"].kept, len(after["layers.0.ffn"].kept_units)) == (36, 36)
    assert after["layers.1.ffn"].kept == before["layers.1.ffn"].kept
    assert gone in after["layers.1.ffn"].kept_units
    assert there not in after["layers.1.ffn"].kept_units


def _gone_and_there(site: SiteReport) -> tuple[int, int]:
    """A neuron that the recipe removes by itself, and one that it keeps."""
    removed = set(range(site.units)) - set(site.kept_units)
    return min(removed), site.kept_units[0]


def test_edits_that_do_not_fit_are_refused_before_any_text_is_read(model: LoadedModel) -> None:
    with pytest.raises(InvalidSpecError, match="not among the pruned sites"):
        run(spec("/no/such/text.txt", targets="ffn", edits=("layers.0.attention:ratio=0",)), model)


# -- what is refused ----------------------------------------------------------------------------------------------------


def test_a_ratio_that_empties_a_site_names_it(model: LoadedModel, text: str) -> None:
    with pytest.raises(EmptySiteError, match=r"layers\.0\.attention.*at most 0\.50"):
        run(spec(text, ratio=0.9, targets="heads"), model)


@pytest.mark.parametrize("ratio", [-0.1, 0.96, float("nan"), "half"])
def test_ratios_outside_the_range_are_refused(ratio: object) -> None:
    with pytest.raises(InvalidSpecError, match="ratio must be a number from 0 to"):
        PruneSpec.create(ratio=ratio)


def test_empty_and_short_texts_are_refused(model: LoadedModel, tmp_path: Path) -> None:
    path = tmp_path / "empty.txt"
    path.write_text("")
    with pytest.raises(CalibrationError):
        run(spec(str(path)), model)
    path.write_text("a b c")
    with pytest.raises(CalibrationError):
        run(spec(str(path)), model)


def test_a_full_memory_and_a_full_disk_become_sentences(
    model: LoadedModel, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_memory(*_: object, **__: object) -> None:
        raise RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried ..."
        )

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("liar.jobs.pipeline.walk", full_memory)
    with pytest.raises(InsufficientMemoryError, match="fewer calibration tokens"):
        run(spec(text), model)
    monkeypatch.setattr("liar.jobs.pipeline.walk", full_disk)
    with pytest.raises(StorageError, match="disk is full"):
        run(spec(text), model)


def test_a_run_measures_at_the_length_and_with_the_separator_of_its_spec(
    model: LoadedModel, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "liar.data.corpora.read_samples",
        lambda source, split, *given, **more: read_samples(text, split, *given, **more),
    )
    measured = [
        run(spec(text, evaluate=("perplexity",), evaluate_limit=4, **choices), model).evaluations
        for choices in ({}, {"evaluate_length": 24, "separator": "newline"})
    ]
    assert [(item.sequence_length, item.separator) for item in measured[0]] == [(256, "document")] * 3
    assert [(item.sequence_length, item.separator) for item in measured[1]] == [(24, "newline")] * 3


def test_specs_survive_json_and_query() -> None:
    chosen = PruneSpec.create(ratio=0.25, evaluate=("perplexity", "topic"), criterion="obs", seed=3)
    assert PruneSpec.from_json(chosen.to_json()) == chosen
    assert PruneSpec.from_query(chosen.to_query()) == chosen
    assert chosen.key == PruneSpec.from_json(chosen.to_json()).key != PruneSpec().key
    with pytest.raises(InvalidSpecError, match="There is no choice called 'colour'"):
        PruneSpec.from_query("?colour=red")
    with pytest.raises(InvalidSpecError, match="There is no choice called 'cls'"):
        PruneSpec.create(**{"cls": 1})


def test_evaluations_of_the_three_variants(model: LoadedModel, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pruned variant is the same mask without a repair, and the repaired weights are back afterwards."""
    seen: dict[str, torch.Tensor] = {}
    ids = torch.arange(4, 24).unsqueeze(0)

    def measure(loaded: LoadedModel, task: str, variant: str, **_: object):
        with torch.no_grad():
            seen[variant] = loaded.model(ids).logits
        yield 1, 1
        return Evaluation(task="perplexity", metric="perplexity", variant=variant, value=1, n=1, stderr=0)

    monkeypatch.setattr("liar.jobs.measures.evaluate_steps", measure)
    base = {"schedule": "one-shot", "allocation": "uniform", "evaluate": ("perplexity",)}
    events = list(stream(spec(text, **base), model))
    assert sum(isinstance(event, Evaluated) for event in events) == 3
    repaired, pruned = seen["reconstructed"], seen["pruned"]
    list(stream(spec(text, **base, reconstruction="none"), model))
    torch.testing.assert_close(seen["reconstructed"], pruned)
    assert not torch.allclose(repaired, pruned)


def test_the_result_names_the_model_that_was_pruned(model: LoadedModel, text: str) -> None:
    chosen = spec(text, criterion="fluctuation", allocation="uniform").model_copy(update={"model": "demo/minilm"})
    result = run(chosen, model)
    assert result.spec.model == result.model.id == model.id
    assert result.spec == chosen.model_copy(update={"model": model.id})


@pytest.mark.parametrize(
    ("choices", "prompts", "says"),
    [
        ({"sequence_length": 512}, (), "The sequence length 512 is above the 128 positions"),
        (
            {"evaluate": ("perplexity",), "evaluate_length": 300},
            (),
            "length of measured sequences 300 is above the 128",
        ),
        ({"evaluate": ("sentiment",)}, (), "has no head for sentiment"),
        ({}, ("a " * 120,), "model has 128 positions for prompt and answer"),
        ({}, (" ",), "prompt is empty"),
    ],
)
def test_what_a_small_model_cannot_do_is_said_before_the_work(
    text: str, choices: dict[str, object], prompts: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("text_of", "walk"):
        monkeypatch.setattr(f"liar.jobs.pipeline.{name}", lambda *_, **__: pytest.fail("began to work"))
    with pytest.raises(InvalidSpecError, match=says):
        run(spec(text, **choices), tiny.language_model(positions=128), prompts=prompts)


def test_a_small_model_is_measured_at_the_length_that_it_has(text: str, letters: LabelledText) -> None:
    result = run(spec(text, evaluate=("sentiment",), evaluate_limit=20), tiny.classifier(positions=64))
    assert {item.sequence_length for item in result.evaluations} == {64}


@pytest.mark.parametrize("schedule", ["one-shot", "sequential"])
def test_what_was_calibrated_on_is_in_the_result(model: LoadedModel, text: str, schedule: str) -> None:
    chosen = spec(text, schedule=schedule, criterion="fluctuation", allocation="uniform")
    result = run(chosen, model)
    assert result.calibration is not None
    assert (result.calibration.source, result.calibration.split) == (text, None)
    assert result.calibration.tokens >= chosen.tokens
    calibration = calibrate(
        model, text, tokens=chosen.tokens, sequence_length=chosen.sequence_length, targets=chosen.targets
    )
    assert run(chosen, model, calibration=calibration).calibration == result.calibration


def test_pairs_are_told_apart_forward_and_backward(tmp_path: Path) -> None:
    """A model whose tokens of the second text are another world: without types the recipe would keep other units."""
    path = tmp_path / "pairs.csv"
    path.write_text("premise,hypothesis\n" + "\n".join(f"a b c {tiny.LETTERS[n % 26]},d e" for n in range(80)))
    loaded = tiny.pair_classifier()
    found = {}
    for types in (2, 1):
        loaded.model.config.type_vocab_size = types
        calibration = calibrate(loaded, str(path), tokens=300, sequence_length=16, gradients=True)
        found[types] = calibration.gradients["layers.0.ffn"].taylor, next(iter(calibration.moments.values())).plain.mean
    for with_types, without in zip(found[2], found[1], strict=True):
        assert not torch.allclose(with_types, without)


# -- what changed, and how fast it got ----------------------------------------------------------------------------------


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> LabelledText:
    """Labelled words of letters in the place of the film reviews."""
    generator = torch.Generator().manual_seed(2)
    texts = [
        " ".join(tiny.LETTERS[int(letter)] for letter in torch.randint(0, 26, (12,), generator=generator))
        for _ in range(60)
    ]
    items = LabelledText(texts, torch.randint(0, 2, (60,), generator=generator).tolist(), ("negative", "positive"))
    monkeypatch.setattr("liar.evaluate.tasks.task_items", lambda *_: items)
    return items


def test_a_classifiers_run_keeps_the_items_whose_answers_changed(text: str, letters: LabelledText) -> None:
    model = tiny.classifier(positions=256)
    chosen = spec(text, evaluate=("sentiment",), evaluate_limit=40, ratio=0.75, targets="ffn")
    result = run(chosen, model)
    assert result.changes
    assert run(chosen, model).changes == result.changes
    for change in result.changes:
        position = letters.texts.index(change.text)
        assert position < 40
        assert change.label == letters.label_names[letters.labels[position]]
        with torch.no_grad():
            logits = model.model(**model.tokenizer(change.text, return_tensors="pt")).logits
        assert change.answers["dense"] == letters.label_names[int(logits.argmax())]
        assert len(set(change.answers.values())) == 2


def test_a_measured_run_is_timed_and_another_is_not(text: str, letters: LabelledText) -> None:
    model = tiny.classifier(positions=256)
    result = run(spec(text, evaluate=("sentiment",)), model)
    assert [item.variant for item in result.speeds] == ["dense", "reconstructed"]
    assert {item.tokens for item in result.speeds} == {256}
    assert [(item.than, item.variant, item.work) for item in result.gains] == [("dense", "reconstructed", "text")]
    untimed = run(spec(text), model, prompts=["a b c"])
    assert untimed.speeds == untimed.gains == []


class SlowingMachine:
    """A clock that only products of linear layers move: each by its weights, and by 0.2 % more than the one before."""

    def __init__(self) -> None:
        self.now, self.slowness = 0.0, 1.0

    def multiply(self, module: nn.Module, _: object) -> None:
        if isinstance(module, nn.Linear):
            self.now += module.weight.numel() * self.slowness
            self.slowness *= 1.002


@pytest.mark.parametrize("is_given", [True, False])
def test_a_machine_that_slows_down_during_a_run_slows_no_model(
    text: str, letters: LabelledText, monkeypatch: pytest.MonkeyPatch, is_given: bool
) -> None:
    """Timed one variant after the other, the smaller model would come out as the slower one."""
    machine, loads = SlowingMachine(), []
    monkeypatch.setattr("liar.evaluate.speed.time", SimpleNamespace(perf_counter=lambda: machine.now))
    monkeypatch.setattr(
        "liar.jobs.pipeline.load_model", lambda *_, **__: loads.append("dense") or tiny.classifier(positions=256)
    )
    model = tiny.classifier(positions=256) if is_given else None
    with register_module_forward_pre_hook(machine.multiply):
        *_, finished = stream(spec(text, evaluate=("sentiment",)), model)
    assert isinstance(finished, Finished)
    assert finished.model is not None
    before, after = (products(item) for item in (tiny.classifier(positions=256), finished.model))
    (gain,) = finished.result.gains
    assert machine.slowness > before / after, "the last model would come out slower than the first"
    assert gain.gain.median == pytest.approx(before / after, rel=0.05)
    assert f"; {gain.gain.median:.2f} times as fast" in verdict(finished.result)
    assert len(loads) == (0 if is_given else 2), "what was pruned in place is loaded once more"


def products(loaded: LoadedModel) -> int:
    """Weights that one forward multiplies."""
    return sum(module.weight.numel() for module in loaded.model.modules() if isinstance(module, nn.Linear))


def test_a_dense_model_that_does_not_fit_beside_its_own_copy_is_not_timed(
    text: str, letters: LabelledText, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = iter([tiny.classifier(positions=256)])

    def load(*_: object, **__: object) -> LoadedModel:
        for model in loads:
            return model
        raise InsufficientMemoryError("The weights need 28.0 GB of memory.")

    monkeypatch.setattr("liar.jobs.pipeline.load_model", load)
    result = run(spec(text, evaluate=("sentiment",)))
    assert len(result.evaluations) == 3
    assert result.gains == result.speeds == []
    assert "does not fit into memory beside the reconstructed one" in result.warnings[-1]
    assert "times as fast" not in verdict(result)


def test_a_streamed_model_is_not_timed(text: str, letters: LabelledText, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its forwards would tell how fast the weights come, not how fast the model is."""
    streamed = tiny.classifier(positions=256)
    cpu_offload(streamed.model, execution_device=torch.device("cpu"))
    monkeypatch.setattr("liar.jobs.pipeline.load_model", lambda *_, **__: streamed)
    result = run(spec(text, evaluate=("sentiment",), criterion="fluctuation", allocation="uniform"))
    assert len(result.evaluations) == 3
    assert result.speeds == result.gains == []


def test_some_of_the_dense_models_evaluations_may_be_known(text: str, letters: LabelledText) -> None:
    """The exact one and not that of its int8 copy: the run measures what is missing."""
    chosen = spec(
        text,
        schedule="one-shot",
        allocation="uniform",
        criterion="fluctuation",
        evaluate=("sentiment",),
        quantize="int8",
    )
    model = tiny.classifier(("negative", "positive"))
    whole = run(chosen, model)
    known = [item for item in whole.evaluations if item.variant == "dense"]
    partly = run(chosen, model, dense=known)
    assert partly.evaluations == whole.evaluations
    assert (whole.shared, partly.shared) == ([], ["dense"])
