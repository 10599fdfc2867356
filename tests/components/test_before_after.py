"""Before and after: the figures of a run as bars with whiskers, and how many answers changed."""

from __future__ import annotations

import re

import pytest

from components.measured.before_after import UNKNOWN, BeforeAfterPanel
from components.shared.lookup import Known, Pruned
from liar.report.words.answer_sentences import changes_in_numbers, group_size
from liar.report.words.metric_sentences import value_words
from liar.results import VARIANTS, RunResult
from liar.spec import PruneSpec
from liar.statistics.compare import difference
from liar.store import RunSummary
from liar.tasks.metrics import METRICS
from tests.components.test_accuracy import pieces
from tests.fakes import classifier_run, language_run, with_values
from tests.shipped import shipped_run

WIDTH = re.compile(r"(\w+):([\d.]+)%")


def shown(result: RunResult) -> str:
    return str(BeforeAfterPanel(result).bars.value)


def values_alone(markup: str) -> str:
    """The tables with all figures, without those of the differences."""
    return re.sub(r"<details>.*?</details>", "", markup.partition("class='more'")[2])


def test_three_bars_show_the_main_metric_alone() -> None:
    for model in ("demo/smollm2-135m", "demo/minilm-sentiment", "demo/minilm-rating"):
        run = shipped_run(model)
        simple = shown(run).partition("class='more'")[0]
        first = [item for item in run.evaluations if item.task == run.evaluations[0].task]
        values = {item.variant: item.value for item in first}
        metric = METRICS[first[0].metric]
        assert all(f"<td>{metric.words(values[name])}</td>" in simple for name in VARIANTS)
        assert re.findall(r'scope="row">(\w+)<', simple) == ["Whole", "Cut", "Repaired"]
        widths = [float(dict(WIDTH.findall(style))["width"]) for style in re.findall(r'style="([^"]+)"', simple)]
        reach = widths[0] / values["dense"]
        assert widths == pytest.approx([reach * values[name] for name in VARIANTS], abs=0.1)


def test_the_metric_opens_what_it_means() -> None:
    for model, meaning in (
        ("demo/minilm-sentiment", "answers that are right."),
        ("demo/minilm", "the right texts are."),
    ):
        assert re.search(f"<summary>[^<]+</summary><span>[^<]+{meaning}</span>", shown(shipped_run(model)))


def test_the_differences_alone_are_those_of_the_pairs() -> None:
    run = shipped_run("demo/minilm-sentiment")
    (text,) = re.findall(r"<details>(.*?)</details>", shown(run))
    dense, *others = [item for item in run.evaluations if item.variant in VARIANTS]
    found = [difference(dense, item) for item in others]
    for each in found:
        assert each.stderr is not None
        assert METRICS["accuracy"].change_words(each.change, each.stderr) in text
    assert "Left of the line is worse" in text
    styles = [dict(WIDTH.findall(style)) for style in re.findall(r'style="([^"]+)"', text)]
    reach = max(abs(each.change) + (each.stderr or 0) for each in found)
    for each, (fill, whisker) in zip(found, zip(styles[::2], styles[1::2], strict=True), strict=True):
        assert float(fill["width"]) == pytest.approx(50 * abs(each.change) / reach, abs=0.01)
        assert float(whisker["left"]) + float(whisker["width"]) <= 100.01
        middle = float(whisker["left"]) + float(whisker["width"]) / 2
        assert middle == pytest.approx(50 + 50 * each.change / reach, abs=0.01)


def test_of_a_perplexity_more_is_worse() -> None:
    assert "Right of the line is worse" in shown(shipped_run("demo/smollm2-135m"))


def test_without_paired_errors_there_are_no_differences() -> None:
    run = shipped_run("demo/minilm-sentiment")
    bare = [item.model_copy(update={"items": None}) for item in run.evaluations]
    assert "<details>" not in shown(run.model_copy(update={"evaluations": bare}))


@pytest.mark.parametrize("model", ["demo/smollm2-135m", "demo/minilm-sentiment", "demo/minilm-rating"])
def test_every_model_has_its_number_and_its_bar(model: str) -> None:
    run = shipped_run(model)
    text = " ".join(pieces(shown(run)))
    assert all(value_words(item) in text for item in run.evaluations if item.variant in VARIANTS)
    tasks = len({item.task for item in run.evaluations})
    assert values_alone(shown(run)).count('class="whisker"') == 3 * tasks


def test_the_bars_are_as_long_as_the_values_and_stay_inside() -> None:
    run = shipped_run("demo/smollm2-135m")
    styles = [dict(WIDTH.findall(style)) for style in re.findall(r'style="([^"]+)"', values_alone(shown(run)))]
    fills, whiskers = styles[::2], styles[1::2]
    values = [item.value for item in run.evaluations if item.task == "perplexity" and item.variant in VARIANTS]
    widths = [float(fill["width"]) for fill in fills[:3]]
    assert widths == pytest.approx([100 * value * max(widths) / 100 / max(values) for value in values], abs=0.02)
    assert all(float(each["left"]) + float(each["width"]) <= 100.01 for each in whiskers)


def test_a_correlation_below_zero_has_no_bar() -> None:
    assert "width:0.00%" in shown(with_values(shipped_run("demo/minilm-rating"), -0.1, -0.1, -0.1))


def test_changed_answers_are_counted() -> None:
    run = shipped_run("demo/minilm-sentiment")
    broken, mended = (group_size(run, "sentiment", group) for group in ("broken", "mended"))
    assert changes_in_numbers(run, "sentiment") == f"{broken} answers broken by pruning, {mended} mended by the repair."
    assert f"{broken} answers broken" in shown(run)
    assert changes_in_numbers(shipped_run("demo/smollm2-135m"), "perplexity") is None


def test_without_a_run_or_a_task_there_is_a_sentence() -> None:
    assert "press “Measure it”" in str(BeforeAfterPanel(None).bars.value)
    assert "nothing to compare" in shown(language_run(depth=1).model_copy(update={"evaluations": []}))


# -- between runs and beyond them ---------------------------------------------------------------------------------------


def at(ratio: float, repaired: float) -> RunSummary:
    run = with_values(language_run(ratio=ratio), 16.2, 2 * repaired, repaired)
    return RunSummary.model_validate(run.model_dump(include={"spec", "model", "totals", "evaluations"}))


MEASURED = {0.3: at(0.3, 20.0), 0.5: at(0.5, 45.0)}


def moved(spec: PruneSpec, run: RunResult | None, measured: dict[float, RunSummary] = MEASURED) -> str:
    """Bars of a recipe without a run, while the other panels show ``run``."""
    panel = BeforeAfterPanel(run)
    return str(panel.show(Known(spec, None, measured=measured), run)[panel.bars])


def kinds(markup: str) -> dict[str, str]:
    return dict(re.findall(r'<tr class="(\w+) (\w+)">', markup))


def fills(markup: str) -> list[float]:
    styles = re.findall(r'class="fill" style="([^"]+)"', values_alone(markup))
    return [float(dict(WIDTH.findall(style))["width"]) for style in styles]


def test_between_two_runs_the_bars_are_interpolated_and_hatched() -> None:
    run = language_run()
    text = moved(language_run(ratio=0.4).spec, run)
    assert kinds(text) == {"dense": "measured", "pruned": "between", "reconstructed": "between"}
    assert "about 60.0" in text
    assert "about 30.0" in text
    assert "about 1.85 x dense" in text
    assert "Hatched: between the runs at 30\N{NO-BREAK SPACE}% and 50\N{NO-BREAK SPACE}%." in text
    assert text.count('class="whisker"') == 1, "the dense model was measured"
    assert fills(text) == pytest.approx([100 * value / 60 for value in (16.2, 60, 30)], abs=0.01)
    assert "110.7" not in text, "nothing of the run in the other panels"
    assert f'data-recipe="{language_run(ratio=0.4).spec.key}"' in text


@pytest.mark.parametrize(
    ("choices", "measured"), [({"ratio": 0.6}, MEASURED), ({"criterion": "wanda"}, {})], ids=["beyond", "criterion"]
)
def test_what_is_not_known_is_faded(choices: dict[str, object], measured: dict[float, RunSummary]) -> None:
    text = moved(language_run(**choices).spec, language_run(), measured)
    assert kinds(text) == {"dense": "measured", "pruned": "unknown", "reconstructed": "unknown"}
    assert text.count(f"<td>{UNKNOWN}</td>") == 2
    assert "Faded: not measured yet." in text
    assert "16.2 ±" in text
    assert not re.search("110.7|42.4|45.0|90.0", text), "no figure of another recipe"
    assert fills(text)[1:] == [100, 100]


def test_bars_of_a_model_that_was_measured_otherwise_are_not_shown() -> None:
    for choices in ({"evaluate": ("out-of-domain",)}, {"evaluate_limit": 5}, {"model": "somebody/else"}):
        assert "press “Measure it”" in moved(language_run(**choices).spec, language_run(), {})
    assert "press “Measure it”" in moved(language_run().spec, None, {})


def test_a_measured_run_is_solid() -> None:
    run = classifier_run()
    panel = BeforeAfterPanel(None)
    text = str(panel.show(Known(run.spec, None, run=run), run)[panel.bars])
    assert set(kinds(text).values()) == {"measured"}
    assert "Whiskers are one standard error." in text


def test_while_a_run_goes_on_each_bar_comes_with_its_metric() -> None:
    run = language_run(ratio=0.6)
    dense, *_ = [item for item in run.evaluations if item.task == "perplexity"]
    panel = BeforeAfterPanel(None)
    pruned = Pruned(run.spec, run.sites, [dense])
    text = str(panel.show(Known(run.spec, None, pruned=pruned, measured=MEASURED), None)[panel.bars])
    assert kinds(text) == {"dense": "measured", "pruned": "unknown", "reconstructed": "unknown"}
    assert "Measuring: one bar after the other." in text
    everything = Pruned(run.spec, run.sites, run.evaluations)
    text = str(panel.show(Known(run.spec, None, pruned=everything), None)[panel.bars])
    assert set(kinds(text).values()) == {"measured"}
