"""Accuracy equals a count by hand, for any order of a model's classes."""

from __future__ import annotations

import math
import random

import pytest

from liar.errors import InvalidSpecError
from liar.evaluate.outcome import Outcomes, changes_of
from liar.evaluate.prepared_task import evaluate, evaluate_steps, prepare
from liar.loading.catalog import load_model
from liar.models.loaded import LoadedModel
from liar.progress import finish
from liar.results import Variant
from liar.statistics.compare import right_answers
from tests.small_heads import predicted_class
from tests.tiny import LETTERS, classifier, encoder, language_model


@pytest.fixture(scope="module")
def items() -> list[tuple[str, str]]:
    draw = random.Random(0)
    texts = (" ".join(draw.choices(LETTERS, k=draw.randint(1, 50))) for _ in range(75))
    return [(text, draw.choice(["negative", "Positive"])) for text in texts]


@pytest.fixture(scope="module")
def table(items: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("table") / "own.csv"
    path.write_text("\n".join(["text,label", *(f"{text},{label}" for text, label in items)]))
    return str(path)


def _right(loaded: LoadedModel, items: list[tuple[str, str]]) -> list[bool]:
    names = loaded.model.config.id2label
    return [names[predicted_class(loaded, text)].casefold() == label.casefold() for text, label in items]


@pytest.mark.parametrize("labels", [("negative", "positive"), ("POSITIVE", "NEGATIVE")])
def test_accuracy_is_the_share_of_right_answers(
    labels: tuple[str, str], items: list[tuple[str, str]], table: str
) -> None:
    loaded = classifier(labels)
    right = _right(loaded, items)
    share = sum(right) / len(right)
    assert 0.2 < share < 0.8
    result = evaluate(loaded, "sentiment", "reconstructed", data=table, sequence_length=64)
    assert result.value == pytest.approx(share)
    assert result.stderr == pytest.approx(math.sqrt(share * (1 - share) / 75))
    assert (result.n, result.metric, result.variant) == (75, "accuracy", "reconstructed")
    assert right_answers(result) == right


def test_the_same_texts_have_the_same_name_whatever_the_model(table: str) -> None:
    choices = [(("negative", "positive"), 9), (("POSITIVE", "NEGATIVE"), 9), (("negative", "positive"), 8)]
    found = [
        evaluate(classifier(labels), "sentiment", data=table, limit=limit, sequence_length=64).items
        for labels, limit in choices
    ]
    first, turned, fewer = (items.digest for items in found if items is not None)
    assert first == turned != fewer


@pytest.mark.parametrize("labels", [("negative", "positive"), ("POSITIVE", "NEGATIVE")])
def test_the_answers_of_the_variants_are_compared_item_by_item(
    labels: tuple[str, str], items: list[tuple[str, str]], table: str
) -> None:
    """The pruned variant is a head with opposite sign, which gives the other answer to every item."""
    dense, turned = classifier(labels), classifier(labels)
    turned.model.classifier.weight.neg_()
    turned.model.classifier.bias.neg_()
    variants: dict[Variant, LoadedModel] = {"dense": dense, "pruned": turned, "reconstructed": dense}
    outcomes: Outcomes = {}
    exam = prepare(dense, "sentiment", data=table, sequence_length=64)
    for variant, loaded in variants.items():
        finish(exam.steps(loaded, variant, outcomes))
    right = _right(dense, items)
    places = {wanted: [place for place, answer in enumerate(right) if answer == wanted] for wanted in (True, False)}
    first = sorted(places[True][:12] + places[False][:12])
    changes = changes_of(outcomes)
    assert [change.text for change in changes] == [items[position][0] for position in first]
    for change, position in zip(changes, first, strict=True):
        assert change.label.casefold() == items[position][1].casefold()
        assert (change.answers["dense"] == change.label) == right[position]
        assert change.answers["dense"] == change.answers["reconstructed"] != change.answers["pruned"]


def test_a_limit_takes_the_first_items(items: list[tuple[str, str]], table: str) -> None:
    loaded = classifier()
    result = evaluate(loaded, "sentiment", data=table, limit=10, sequence_length=64)
    assert (result.n, result.value) == (10, pytest.approx(sum(_right(loaded, items)[:10]) / 10))


def test_what_was_read_of_the_texts_is_recorded(items: list[tuple[str, str]], table: str) -> None:
    some = evaluate(classifier(), "sentiment", data=table, limit=40, sequence_length=20)
    cut = sum(len(text.split()) + 2 > 20 for text, _ in items[:40])
    assert (some.n, some.available, some.cut, some.sequence_length) == (40, None, cut, 20)
    assert (some.source, some.split) == (table, None)
    every = evaluate(classifier(), "sentiment", data=table, sequence_length=64)
    assert (every.n, every.available, every.cut) == (75, 75, 0)


def test_own_texts_may_use_the_tasks_names_where_a_model_has_none(table: str) -> None:
    unnamed, named = (classifier(labels) for labels in (("LABEL_0", "LABEL_1"), ("negative", "positive")))
    values = [evaluate(loaded, "sentiment", data=table, sequence_length=64).value for loaded in (unnamed, named)]
    assert values[0] == values[1]


def test_progress_counts_items_and_an_evaluation_can_be_left(table: str) -> None:
    steps = evaluate_steps(classifier(), "sentiment", data=table, sequence_length=64)
    assert [next(steps), next(steps)] == [(32, 75), (43, 75)]  # batches of 32, 32 and 11 items, in mixed order
    steps.close()


def test_a_model_without_the_tasks_head_is_refused() -> None:
    for loaded in (encoder(), language_model(), classifier(("score",))):
        with pytest.raises(InvalidSpecError, match=r"needs a classifier's head, .* such as demo/minilm-sentiment"):
            evaluate(loaded, "sentiment", sequence_length=64)


@pytest.mark.demo
@pytest.mark.parametrize(("task", "least", "limit"), [("sentiment", 0.85, 1200), ("topic", 0.88, 300)])
def test_the_demo_classifiers_are_good(task: str, least: float, limit: int) -> None:
    loaded = load_model(f"demo/minilm-{task}")
    assert loaded.task == task
    result = evaluate(loaded, loaded.task, limit=limit)
    assert result.n == limit
    assert result.value >= least
