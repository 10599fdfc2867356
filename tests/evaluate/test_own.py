"""Texts of the user's own as a task for any head: files and hub datasets, and what is refused before a model is run."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Features, IterableDataset, IterableDatasetDict, Value
from huggingface_hub import HfApi
from scipy.stats import pearsonr, spearmanr

from liar.data import hub
from liar.errors import CalibrationError, InvalidSpecError
from liar.evaluate.prepared_task import evaluate, prepare, prepare_all
from liar.evaluate.spans import scores_of_answers, span_steps
from liar.jobs.pipeline import run
from liar.models.loaded import LoadedModel
from liar.progress import finish
from liar.save.model_card import model_card
from liar.spec import PruneSpec
from liar.tasks.samples import Answer, Sample
from tests.copies import write_copy
from tests.small_heads import POSITIONS, classifier, marker, predicted_class, reader, regressor
from tests.tiny import calibration_text

COLOURS = ("warm", "cold")
TEXTS = ["red red x", "blue green", "green x longer", "blue", "é red", "longer longer blue x", "x", "green red"]
PAIRS = ["blue x", "x x red", "red", "green green", "longer", "é", "blue blue x", "red é"]

CLASSIFIER, REGRESSOR, MARKER = classifier(COLOURS), regressor(), marker()
"""Models that no test changes."""

Rows = Sequence[dict[str, Any]]


@pytest.fixture(params=["csv", "jsonl"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _rows(**columns: Sequence[Any]) -> Rows:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _written(folder: Path, kind: str, rows: Rows, name: str = "own") -> str:
    path = folder / f"{name}.{kind}"
    if kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
        return str(path)
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return str(path)


# -- each head -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [COLOURS, ("Cold", "WARM"), ("LABEL_0", "LABEL_1")])
def test_texts_with_labels(tmp_path: Path, kind: str, labels: tuple[str, ...]) -> None:
    """Labels are names of classes in any case, or numbers of classes that have no names."""
    loaded = classifier(labels)
    given = [(COLOURS if labels[0] != "LABEL_0" else ("0", "1"))[place % 2] for place in range(len(TEXTS))]
    found = evaluate(loaded, "own", data=_written(tmp_path, kind, _rows(text=TEXTS, label=given)))
    names = ("0", "1") if labels[0] == "LABEL_0" else tuple(label.casefold() for label in labels)
    right = [names[predicted_class(loaded, text)] == label for text, label in zip(TEXTS, given, strict=True)]
    assert (found.task, found.metric, found.n, found.available) == ("own", "accuracy", len(TEXTS), len(TEXTS))
    assert found.value == sum(right) / len(right)
    assert 0 < found.value < 1


def test_pairs_with_labels(tmp_path: Path, kind: str) -> None:
    loaded = classifier(COLOURS)
    rows = _rows(sentence1=TEXTS, sentence2=PAIRS, label=list(COLOURS) * 4)
    found = evaluate(loaded, "own", data=_written(tmp_path, kind, rows))
    right = [COLOURS[predicted_class(loaded, row["sentence1"], row["sentence2"])] == row["label"] for row in rows]
    assert found.value == sum(right) / len(right)


def test_numbers_of_a_regression(tmp_path: Path, kind: str) -> None:
    wanted = [-1, 0.5, 2, 2, -1.25, 3.5, 7, 1e-3]
    found = evaluate(REGRESSOR, "own", data=_written(tmp_path, kind, _rows(text=TEXTS, label=wanted)))
    assert found.items is not None
    assert found.items.wanted == wanted
    expected = [metric(found.items.predicted, wanted).statistic for metric in (spearmanr, pearsonr)]
    assert [figure.value for figure in found.figures] == pytest.approx(expected, abs=1e-9)
    assert [figure.metric for figure in found.figures] == ["spearman", "pearson"]


ANSWERS = {
    "SQuAD": {"text": ["blue x", "blue"], "answer_start": [4, 4]},
    "without positions": {"text": ["blue x", "blue"]},
    "one text": "blue x",
    "several texts": ["blue x", "blue"],
    "a wrong position": {"text": ["blue x"], "answer_start": [0]},
}


@pytest.mark.parametrize("form", ANSWERS)
def test_questions_with_answers(tmp_path: Path, kind: str, form: str) -> None:
    answers = ANSWERS[form]
    if kind == "csv" and not isinstance(answers, str):
        answers = json.dumps(answers)
    rows = [{"question": "x", "context": "red blue x green", "answers": answers}] * 3
    data = _written(tmp_path, kind, rows)
    texts = ["blue x"] if form in ("one text", "a wrong position") else ["blue x", "blue"]
    sample = Sample("x", pair="red blue x green", answers=tuple(Answer(text, 4) for text in texts))
    loaded = marker()
    found = evaluate(loaded, "own", data=data)
    right, scores = scores_of_answers(finish(span_steps(loaded.model, loaded.tokenizer, [sample], POSITIONS)), [sample])
    assert [(figure.metric, figure.value) for figure in found.figures] == [
        ("answer-f1", pytest.approx(scores[0])),
        ("exact-match", float(right[0])),
    ]
    batches, _ = calibration_text(data, loaded, 10, POSITIONS, 0)
    assert {int(start) for batch in batches for start in batch["start_positions"]} == {4}  # behind [CLS] x [SEP] red


def test_text_of_a_language_model(tmp_path: Path, kind: str) -> None:
    rows = [{"text": " ".join(TEXTS), "label": "ignored"}] * 20
    found = evaluate(reader(), "own", data=_written(tmp_path, kind, rows), sequence_length=32, limit=4)
    assert (found.task, found.metric, found.n) == ("own", "perplexity", 4)
    assert found.value > 1


def test_chosen_columns(tmp_path: Path, kind: str) -> None:
    loaded = classifier(COLOURS)
    rows = [{"headline": text, "body": "x", "label": COLOURS[predicted_class(loaded, text)]} for text in TEXTS]
    data = _written(tmp_path, kind, rows)
    assert evaluate(loaded, "own", data=f"{data}#headline").value == 1


Refused = Callable[[PruneSpec, LoadedModel, str], None]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Check that a run is refused with one sentence before the model is run."""

    def check(spec: PruneSpec, loaded: LoadedModel, message: str) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(type(loaded.model), "forward", lambda *_, **__: pytest.fail("the model was run"))
            with pytest.raises((CalibrationError, InvalidSpecError), match=message) as caught:
                run(spec, loaded)
        assert "\n" not in str(caught.value)
        assert str(caught.value).endswith(".")

    return check


# -- hub datasets ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub whose only dataset has the parts train and test."""
    features = Features({"text": Value("string"), "label": ClassLabel(names=list(COLOURS))})

    def part(name: str) -> IterableDataset:
        rows = [{"text": f"{text} {name}", "label": place % 2} for place, text in enumerate(TEXTS * 3)]
        return IterableDataset.from_generator(lambda: iter(rows), features=features)

    def load(name: str, config: str | None, *, streaming: bool) -> IterableDatasetDict:
        return IterableDatasetDict({name: part(name) for name in ("train", "test")})

    monkeypatch.setattr(HfApi, "dataset_info", lambda *args, **options: None)
    monkeypatch.setattr(hub, "load_dataset", load)


def _spec(**choices: Any) -> PruneSpec:
    usual: dict[str, Any] = {"evaluate": ("own",), "criterion": "taylor", "tokens": 40, "sequence_length": 16}
    return PruneSpec.create(**(usual | choices))


@pytest.mark.usefixtures("served")
def test_a_dataset_of_the_hub_is_measured_on_another_part_than_it_is_calibrated_on() -> None:
    result = run(_spec(calibration="some/texts", data="some/texts"), classifier(COLOURS))
    assert result.calibration is not None
    assert (result.calibration.split, result.evaluations[0].split) == ("train", "test")
    assert result.evaluations[0].n == 3 * len(TEXTS)


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    ("calibration", "data"),
    [
        ("some/texts", "some/texts::train"),
        ("some/texts::test", "some/texts"),
        ("some/texts::test#text", "some/texts::test"),
    ],
)
def test_the_same_part_for_both_is_refused(calibration: str, data: str, refused: Refused) -> None:
    refused(_spec(calibration=calibration, data=data), CLASSIFIER, "on the texts that it is calibrated on")


# -- refusals, before the model is run -----------------------------------------------------------------------------------


CONTEXT = "red blue x green"
LONG = "what " * POSITIONS
TWO = {"question": ["x", "é"], "context": [CONTEXT] * 2}
BAD: dict[str, tuple[LoadedModel, Rows, str]] = {
    "no column of labels": (CLASSIFIER, _rows(text=TEXTS), "Text number 1 of .* has no label; name a column 'label'"),
    "a gap among the labels": (
        CLASSIFIER,
        _rows(text=TEXTS[:3], label=["warm", None, "cold"]),
        "Text number 2 of .* has no label; name a column 'label', or yours with #label=COLUMN .*, and use warm, cold",
    ),
    "a label that is no class": (
        CLASSIFIER,
        _rows(text=TEXTS[:2], label=["warm", "tepid"]),
        "Text number 2 of .* has the label 'tepid', which the model does not know",
    ),
    "hidden labels": (CLASSIFIER, _rows(text=TEXTS[:2], label=[-1, -1]), r"hidden \(all are -1\)"),
    "some hidden labels": (CLASSIFIER, _rows(text=TEXTS[:3], label=[1, 0, -1]), r"hidden \(1 of 3 are -1\)"),
    "hidden numbers": (REGRESSOR, _rows(text=TEXTS[:2], label=[-1.0, -1.0]), r"hidden \(all are -1\)"),
    "a word for a number": (
        REGRESSOR,
        _rows(text=TEXTS[:2], label=["0.5", "much"]),
        "Item 2 .* has the label 'much', and a",
    ),
    "no number": (REGRESSOR, _rows(text=TEXTS[:2]), "Item 1 .* has no label, and a regression needs a number"),
    "no column of text": (CLASSIFIER, _rows(label=["warm"]), "no column of text; name one of its columns 'text'"),
    "no answers": (
        MARKER,
        _rows(question=["x"], context=[CONTEXT]),
        "Item 1 .* lacks a context or an answer; give columns",
    ),
    "no context": (MARKER, _rows(text=["x"], answers=["blue"]), "Item 1 .* lacks a context or an answer; give columns"),
    "empty answers": (MARKER, _rows(**TWO, answers=["blue", ""]), "Item 2 .* lacks a context or an answer"),
    "an answer that is elsewhere": (
        MARKER,
        _rows(**TWO, answers=["blue", "Blue x"]),
        "The answer 'Blue x' to the question 'é' of .* does not occur in its context; write answers",
    ),
    "a question that fills the window": (
        MARKER,
        _rows(**TWO | {"question": ["x", LONG]}, answers=["blue", "x"]),
        "leaves no room for its context in a window of 64 tokens; shorten",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_data_that_cannot_be_measured(tmp_path: Path, kind: str, name: str, refused: Refused) -> None:
    loaded, rows, message = BAD[name]
    refused(_spec(data=_written(tmp_path, kind, rows)), loaded, message)


def test_a_source_that_is_missing(refused: Refused, tmp_path: Path) -> None:
    named = "The task own needs your data; name a CSV or JSONL file, or a hub dataset, with --data"
    refused(_spec(), CLASSIFIER, named)
    refused(_spec(data="nowhere.csv"), CLASSIFIER, "no text file nowhere.csv; check the path")
    refused(_spec(data=str(tmp_path)), CLASSIFIER, "is a folder; name one of its files")
    empty = tmp_path / "empty.csv"
    empty.write_text("text,label\n")
    refused(_spec(data=str(empty)), CLASSIFIER, "empty.csv' is empty; give one with a column of text")


def test_answers_of_a_copy_of_squad_are_checked(tmp_path: Path, refused: Refused) -> None:
    def changed(part: str, row: dict[str, Any]) -> dict[str, Any]:
        wrong = row["id"] in ("train7", "validation7")
        return {**row, "answers": {"text": ["of nothing"], "answer_start": [0]}} if wrong else row

    copy = str(write_copy(tmp_path, "squad", relabel=changed))
    message = "The answer 'of nothing' to the question '.* {}7' of 'squad' does not occur in its context"
    refused(_spec(evaluate=("squad",), data=copy), MARKER, message.format("validation"))
    refused(_spec(evaluate=(), calibration="squad", data=copy, tokens=1200), MARKER, message.format("train"))


def test_answers_are_not_looked_for_where_nothing_marks_them(tmp_path: Path) -> None:
    """As in BoolQ, whose answers are yes and no, and in sums, whose answers are in no context."""
    rows = _rows(question=TEXTS, passage=PAIRS, answer=[True, False] * 4, label=list(COLOURS) * 4)
    loaded = classifier(COLOURS)
    assert evaluate(loaded, "own", data=_written(tmp_path, "jsonl", rows)).n == len(TEXTS)
    rows = _rows(question=TEXTS, context=PAIRS, answer=["42"] * 8)
    batches, _ = calibration_text(_written(tmp_path, "jsonl", rows, "sums"), loaded, 20, 16, 0)
    assert batches


def test_a_file_for_calibration_and_measuring_is_refused(
    tmp_path: Path, kind: str, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = _rows(text=TEXTS, label=list(COLOURS) * 4)
    data = _written(tmp_path, kind, rows)
    message = "measured on the texts that it is calibrated on, '.*'; name another file .* or split the file in two"
    monkeypatch.chdir(tmp_path)
    for same in (data, f"own.{kind}", f"./own.{kind}#text"):
        refused(_spec(calibration=same, data=data, tokens=20), CLASSIFIER, message)
    copy = _written(tmp_path, kind, rows, "copy")
    message = (
        f"{re.escape(repr(copy))} holds every text of {re.escape(repr(data))}; name another text for one of the two"
    )
    refused(_spec(calibration=copy, data=data, tokens=34), CLASSIFIER, message)


def test_the_share_of_texts_that_calibration_read_too_is_stated(tmp_path: Path) -> None:
    rows = _rows(text=TEXTS, label=list(COLOURS) * 4)
    data = _written(tmp_path, "jsonl", rows)
    two = [{**row, "text": row["text"].upper() + " "} for row in rows[:2]] + [{"text": "unseen " * 40, "label": None}]
    result = run(_spec(calibration=_written(tmp_path, "jsonl", two, "two"), data=data, tokens=25), classifier(COLOURS))
    assert result.calibration is not None
    assert result.calibration.shared == {"own": 2 / len(TEXTS)}
    stated = "25 % of the texts that own measures were also used to repair the model."
    assert stated in result.warnings
    card = model_card(result, "AutoModelForSequenceClassification", trust=False)
    assert stated in card
    assert "not used to repair" not in card
    assert "digests" not in result.model_dump_json()
    apart = run(
        _spec(calibration=_written(tmp_path, "jsonl", two[2:], "one"), data=data, tokens=10), classifier(COLOURS)
    )
    assert apart.calibration is not None
    assert apart.calibration.shared == {}
    assert "not used to repair" in model_card(apart, "AutoModelForSequenceClassification", trust=False)


def test_data_of_ones_own_beside_a_calibration_task_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data are no folder of copies then, so the hub is asked for the task."""
    asked: list[str] = []
    monkeypatch.setattr(HfApi, "dataset_info", lambda _, name, **__: asked.append(name) or pytest.fail("no network"))
    data = _written(tmp_path, "csv", _rows(text=TEXTS, label=list(COLOURS) * 4))
    with pytest.raises(BaseException, match=r"no network|check the network"):
        run(_spec(calibration="cola", data=data), classifier(COLOURS))
    assert asked == ["nyu-mll/glue"]


@pytest.mark.demo
def test_own_texts_beside_a_task_are_those_of_own_alone(tmp_path: Path) -> None:
    data = _written(tmp_path, "csv", _rows(text=[" ".join(TEXTS)] * 20))
    choices = {"data": data, "evaluate_limit": 2, "evaluate_length": 32, "tokens": 20}
    exams = prepare_all(reader(), _spec(evaluate=("perplexity", "own"), **choices))
    assert [(name, exam.source) for name, exam in exams.items()] == [("perplexity", "wiki"), ("own", data)]
    (alone,) = prepare_all(reader(), _spec(evaluate=("perplexity",), **choices)).values()
    assert alone.source == data


def test_choices_take_no_data(tmp_path: Path) -> None:
    data = _written(tmp_path, "csv", _rows(text=TEXTS))
    with pytest.raises(InvalidSpecError, match="wiki-choice takes no data of your own; leave the data out"):
        prepare(reader(), "wiki-choice", data=data)
