"""Every record of the registry is consistent, so that a new one needs no test of its own."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from liar.errors import InvalidSpecError
from liar.spec import PruneSpec
from liar.tasks.metrics import METRICS, MetricName
from liar.tasks.record import CLASSES, OF_LANGUAGE_MODELS, DemoData, HarnessData, HubData, OwnData, Task
from liar.tasks.registry import HARNESS, OWN, TASKS, is_task, own_task, task_named, usual_tasks
from liar.tasks.samples import Answer, Sample
from liar.tasks.splits import Split
from liar.tasks.texts import TEXTS, text_named

of_every_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
of_every_metric = pytest.mark.parametrize("name", get_args(MetricName))


def test_names_are_unique_and_no_text_or_harness_task_has_one_of_them() -> None:
    names = [task.name for task in TASKS]
    assert len(set(names)) == len(names)
    assert not set(names) & {text.id for text in TEXTS}
    assert not any(name.startswith(HARNESS) for name in names)
    titles = [task.title for task in TASKS]
    assert len(set(titles)) == len(titles)


@of_every_task
def test_a_task_is_found_by_its_name_and_may_be_measured(task: Task) -> None:
    assert task_named(task.name) is task
    assert is_task(task.name)
    assert PruneSpec.create(evaluate=(task.name,)).evaluate == (task.name,)


@of_every_task
def test_the_metrics_of_a_task_exist_and_its_head_gives_what_they_read(task: Task) -> None:
    assert task.metrics
    assert len(set(task.metrics)) == len(task.metrics)
    reads = {METRICS[name].reads for name in task.metrics}
    assert task.metric is METRICS[task.metrics[0]]
    given = {
        "language-model": {"nll"},
        "sentence": {"right", "classes"},
        "pair": {"right", "classes"},
        "regression": {"numbers"},
        "span": {"right", "scores"},
        "choice": {"right", "scores"},
        "embedding": {"each"},
        "search": {"each"},
        "rerank": {"each"},
    }
    if task.head is not None:
        assert reads <= given[task.head]
    else:
        assert task is OWN
    assert len(task.labels) == 2 or "classes" not in reads, "the second of two classes is the positive one"


@of_every_task
def test_labels_are_those_of_classes_and_give_the_level_of_chance(task: Task) -> None:
    assert len({label.casefold() for label in task.labels}) == len(task.labels)
    assert bool(task.labels) == (task.head in CLASSES)
    assert len(task.labels) != 1
    assert (task.choices is not None) == (task.head == "choice")
    assert task.choices is None or task.choices > 1
    assert task.length > 1
    assert task.count > 1
    if task.head in CLASSES and task.metric.name == "accuracy":
        assert task.chance == pytest.approx(1 / len(task.labels))
    elif task.choices is not None:
        assert task.chance == pytest.approx(1 / task.choices)
    else:
        assert not task.chance


@of_every_task
def test_data_are_of_one_kind_and_name_all_that_is_read(task: Task) -> None:
    assert task.is_bundled == isinstance(task.data, DemoData)
    assert task.takes_texts == isinstance(task.data, DemoData | OwnData)
    if isinstance(task.data, DemoData):
        assert all(text_named(text.id) is text for text in task.texts)
        assert task.is_running == (task.data.build is None) == (task.head == "language-model")
        assert task.is_running or task.head == "embedding" or len(task.texts) == 1
    elif isinstance(task.data, HubData):
        assert set(task.data.parts) == set(get_args(Split))
        assert task.data.parts["test"] != task.data.parts["train"]
        assert "test" not in task.data.parts["test"], "labels of the published test parts are hidden"
        assert len(task.columns) == (2 if task.head in ("pair", "span") or task.name == "stsb" else 1)
    else:
        assert not task.columns
        assert not task.texts


@of_every_task
def test_a_task_with_an_adapter_is_of_the_demo_bundle_and_has_prompts(task: Task) -> None:
    if task.training is not None:
        assert isinstance(task.data, DemoData)
        assert task.head not in OF_LANGUAGE_MODELS
        assert task.training.epochs > 0
    if task.training is not None or task.name == "perplexity":
        assert len(set(task.prompts)) == 3
        assert all(("\n" in prompt) == (task.head in ("pair", "span")) for prompt in task.prompts)


def test_texts_have_unique_names_and_files() -> None:
    assert len({text.id for text in TEXTS}) == len({text.file for text in TEXTS}) == len(TEXTS)
    assert text_named("somebody/else") is None


@pytest.mark.parametrize(
    ("name", "close"),
    [("sentimant", "sentiment"), ("perplexty", "perplexity"), ("mnli_mm", "mnli-mm"), ("Topic", "topic")],
)
def test_a_close_name_is_suggested(name: str, close: str) -> None:
    assert not is_task(name)
    with pytest.raises(InvalidSpecError, match=f"no task '{name}'; did you mean '{close}'"):
        task_named(name)
    with pytest.raises(InvalidSpecError, match=f"did you mean '{close}'"):
        PruneSpec.create(evaluate=(name,))


def test_a_name_like_no_other_gets_the_list() -> None:
    with pytest.raises(InvalidSpecError) as refused:
        task_named("zzzz" * 100)
    words = str(refused.value)
    assert "did you mean" not in words
    assert all(task.name in words for task in TASKS)
    assert f"{HARNESS}NAME" in words
    assert "z" * 81 not in words


def test_any_task_of_the_harness_has_a_record() -> None:
    task = task_named(f"{HARNESS}lambada_openai")
    assert (task.name, task.head, task.chance) == (f"{HARNESS}lambada_openai", "choice", None)
    assert task.data == HarnessData("lambada_openai")
    assert not task.takes_texts
    for name in (HARNESS, HARNESS + "x" * 200):
        with pytest.raises(InvalidSpecError, match="no task"):
            task_named(name)


def test_data_of_your_own_are_as_many_windows_or_items_as_of_other_tasks() -> None:
    """Their metrics are tested with each head, in ``tests/evaluate/test_own.py``."""
    assert (own_task("language-model").count, own_task("span").count) == (20, 1_200)


# -- metrics -----------------------------------------------------------------------------------------------------------


@of_every_metric
def test_a_metric_is_listed_under_its_name_and_used(name: MetricName) -> None:
    metric = METRICS[name]
    assert metric.name == name
    assert any(name in task.metrics for task in TASKS)
    assert metric.better == ("lower is better" if metric.lower_is_better else "higher is better")


@of_every_metric
def test_a_better_value_has_more_merit_and_less_loss(name: MetricName) -> None:
    metric = METRICS[name]
    worse, better = (0.9, 0.2) if metric.lower_is_better else (0.2, 0.9)
    assert metric.merit(better) > metric.merit(worse)
    assert metric.loss(better, worse) == pytest.approx(0.7) == -metric.loss(worse, better)


def test_metrics_are_written_as_readers_expect() -> None:
    assert METRICS["accuracy"].words(0.861) == "86.1 %"
    assert METRICS["perplexity"].words(16.24) == "16.2"
    assert METRICS["perplexity"].words(12_345.6) == "12,346"
    assert METRICS["perplexity"].title_of("perplexity") == "perplexity"
    assert METRICS["perplexity"].title_of("out-of-domain") == "out-of-domain perplexity"
    assert METRICS["accuracy"].title_of("sentiment") == "sentiment accuracy"


# -- samples -----------------------------------------------------------------------------------------------------------


def test_a_sample_reads_as_running_text() -> None:
    assert Sample("One.").joined == "One."
    assert Sample("Who?", pair="Ada.", answers=(Answer("Ada", 0),)).joined == "Who?\nAda."
    assert Sample("He", "1", endings=(" runs", " sits")).joined == "He sits"
    assert Sample("He", endings=(" runs", " sits")).joined == "He"


def test_texts_of_ones_own_are_measured_beside_the_usual_tasks(tmp_path: Path) -> None:
    assert usual_tasks("perplexity") == ("perplexity", "out-of-domain")
    assert usual_tasks("topic", "mine.csv") == ("topic", OWN.name)
    assert usual_tasks(None, "owner/texts") == (OWN.name,)
    assert usual_tasks("mnli", str(tmp_path)) == ("mnli",), "a folder has copies of datasets"
    assert usual_tasks(None, str(tmp_path)) == ()
    for name in ("x" * 4096, "~nobody-of-this-name/texts.csv", "\0"):
        assert usual_tasks(None, name) == (OWN.name,)
