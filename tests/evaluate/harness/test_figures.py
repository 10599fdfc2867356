"""Tasks of lm-evaluation-harness: the figures of a direct call of it, with every item."""

from __future__ import annotations

import importlib.metadata
import statistics
from pathlib import Path
from typing import Any

import pytest

from liar.models.loaded import LoadedModel
from tests.evaluate.harness.own_tasks import OWN, evaluated, rows

pytestmark = pytest.mark.filterwarnings("ignore:A single label")  # in the resamples of the harness


@pytest.mark.parametrize("name", OWN)
def test_figures_are_those_of_a_direct_call(
    name: str, loaded: LoadedModel, folder: Path, direct: dict[str, Any]
) -> None:
    outcome = evaluated(loaded, name, folder)
    expected = {
        key: value
        for key, value in direct["results"][name].items()
        if "," in key and "_stderr" not in key and isinstance(value, float)
    }
    assert len(outcome.figures) == len(expected) > 0
    for key, value in expected.items():
        metric = key.split(",")[0]
        shown = key if key in outcome.figures else metric
        assert outcome.figures[shown] == pytest.approx(value, rel=1e-4), key
        error = direct["results"][name].get(key.replace(",", "_stderr,"))
        if isinstance(error, float) and metric in ("acc", "acc_norm", "exact_match") and name != "own_group":
            assert outcome.stderr[shown] == pytest.approx(error, rel=1e-9)
        elif isinstance(error, float) and name != "own_group":
            assert outcome.stderr[shown] == pytest.approx(error, rel=0.3)
    assert outcome.higher_is_better.keys() == outcome.figures.keys()
    assert outcome.harness_version == importlib.metadata.version("lm_eval")
    assert outcome.task_version == ("2" if name == "own_group" else "3.5")
    assert outcome.num_fewshot == (2 if name == "own_choices" else 0)
    assert (outcome.n, outcome.available) == ((16, 18) if name == "own_group" else (8, 9))


def test_items_of_a_choice(loaded: LoadedModel, folder: Path, direct: dict[str, Any]) -> None:
    outcome = evaluated(loaded, "own_choices", folder)
    given = rows(9, 2)
    for item, row, sample in zip(outcome.items, given, direct["samples"]["own_choices"], strict=False):
        assert item.text.endswith(row["text"])
        assert item.text.count("\n\n") == 2, "two examples"
        assert item.choices == tuple(row["endings"])
        assert item.label == row["endings"][row["label"]]
        assert item.scores == {"acc": sample["acc"], "acc_norm": sample["acc_norm"]}
        assert (item.answer == item.label) == (item.scores["acc"] == 1)
        assert item.key == sample["doc_hash"]
    assert outcome.figures["acc"] == statistics.fmean(item.scores["acc"] for item in outcome.items)


def test_items_whose_prompts_differ(loaded: LoadedModel, folder: Path) -> None:
    item, row = evaluated(loaded, "own_prompts", folder, 1).items[0], rows(9, 2)[0]
    assert item.text == row["text"] + " "
    assert item.choices == tuple(f"{ending} {row['rest']}" for ending in row["endings"])
    assert item.label == item.choices[row["label"]]
    assert item.answer in item.choices


def test_items_of_generated_texts(loaded: LoadedModel, folder: Path, direct: dict[str, Any]) -> None:
    outcome = evaluated(loaded, "own_generation", folder)
    assert list(outcome.figures) == ["exact_match", "exact_match,word"]
    samples = [sample for sample in direct["samples"]["own_generation"] if sample["filter"] == "strict"]
    for item, sample, row in zip(outcome.items, samples, rows(9, 2), strict=False):
        assert (item.text, item.choices, item.label) == (row["text"], (), row["rest"])
        assert item.answer == sample["filtered_resps"][0].strip()
        assert item.scores.keys() == {"exact_match", "exact_match,word"}


def test_items_of_likelihoods(loaded: LoadedModel, folder: Path) -> None:
    ending = evaluated(loaded, "own_ending", folder).items[0]
    assert (ending.choices, ending.label) == ((), rows(9, 2)[0]["rest"])
    assert ending.answer == (ending.label if ending.scores["acc"] else "")
    whole = evaluated(loaded, "own_texts", folder).items[0]
    assert (whole.text, whole.label, whole.answer) == (rows(9, 2)[0]["text"], "", "")
    words, size = len(whole.text.split()), len(whole.text.encode())
    assert whole.scores["word_perplexity"] * words == pytest.approx(whole.scores["bits_per_byte"] * size)
    pair = evaluated(loaded, "own_pairs", folder).items
    assert all(item.scores["mcc"] == (item.answer == item.label) for item in pair)


def test_equal_items_have_an_equal_digest(loaded: LoadedModel, folder: Path) -> None:
    digests = [
        evaluated(loaded, name, folder, limit).digest
        for name, limit in (("own_shuffled", 8), ("own_shuffled", 8), ("own_shuffled", 7), ("own_choices", 8))
    ]
    assert digests[0] == digests[1], "also if the items are drawn with the global random numbers"
    assert len(set(digests)) == 3


def test_drawn_texts_can_be_repeated(loaded: LoadedModel, folder: Path) -> None:
    first, second = (evaluated(loaded, "own_drawn", folder, 3) for _ in range(2))
    assert first == second
