"""Tasks of lm-evaluation-harness: the figures of a direct call of it, with every item."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import pytest

from liar.models.loaded import LoadedModel
from liar.statistics.paired import bits
from tests.evaluate.harness.own_tasks import OWN, evaluated, rows

pytestmark = pytest.mark.usefixtures("folder")

KNOWN = {"accuracy": "acc", "normalized-accuracy": "acc_norm", "exact-match": "exact_match"}


@pytest.mark.parametrize("name", OWN)
def test_figures_are_those_of_a_direct_call(name: str, loaded: LoadedModel, direct: dict[str, Any]) -> None:
    """Of several filters the first one counts, and what is no share of right answers is left out."""
    outcome = evaluated(loaded, name)
    expected: dict[str, float] = {}
    for key, value in direct["results"][name].items():
        expected.setdefault(key.split(",")[0], value)
    figures = {KNOWN[figure.metric]: figure.value for figure in outcome.figures(outcome.metrics)}
    known = {metric: value for metric, value in expected.items() if metric in KNOWN.values()}
    assert figures == pytest.approx(known, rel=1e-4)
    assert outcome.versions == {
        "lm-evaluation-harness": importlib.metadata.version("lm_eval"),
        "task": "2" if name == "own_group" else "3.5",
        "examples in the prompt": "2" if name == "own_choices" else "0",
    }
    assert (len(outcome.samples), outcome.available) == ((16, 18) if name == "own_group" else (8, 9))


def test_items_of_a_choice(loaded: LoadedModel, direct: dict[str, Any]) -> None:
    outcome = evaluated(loaded, "own_choices")
    given = rows(9, 2)[:8]
    for sample, row in zip(outcome.samples, given, strict=True):
        assert sample.text.endswith(row["text"])
        assert sample.text.count("\n\n") == 2, "two examples"
        assert sample.endings == tuple(row["endings"])
        assert sample.label == row["endings"][row["label"]]
    assert outcome.labels == [row["endings"][row["label"]] for row in given]
    judged = direct["samples"]["own_choices"]
    assert outcome.right == [bool(sample["acc"]) for sample in judged]
    assert outcome.right == [answer == label for answer, label in zip(outcome.answers, outcome.labels, strict=True)]
    assert outcome.items.scores == [sample["acc_norm"] for sample in judged]
    assert outcome.items.right is not None
    assert bits(outcome.items.right, 8) == outcome.right


def test_items_whose_prompts_differ(loaded: LoadedModel) -> None:
    outcome, row = evaluated(loaded, "own_prompts", 1), rows(9, 2)[0]
    (sample,) = outcome.samples
    assert sample.text == row["text"] + " "
    assert sample.endings == tuple(f"{ending} {row['rest']}" for ending in row["endings"])
    assert sample.label == outcome.labels[0] == sample.endings[row["label"]]
    assert outcome.answers[0] in sample.endings


def test_items_of_generated_texts(loaded: LoadedModel, direct: dict[str, Any]) -> None:
    outcome = evaluated(loaded, "own_generation")
    judged = [sample for sample in direct["samples"]["own_generation"] if sample["filter"] == "strict"]
    given = rows(9, 2)[:8]
    assert [(sample.text, sample.endings) for sample in outcome.samples] == [
        (row["text"], (row["rest"],)) for row in given
    ]
    assert outcome.labels == [row["rest"] for row in given]
    assert outcome.answers == [sample["filtered_resps"][0].strip() for sample in judged]


def test_items_of_likelihoods(loaded: LoadedModel) -> None:
    outcome = evaluated(loaded, "own_ending")
    assert outcome.samples[0].endings == (rows(9, 2)[0]["rest"],)
    assert outcome.right is not None
    assert outcome.answers == [
        label if right else "" for label, right in zip(outcome.labels, outcome.right, strict=True)
    ]


def test_equal_items_have_an_equal_digest(loaded: LoadedModel) -> None:
    digests = [
        evaluated(loaded, name, limit).items.digest
        for name, limit in (("own_shuffled", 8), ("own_shuffled", 8), ("own_shuffled", 7), ("own_choices", 8))
    ]
    assert digests[0] == digests[1], "also if the items are drawn with the global random numbers"
    assert len(set(digests)) == 3


def test_drawn_texts_can_be_repeated(loaded: LoadedModel) -> None:
    first, second = (evaluated(loaded, "own_drawn", 3) for _ in range(2))
    assert first == second
