"""Tasks of lm-evaluation-harness that read copies of their datasets, and what cannot be evaluated."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import datasets
import pytest
import yaml

from liar.errors import CalibrationError, InvalidSpecError
from liar.evaluate.harness import harness_tasks
from liar.evaluate.harness.steps import harness_steps
from liar.models.loaded import LoadedModel
from liar.progress import finish
from tests import subwords, tiny
from tests.evaluate.harness.own_tasks import evaluated

QUESTION = {"text": ["four", "two", "three", "ten"], "label": ["A", "B", "C", "D"]}
SCIENCE = {"id": "7", "question": "what is two and two?", "choices": QUESTION, "answerKey": "A"}
COPIES: dict[str, tuple[str, dict[str, Any], tuple[str, tuple[str, ...], str]]] = {
    "hellaswag": (
        "hellaswag/data",
        {
            "ind": 1,
            "activity_label": "Cooking",
            "ctx_a": "A man cooks [step] soup.",
            "ctx_b": "the man",
            "ctx": "A man cooks soup. the man",
            "endings": ["eats it.", "sings.", "sleeps.", "runs."],
            "source_id": "a",
            "split": "val",
            "split_type": "indomain",
            "label": "2",
        },
        ("Cooking: A man cooks soup. The man", ("eats it.", "sings.", "sleeps.", "runs."), "sleeps."),
    ),
    "arc_easy": (
        "allenai/ai2_arc/ARC-Easy",
        SCIENCE,
        ("Question: what is two and two?\nAnswer:", tuple(QUESTION["text"]), "four"),
    ),
    "boolq": (
        "aps/super_glue/boolq",
        {"question": "is ice cold", "passage": "Ice is frozen water.", "idx": 0, "label": 1},
        ("Ice is frozen water.\nQuestion: is ice cold?\nAnswer:", ("no", "yes"), "yes"),
    ),
    "piqa": (
        "baber/piqa",
        {"goal": "open a door", "sol1": "push it", "sol2": "eat it", "label": 0},
        ("Question: open a door\nAnswer:", ("push it", "eat it"), "push it"),
    ),
    "winogrande": (
        "allenai/winogrande/winogrande_xl",
        {"sentence": "Ann met Amy but _ left.", "option1": "Ann", "option2": "Amy", "answer": "2"},
        ("Ann met Amy but ", ("Ann left.", "Amy left."), "Amy left."),
    ),
    "openbookqa": (
        "allenai/openbookqa/main",
        {"id": "8", "question_stem": "two and two are", "choices": QUESTION, "answerKey": "A"},
        ("two and two are", tuple(QUESTION["text"]), "four"),
    ),
}


def copy_of(data: Path, folder: str, row: dict[str, Any]) -> None:
    place = data / folder
    place.mkdir(parents=True)
    for split in ("train", "validation", "test"):
        datasets.Dataset.from_list([row] * 3).to_parquet(str(place / f"{split}-00000-of-00001.parquet"))


@pytest.mark.parametrize("name", COPIES)
def test_a_task_of_the_hub_reads_its_local_copy(name: str, loaded: LoadedModel, tmp_path: Path) -> None:
    folder, row, presented = COPIES[name]
    copy_of(tmp_path, folder, row)
    outcome = finish(harness_steps(loaded, name, 2, data=tmp_path))
    assert (len(outcome.samples), outcome.available) == (2, 3)
    sample = outcome.samples[0]
    assert (sample.text, sample.endings, sample.label) == presented
    assert outcome.right == [outcome.answers[0] == outcome.labels[0]] * 2


def test_the_card_of_a_copy_names_its_parts(loaded: LoadedModel, tmp_path: Path) -> None:
    copy_of(tmp_path, "ai2_arc/some/files", SCIENCE)
    parts = [{"split": split, "path": f"some/files/{split}-*"} for split in ("train", "validation", "test")]
    card = yaml.safe_dump({"configs": [{"config_name": "ARC-Challenge", "data_files": parts}]})
    (tmp_path / "ai2_arc" / "README.md").write_text(f"---\n{card}---\n")
    assert len(finish(harness_steps(loaded, "arc_challenge", data=str(tmp_path))).samples) == 3


def test_a_copy_that_is_missing_or_incomplete(loaded: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="has no folder Rowan/hellaswag, the dataset of the task 'hellaswag'"):
        next(harness_steps(loaded, "hellaswag", data=tmp_path))
    copy_of(tmp_path, "hellaswag", COPIES["hellaswag"][1])
    (tmp_path / "hellaswag" / "validation-00000-of-00001.parquet").unlink()
    with pytest.raises(CalibrationError, match="'hellaswag' cannot be used"):
        next(harness_steps(loaded, "hellaswag", data=tmp_path))
    with pytest.raises(InvalidSpecError, match="takes no copies of datasets"):
        next(harness_steps(loaded, "mmlu", data=tmp_path))


def test_a_dataset_out_of_reach_is_known_soon(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse = Mock(side_effect=OSError("Name or service not known"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(harness_tasks.HfApi, "dataset_info", refuse)
    with pytest.raises(
        CalibrationError, match=r"'Rowan/hellaswag' .* out of reach \(OSError: Name or service not known\)"
    ):
        next(harness_steps(loaded, "hellaswag"))


def test_the_harness_is_missing_or_old(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "0.4.9")
    with pytest.raises(InvalidSpecError, match=r"0\.4\.9 is older than 0\.4\.12"):
        next(harness_steps(loaded, "hellaswag"))
    missing = Mock(side_effect=importlib.metadata.PackageNotFoundError("lm_eval"))
    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(
        InvalidSpecError, match=r"needs lm-evaluation-harness; install it with `pip install 'liar\[harness\]'`"
    ):
        next(harness_steps(loaded, "hellaswag"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no such thing at all", "has no task 'no such thing at all'; `lm-eval ls tasks` lists all"),
        ("own_bare", "has no figure of its own; name one of its tasks, as own_choices"),
        ("own_unsafe", "runs code that a model wrote"),
        ("own_long", "generates up to 256 tokens, and the model has 96 positions"),
        ("own_texts", "asks for 'loglikelihood_rolling', which is none of loglikelihood, generate_until"),
        ("own_pairs", "measures mcc, which are no shares of right answers"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_task_that_cannot_be_done(name: str, message: str) -> None:
    with pytest.raises(InvalidSpecError, match=message):
        evaluated(subwords.loaded(96), name)


@pytest.mark.usefixtures("folder")
def test_a_model_or_a_choice_that_cannot_be_used(loaded: LoadedModel) -> None:
    with pytest.raises(InvalidSpecError, match="need a causal language model, and tiny/bert is none"):
        evaluated(tiny.classifier(), "own_choices")
    with pytest.raises(InvalidSpecError, match="choose at least 1"):
        evaluated(loaded, "own_choices", 0)
    without = subwords.loaded(begin=False)
    without.tokenizer.eos_token = None
    with pytest.raises(InvalidSpecError, match="neither a begin nor an end token"):
        evaluated(without, "own_choices")


def test_an_empty_dataset(loaded: LoadedModel, tmp_path: Path) -> None:
    copy_of(tmp_path, "piqa", COPIES["piqa"][1])
    empty = datasets.Dataset.from_list([COPIES["piqa"][1]]).select([])
    empty.to_parquet(str(tmp_path / "piqa" / "validation-00000-of-00001.parquet"))
    with pytest.raises(CalibrationError, match="'piqa' cannot be used"):
        next(harness_steps(loaded, "piqa", data=tmp_path))
