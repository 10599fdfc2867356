"""Tasks of lm-evaluation-harness on a few random rows, and their evaluation."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import yaml

from liar.evaluate.harness.steps import harness_steps
from liar.evaluate.outcome import Outcome
from liar.models.loaded import LoadedModel
from liar.progress import finish
from tests import subwords

POSITIONS = 384
MEAN = {"aggregation": "mean", "higher_is_better": True}
CODE = '''
import random

def shuffled(rows):
    """Draws from the global generator, as gpqa does."""
    def turn(row):
        order = list(row["endings"])
        random.shuffle(order)
        return {"endings": order, "label": order.index(row["endings"][row["label"]])}
    return rows.map(turn)

def prompt_of(row):
    return row["label"]

def prompts_of(row):
    return [row["text"] + " " + ending for ending in row["endings"]]

def ending_of(row):
    return row["rest"]
'''


def rows(count: int, seed: int) -> list[dict[str, Any]]:
    draw = random.Random(seed)

    def text(most: int) -> str:
        return " ".join(draw.choices(subwords.WORDS, k=draw.randint(1, most)))

    return [
        {
            "text": f"{number} {text(12)}",
            "rest": text(3),
            "endings": [f"{letter} {text(4)}" for letter in "abcd"],
            "label": draw.randrange(4),
            "flag": draw.randrange(2),
        }
        for number in range(count)
    ]


def task(folder: Path, name: str, **fields: Any) -> None:
    """A task file; a value that begins with "!" is the name of a function of ``functions.py``."""
    common = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {"train": str(folder / "train.jsonl"), "test": str(folder / "test.jsonl")},
        },
        "training_split": "train",
        "test_split": "test",
        "doc_to_text": "{{text}}",
        "metadata": {"version": 3.5},
    }
    lines = [
        f"{key}: !function functions.{value[1:]}"
        if str(value).startswith("!")
        else yaml.safe_dump({key: value}).strip()
        for key, value in (common | fields).items()
    ]
    (folder / f"{name}.yaml").write_text("\n".join(lines))


OWN = ("own_choices", "own_shuffled", "own_prompts", "own_generation", "own_ending", "own_group")
"""Tasks that can be measured."""


def evaluated(loaded: LoadedModel, name: str, limit: int | None = 8) -> Outcome:
    """Evaluate a task of the fixture ``folder``."""
    return finish(harness_steps(loaded, name, limit))
