"""GLUE and SQuAD on small random models: figures equal those of the model's own predictions, and whole runs repeat."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from liar.data.question_windows import STRIDE
from liar.data.text_reader import read_samples
from liar.errors import InvalidSpecError
from liar.evaluate.prepared_task import evaluate
from liar.evaluate.spans import BEST, LONGEST, scores_of_answers, span_steps
from liar.jobs.pipeline import run
from liar.loading.catalog import load_model
from liar.models.loaded import LoadedModel
from liar.progress import finish
from liar.results import Evaluation, RunResult
from liar.spec import PruneSpec
from liar.statistics.compare import right_answers
from liar.tasks.registry import task_named
from liar.tasks.samples import Sample
from tests.copies import CONFIGS, SIZES, Row, write_copy
from tests.small_heads import POSITIONS, classifier, head_for, marker, predicted_class, regressor
from tests.tiny import calibration_text

REFERENCES: dict[str, dict[str, Callable[[list[int], list[int]], float]]] = {
    "cola": {"matthews": matthews_corrcoef},
    "sst2": {"accuracy": accuracy_score},
    "mrpc": {"accuracy": accuracy_score, "f1": f1_score},
    "qqp": {"accuracy": accuracy_score, "f1": f1_score},
    "mnli": {"accuracy": accuracy_score},
    "mnli-mm": {"accuracy": accuracy_score},
    "qnli": {"accuracy": accuracy_score},
    "rte": {"accuracy": accuracy_score},
}
"""The metrics of ``run_glue`` of transformers; scikit-learn counts the class 1 as the positive one."""

MEASURED = SIZES["validation"]


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> str:
    """GLUE, and a SQuAD whose even questions a model of this file answers right."""
    folder = tmp_path_factory.mktemp("copies")
    for config in CONFIGS:
        write_copy(folder, config)
    loaded = marker()

    def answered(part: str, row: Row) -> Row:
        sample = Sample(row["question"], pair=row["context"])
        answer = finish(span_steps(loaded.model, loaded.tokenizer, [sample], POSITIONS))[0]
        if not answer or int(row["id"].removeprefix(part)) % 2:
            return row
        return {**row, "answers": {"text": [answer], "answer_start": [row["context"].index(answer)]}}

    write_copy(folder, "squad", relabel=answered)
    return str(folder)


def _values(evaluation: Evaluation) -> dict[str, float]:
    return {figure.metric: figure.value for figure in evaluation.figures}


@pytest.mark.parametrize("task", REFERENCES)
def test_figures_of_classes_are_those_of_scikit_learn(copies: str, task: str) -> None:
    loaded = head_for(task)
    found = evaluate(loaded, task, data=copies)
    samples = list(read_samples(task, "test", data=copies))
    texts = [(sample.text,) if sample.pair is None else (sample.text, sample.pair) for sample in samples]
    predicted = [predicted_class(loaded, *each) for each in texts]
    assert len(set(predicted)) > 1
    labels = [task_named(task).labels.index(sample.label or "") for sample in samples]
    expected = {name: metric(labels, predicted) for name, metric in REFERENCES[task].items()}
    assert _values(found) == pytest.approx(expected, abs=1e-9)
    assert list(_values(found)) == list(expected)
    assert right_answers(found) == [answer == label for answer, label in zip(predicted, labels, strict=True)]
    assert (found.n, found.available, found.source, found.cut, found.note) == (MEASURED, MEASURED, task, 0, None)
    assert found.split is not None
    assert found.split.startswith("validation")


def test_figures_of_a_regression_are_those_of_scipy(copies: str) -> None:
    loaded = regressor()
    found = evaluate(loaded, "stsb", data=copies)
    samples = list(read_samples("stsb", "test", data=copies))
    assert found.items is not None
    predicted, wanted = found.items.predicted, [float(sample.label or "") for sample in samples]
    assert predicted is not None
    assert found.items.wanted == wanted
    alone = [
        float(loaded.model(**loaded.tokenizer(sample.text, sample.pair, return_tensors="pt")).logits)
        for sample in samples
    ]
    assert predicted == pytest.approx(alone, abs=1e-5)
    assert all(float(str(np.float32(number))) == number for number in predicted)  # no more digits than fp32 has
    expected = {"spearman": spearmanr(predicted, wanted).statistic, "pearson": pearsonr(predicted, wanted).statistic}
    assert _values(found) == pytest.approx(expected, abs=1e-9)


def test_figures_of_answers_are_means_over_the_questions(copies: str) -> None:
    loaded = marker()
    found = evaluate(loaded, "squad", data=copies, sequence_length=24)
    samples = list(read_samples("squad", "test", data=copies))
    answers = finish(span_steps(loaded.model, loaded.tokenizer, samples, 24))
    right, scores = scores_of_answers(answers, samples)
    assert any(scores)
    expected = {"answer-f1": sum(scores) / len(scores), "exact-match": sum(right) / len(right)}
    assert _values(found) == pytest.approx(expected, abs=1e-9)


def test_windows_of_squad_have_the_usual_length() -> None:
    """384 tokens, cut to the positions of a smaller model; stride, candidates and longest answer are defaults of others."""
    assert (task_named("squad").length, STRIDE, BEST, LONGEST) == (384, 128, 20, 30)


def test_a_limit_takes_the_first_items_and_names_the_number_of_all(copies: str) -> None:
    found = evaluate(classifier(("unacceptable", "acceptable")), "cola", data=copies, limit=7)
    assert (found.n, found.available) == (7, MEASURED)


# -- calibration -----------------------------------------------------------------------------------------------------------


def test_calibration_reads_pairs_and_labels_of_the_training_part(copies: str) -> None:
    loaded = classifier(("not_equivalent", "equivalent"))
    batches, used = calibration_text("mrpc", loaded, 300, 32, 0, data=copies)
    assert (used.source, used.split) == ("mrpc", "train")
    assert all(set(batch) == {"input_ids", "attention_mask", "token_type_ids", "labels"} for batch in batches)
    rows = list(read_samples("mrpc", "train", 0, data=copies))[: used.sequences]
    encoded = {tuple(loaded.tokenizer(row.text, row.pair)["input_ids"]): int(row.label == "equivalent") for row in rows}
    for batch in batches:
        for ids, mask, label in zip(batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True):
            assert encoded[tuple(ids[mask.bool()].tolist())] == int(label)


def test_numbers_are_labels_of_a_regression(copies: str) -> None:
    batches, _ = calibration_text("stsb", regressor(), 300, 32, 0, data=copies)
    labels = torch.cat([batch["labels"] for batch in batches])
    assert labels.is_floating_point()
    assert labels.max() > 1


# -- whole runs --------------------------------------------------------------------------------------------------------------


def _spec(task: str, copies: str, **choices: Any) -> PruneSpec:
    usual: dict[str, Any] = {
        "targets": "both",
        "ratio": 0.5,
        "allocation": "loss-curve",
        "schedule": "sequential",
        "calibration": task,
        "tokens": 400,
        "sequence_length": 32,
        "evaluate": (task,),
        "data": copies,
        "dtype": "float32",
    }
    return PruneSpec.create(**(usual | choices))


def _outcome(result: RunResult) -> tuple[Any, ...]:
    return result.sites, result.totals, result.evaluations, result.changes, result.calibration, result.warnings


@pytest.mark.parametrize(
    ("task", "criterion", "further"),
    [
        ("cola", "taylor", []),
        ("mrpc", "fisher", ["f1"]),
        ("stsb", "taylor", ["pearson"]),
        ("squad", "fisher", ["exact-match"]),
    ],
)
def test_a_run_on_a_task_of_the_hub_repeats_bit_for_bit(
    copies: str, task: str, criterion: str, further: list[str]
) -> None:
    loaded = head_for(task)
    spec = _spec(task, copies, criterion=criterion)
    first, second = run(spec, loaded), run(spec, head_for(task))
    assert _outcome(first) == _outcome(second)
    assert RunResult.model_validate_json(first.model_dump_json()) == first
    assert [each.variant for each in first.evaluations] == ["dense", "pruned", "reconstructed"]
    assert first.calibration is not None
    assert (first.calibration.source, first.calibration.split) == (task, "train")
    digests = {each.items.digest for each in first.evaluations if each.items is not None}
    assert len(digests) == 1
    for each in first.evaluations:
        assert [figure.metric for figure in each.further] == further
        assert (each.n, each.split, each.available) == (MEASURED, "validation", MEASURED)
    assert first.evaluations[0].stderr > 0
    assert bool(first.changes) == (task != "stsb")
    assert all(change.pair is not None for change in first.changes) == (task != "cola" or not first.changes)
    unlabelled = run(_spec(task, copies, criterion=criterion, calibration="mnli"), loaded)
    assert unlabelled.sites != first.sites


@pytest.mark.parametrize("task", ["squad", "stsb", "mnli"])
def test_a_checkpoint_of_each_head_is_loaded_and_run(copies: str, task: str, tmp_path: Path) -> None:
    loaded = head_for(task)
    loaded.model.save_pretrained(tmp_path)
    loaded.tokenizer.save_pretrained(tmp_path)
    found, given = run(_spec(task, copies, model=str(tmp_path), criterion="fisher")), load_model(str(tmp_path), "cpu")
    assert type(given.model) is type(loaded.model)
    expected = run(_spec(task, copies, criterion="fisher"), loaded)
    assert (found.sites, found.evaluations, found.changes) == (expected.sites, expected.evaluations, expected.changes)


def test_labels_decide_the_gradients(copies: str, tmp_path: Path) -> None:
    """The same texts with other labels give other scores."""

    def turned(part: str, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "label": 1 - row["label"]} if part == "train" else row

    other = str(write_copy(tmp_path, "cola", relabel=turned))
    loaded = head_for("cola")
    kept = [
        [site.kept_units for site in run(_spec("cola", data, criterion="taylor", evaluate=()), loaded).sites]
        for data in (copies, other)
    ]
    assert kept[0] != kept[1]


# -- heads that do not fit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "loaded", "message"),
    [
        ("squad", classifier(("negative", "positive")), "squad needs a head for question answering"),
        ("cola", marker(), "cola needs a classifier's head, and small/bert has none"),
        ("cola", regressor(), "cola needs a classifier's head"),
        ("stsb", classifier(("negative", "positive")), "stsb needs a head with one output, a regression"),
        ("mnli", classifier(("LABEL_0", "LABEL_1")), "has 2 classes .* and mnli has 3"),
        ("perplexity", regressor(), "perplexity needs a causal language model"),
        ("hellaswag", marker(), "hellaswag needs a causal language model"),
    ],
)
def test_a_task_that_does_not_fit_the_head_is_refused(
    copies: str, task: str, loaded: LoadedModel, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(loaded.model), "forward", lambda *_, **__: pytest.fail("the model was run"))
    with pytest.raises(InvalidSpecError, match=message) as caught:
        run(_spec(task, copies, criterion="taylor"), loaded)
    assert str(caught.value).count(". ") == 0
    assert "choose" in str(caught.value)


def test_a_regression_of_several_outputs_is_no_regression_of_a_task(copies: str) -> None:
    loaded = classifier(("low", "high"))
    loaded.model.config.problem_type = "regression"
    with pytest.raises(InvalidSpecError, match="needs a head with one output"):
        evaluate(loaded, "stsb", data=copies)
