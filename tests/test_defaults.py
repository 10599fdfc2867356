"""The choice of the default recipe: validation text only, recipes compared item by item, the best one named."""

from __future__ import annotations

import random
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from liar.data import text_windows
from liar.data.text_reader import Sample, Samples
from liar.evaluate import task_readers
from tests.tiny import LETTERS, language_model


@pytest.fixture
def defaults(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parent.parent / "benchmarks"))
    return pytest.importorskip("defaults")


def test_recipes_are_ranked_by_what_their_items_lose(defaults: ModuleType) -> None:
    first, second, third = defaults.CANDIDATES[:3]
    seeds = {
        first: [[1.0, 2.0, 3.0, 4.0], [1.2, 2.2, 3.2, 4.2]],
        second: [[0.5, 1.0, 3.5, 3.0], [0.7, 1.2, 3.7, 3.2]],
        third: [[0.5, 1.0, 3.5, 3.2], [0.7, 1.2, 3.7, 3.0]],
    }
    ranked = defaults.standings(seeds)
    assert [each.recipe for each in ranked] == [second, third, first]
    best, _, last = ranked
    assert (best.behind, best.behind_stderr, best.is_best) == (0.0, None, True)
    assert best.loss == pytest.approx(2.1)
    assert last.loss == pytest.approx(2.6)
    assert last.spread == pytest.approx(np.std([2.5, 2.7], ddof=1))
    assert last.stderr == pytest.approx(np.std([1.1, 2.1, 3.1, 4.1], ddof=1) / 2)
    pairs = np.array([0.5, 1.0, -0.5, 1.0])  # smaller than the spread of the items, which both recipes share
    assert last.behind == pytest.approx(pairs.mean())
    assert last.behind_stderr == pytest.approx(pairs.std(ddof=1) / 2)
    assert last.behind_stderr < last.stderr
    assert not last.is_best


def test_the_default_recipe_is_a_candidate_and_its_place_is_named(defaults: ModuleType) -> None:
    assert defaults.DEFAULT in defaults.CANDIDATES
    other = next(recipe for recipe in defaults.CANDIDATES if recipe != defaults.DEFAULT)
    ranked = defaults.standings({defaults.DEFAULT: [[1.0, 3.0]], other: [[1.1, 1.1]]})
    assert defaults.verdict(ranked).startswith(
        f"Best: {other}; the default ({defaults.DEFAULT}) is number 2 of 2 and within"
    )
    assert ranked[0].spread is None
    ranked = defaults.standings({defaults.DEFAULT: [[1.0, 1.0]], other: [[1.5, 1.6]]})
    assert defaults.verdict(ranked) == f"Best: {defaults.DEFAULT}, the default."


def test_no_test_text_is_read(defaults: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def letters(source: str, split: str, seed: int | None = None, **_: Any) -> Samples:
        read.append(split)
        draw = random.Random(f"{split} {seed}")
        return Samples(source, split, (Sample(" ".join(draw.choices(LETTERS, k=200))) for _ in range(200)))

    for module in (text_windows, task_readers):
        monkeypatch.setattr(module, "read_samples", letters)
    case = defaults.Case("tiny/llama", "ffn", "perplexity", (0.25, 0.5))
    model, recipes = language_model(), defaults.CANDIDATES[-2:]
    measured = [defaults.measured(case, seed, recipes, 3, model) for seed in (0, 1)]
    assert set(read) == {"train", "validation"}
    assert all(item.n == 3 for seed in measured for item in (seed.dense, *seed.found.values()))
    assert set(measured[0].found) == {(ratio, recipe) for ratio in case.ratios for recipe in recipes}
    text = defaults.section(case, measured)
    assert text.startswith("Dense: ")
    assert (
        "(n = 3 windows of 256 tokens of Wikipedia leads with document tokens between texts, validation part)" in text
    )
    assert text.count("Best: ") == 2
    assert text.count("| best |") == 2
    half = [seed.found[0.5, defaults.DEFAULT] for seed in measured]
    pooled = np.exp(np.mean([item.items.nll for item in half]))
    assert f"| **{defaults.DEFAULT}** | {pooled:.1f} ± " in text
