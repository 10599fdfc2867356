"""Which class of a model stands for which label: by name, else by its answers to training texts, never by what is measured."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from liar.errors import InvalidSpecError
from liar.evaluate.label_order import settle_order
from liar.evaluate.prepared_task import evaluate
from liar.events import Warned
from liar.jobs import pipeline
from liar.jobs.pipeline import run, stream
from liar.models.loaded import LoadedModel, working_copy
from liar.runtime.memory import PlannedWork
from liar.spec import PruneSpec
from liar.tasks.registry import task_named
from tests.copies import CONFIGS, Relabel, write_copy
from tests.small_heads import classifier, predicted_class
from tests.tiny import calibration_text

MNLI = task_named("mnli").labels
UNNAMED = ("LABEL_0", "LABEL_1", "LABEL_2")


def _answered(config: str, loaded: LoadedModel, order: Sequence[int], only: str = "") -> Relabel:
    """Labels that the model gives if its class ``order[i]`` is label i; in the parts that begin with ``only``."""

    def relabel(part: str, row: dict[str, Any]) -> dict[str, Any]:
        texts = [row[column] for column in CONFIGS[config][0]]
        right = order.index(predicted_class(loaded, *texts))
        return {**row, "label": right} if part.startswith(only) else row

    return relabel


@pytest.mark.parametrize(
    "names",
    [
        ("entailment", "neutral", "contradiction"),
        ("CONTRADICTION", "Entailment", "NEUTRAL"),
        ("neutral.", " contra-diction ", "entail_ment"),
    ],
)
def test_names_count_whatever_their_order_case_and_punctuation(tmp_path: Path, names: tuple[str, ...]) -> None:
    """No training text is read for it: the copy has none."""
    loaded = classifier(names)
    order = [
        next(place for place, name in enumerate(names) if name.casefold().strip(" .")[:4] == label[:4])
        for label in MNLI
    ]
    copy = write_copy(tmp_path, "mnli", relabel=_answered("mnli", loaded, order))
    (copy / "nyu-mll/glue/mnli/train-00000-of-00001.parquet").unlink()
    found = evaluate(loaded, "mnli", data=str(copy))
    assert (found.value, found.note) == (1, None)
    assert loaded.label_orders["mnli"].classes == tuple(order)


@pytest.mark.parametrize(
    ("names", "order"), [*((UNNAMED, order) for order in permutations(range(3))), (("0", "1", "2"), (1, 2, 0))]
)
def test_classes_without_names_are_found_on_training_texts(
    tmp_path: Path, names: tuple[str, ...], order: tuple[int, ...]
) -> None:
    loaded = classifier(names)
    copy = write_copy(tmp_path, "mnli", relabel=_answered("mnli", loaded, order))
    found = evaluate(loaded, "mnli", data=str(copy))
    read = ", ".join(MNLI[order.index(place)] for place in range(3))
    assert (found.value, loaded.label_orders["mnli"].classes) == (1, order)
    assert found.note == (
        f"The classes of small/bert have no names; read as {read}, the order that fits best, 100 % of 60 training texts are "
        "answered right."
    )


def test_the_order_is_never_fitted_on_what_is_measured(tmp_path: Path) -> None:
    """All validation texts suggest the order of the data, all training texts the other one."""
    loaded = classifier(("LABEL_0", "LABEL_1"))
    measured, training = _answered("rte", loaded, (0, 1)), _answered("rte", loaded, (1, 0), only="train")
    copy = write_copy(tmp_path, "rte", relabel=lambda part, row: training(part, measured(part, row)))
    assert evaluate(loaded, "rte", data=str(copy)).value == 0
    shutil.rmtree(copy)
    again = classifier(("LABEL_0", "LABEL_1"))
    copy = write_copy(tmp_path, "rte", relabel=training)  # other labels of what is measured
    evaluate(again, "rte", data=str(copy))
    assert again.label_orders == loaded.label_orders


def test_classes_that_the_task_lacks_are_named(tmp_path: Path) -> None:
    loaded = classifier(("negative", "neutral", "positive"))
    found = evaluate(loaded, "sst2", data=str(write_copy(tmp_path, "sst2")))
    assert found.note == "small/bert has classes that sst2 lacks, and they are ignored: neutral."
    assert loaded.label_orders["sst2"].classes == (0, 2)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("joy", "anger"),
            "The classes of small/bert are joy, anger, and those of sst2 are negative, positive; .*id2label",
        ),
        (
            UNNAMED,
            "has 3 classes .LABEL_0, LABEL_1, LABEL_2., and sst2 has 2 .negative, positive.; choose another task",
        ),
    ],
)
def test_other_classes_are_refused(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(InvalidSpecError, match=message):
        evaluate(classifier(names), "sst2", data=str(write_copy(tmp_path, "sst2")))


# -- runs ------------------------------------------------------------------------------------------------------------------


def _spec(copy: Path, task: str, **choices: Any) -> PruneSpec:
    usual = {"criterion": "taylor", "calibration": task, "tokens": 300, "sequence_length": 32, "data": str(copy)}
    return PruneSpec.create(**(usual | choices))


@pytest.mark.parametrize("given", [True, False])
def test_the_variants_of_a_run_have_the_order_of_the_dense_model(
    tmp_path: Path, given: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = classifier(("LABEL_0", "LABEL_1"))
    copy = write_copy(tmp_path, "rte", relabel=_answered("rte", loaded, (1, 0)))
    spec = _spec(copy, "rte", evaluate=("rte",), ratio=0.9)
    monkeypatch.setattr(pipeline, "load_model", lambda *_, **__: classifier(("LABEL_0", "LABEL_1")))
    result = run(spec, loaded if given else None)
    notes = {evaluation.note for evaluation in result.evaluations}
    assert len(notes) == 1
    assert result.evaluations[0].value == 1
    assert result.evaluations[1].value < 1
    assert list(notes) == [warning for warning in result.warnings if "have no names" in warning]


def test_a_run_names_only_the_orders_of_its_own_tasks(tmp_path: Path) -> None:
    """The model keeps the orders of earlier runs, which must not change the result."""
    loaded = classifier(("LABEL_0", "LABEL_1"))
    copy = write_copy(write_copy(tmp_path, "rte"), "sst2")
    spec = _spec(copy, "rte", evaluate=("rte",))
    first = run(spec, loaded)
    evaluate(loaded, "sst2", data=str(copy))
    assert set(loaded.label_orders) == {"rte", "sst2"}
    assert run(spec, loaded).warnings == first.warnings


def test_the_gradients_of_calibration_use_the_settled_order(tmp_path: Path) -> None:
    loaded = classifier(("LABEL_0", "LABEL_1"))
    copy = write_copy(tmp_path, "rte", relabel=_answered("rte", loaded, (1, 0)))
    events = list(stream(_spec(copy, "rte"), loaded))
    assert [event.message for event in events if isinstance(event, Warned) and "no names" in event.message]
    copied = working_copy(loaded, PlannedWork())
    for model in (loaded, copied):
        batches, _ = calibration_text("rte", model, 300, 32, 0, data=str(copy))
        for batch in batches:
            inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
            assert loaded.model(**inputs).logits.argmax(dim=1).tolist() == batch["labels"].tolist()


def test_a_calibration_task_of_other_classes_gives_no_labels(tmp_path: Path) -> None:
    loaded = classifier(UNNAMED)
    copy = write_copy(tmp_path, "rte")
    batches, _ = calibration_text("rte", loaded, 300, 32, 0, data=str(copy))
    assert not any("labels" in batch for batch in batches)
    run(_spec(copy, "rte"), loaded)
    assert loaded.label_orders == {}


def test_an_order_is_settled_once(tmp_path: Path) -> None:
    loaded = classifier(("LABEL_0", "LABEL_1"))
    copy = write_copy(tmp_path, "rte")
    order = settle_order(loaded, task_named("rte"), str(copy))
    shutil.rmtree(copy)
    assert settle_order(loaded, task_named("rte"), str(copy)) is order
