"""Copies of GLUE and SQuAD in the hub's layout, with made-up texts of the words of :mod:`tests.small_heads`.

Configurations, parts, columns, types and label names are those of ``nyu-mll/glue`` and ``rajpurkar/squad``. A text ends in
the name of its part and its number, so that it shows where it is from.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from liar.tasks.samples import Answer, Sample
from tests.small_heads import WORDS

Row = dict[str, Any]
Relabel = Callable[[str, Row], Row]
"""Replacement of a row of the part with this name."""

ENTAILMENT = ("entailment", "not_entailment")
CONFIGS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...] | None]] = {
    "cola": (("sentence",), ("unacceptable", "acceptable")),
    "sst2": (("sentence",), ("negative", "positive")),
    "mrpc": (("sentence1", "sentence2"), ("not_equivalent", "equivalent")),
    "stsb": (("sentence1", "sentence2"), None),
    "qqp": (("question1", "question2"), ("not_duplicate", "duplicate")),
    "mnli": (("premise", "hypothesis"), ("entailment", "neutral", "contradiction")),
    "qnli": (("question", "sentence"), ENTAILMENT),
    "rte": (("sentence1", "sentence2"), ENTAILMENT),
}
"""Columns of text and names of labels of each configuration of GLUE; None for numbers."""

MEASURED = {"mnli": "validation_matched", "mnli-mm": "validation_mismatched"}
"""The part that a task measures, if it is not ``validation``."""

SIZES = {"train": 60, "validation": 30, "test": 8}
_SQUAD = Features(
    {
        "id": Value("string"),
        "title": Value("string"),
        "context": Value("string"),
        "question": Value("string"),
        "answers": {"text": List(Value("string")), "answer_start": List(Value("int32"))},
    }
)


def config_of(task: str) -> str:
    """The configuration that a task reads."""
    return "mnli" if task == "mnli-mm" else task


def parts_of(config: str) -> list[str]:
    """Names of the parts of a configuration of GLUE, or of SQuAD."""
    if config == "mnli":
        pairs = [f"{part}_{kind}" for part in ("validation", "test") for kind in ("matched", "mismatched")]
        return ["train", *pairs]
    return ["train", "validation"] if config == "squad" else ["train", "validation", "test"]


def part_of(config: str, part: str, relabel: Relabel | None = None) -> Dataset:
    """One part as the hub has it; labels of test parts are hidden."""
    draw = random.Random(f"{config} {part}")
    change = relabel or (lambda part, row: row)
    size = SIZES[part.partition("_")[0]]
    if config == "squad":
        return Dataset.from_list([change(part, _question(draw, part, number)) for number in range(size)], _SQUAD)
    columns, names = CONFIGS[config]
    label = Value("float32") if names is None else ClassLabel(names=list(names))
    features = Features({**{column: Value("string") for column in columns}, "label": label, "idx": Value("int32")})
    rows: list[Row] = []
    for number in range(size):
        row: Row = {column: f"{_words(draw, 8)} {part}{number}" for column in columns}
        drawn = round(draw.uniform(0, 5), 1) if names is None else draw.randrange(len(names))
        row |= {"label": -1 if part.startswith("test") else drawn, "idx": number}
        rows.append(change(part, row))
    return Dataset.from_list(rows, features)


def samples_of(task: str, part: str) -> list[Sample]:
    """What is read of a part, from its rows."""
    rows = list(part_of(config_of(task), part))
    if task == "squad":
        return [_asked(row) for row in rows]
    columns, names = CONFIGS[config_of(task)]
    return [
        Sample(
            row[columns[0]],
            names[row["label"]] if names else str(row["label"]).removesuffix(".0"),
            row[columns[1]] if len(columns) > 1 else None,
        )
        for row in rows
    ]


def _asked(row: Row) -> Sample:
    answers = zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
    return Sample(row["question"], pair=row["context"], answers=tuple(Answer(text, start) for text, start in answers))


def write_copy(folder: Path, config: str, layout: str = "parquet", relabel: Relabel | None = None) -> Path:
    """Write all parts in one of the layouts "parquet" and "saved"; return the folder to name with --data."""
    place = folder / ("rajpurkar/squad/plain_text" if config == "squad" else f"nyu-mll/glue/{config}")
    place.mkdir(parents=True)
    parts = {part: part_of(config, part, relabel) for part in parts_of(config)}
    if layout == "saved":
        DatasetDict(parts).save_to_disk(place)
        return folder
    for part, rows in parts.items():
        rows.to_parquet(place / f"{part}-00000-of-00001.parquet")
    return folder


def _words(draw: random.Random, most: int) -> str:
    return " ".join(draw.choices(WORDS, k=draw.randint(2, most)))


def _question(draw: random.Random, part: str, number: int) -> Row:
    context = f"{_words(draw, 30)} {part}{number}"
    words = context.split()
    first = draw.randrange(len(words) - 1)
    answer = " ".join(words[first : first + draw.randint(1, 3)])
    start = len(" ".join([*words[:first], ""]))
    answers = {"text": [answer, words[first]], "answer_start": [start, start]}
    return {
        "id": f"{part}{number}",
        "title": "Words",
        "context": context,
        "question": f"{_words(draw, 3)} {part}{number}",
        "answers": answers,
    }


def _table(rows: Dataset) -> bytes:
    buffer = io.BytesIO()
    rows.to_parquet(buffer)
    return buffer.getvalue()


def repository_of(configs: Sequence[str], *, folder: str | None = None) -> dict[str, bytes]:
    """Files and card of a dataset, with the numbers of rows that the card of GLUE has."""
    files = {
        f"{folder or config}/{part}-00000-of-00001.parquet": _table(part_of(config, part))
        for config in configs
        for part in parts_of(config)
    }
    card: dict[str, list[dict[str, Any]]] = {"configs": [], "dataset_info": []}
    for config in configs:
        inside, parts = folder or config, parts_of(config)
        sizes = {part: SIZES[part.partition("_")[0]] for part in parts}
        found = [{"split": part, "path": f"{inside}/{part}-*"} for part in parts]
        splits = [{"name": part, "num_bytes": 1, "num_examples": size} for part, size in sizes.items()]
        features = part_of(config, "train").features._to_yaml_list()
        card["configs"].append({"config_name": inside, "data_files": found})
        card["dataset_info"].append({"config_name": inside, "features": features, "splits": splits})
    return {"README.md": f"---\n{yaml.safe_dump(card)}---\n".encode(), **files}
