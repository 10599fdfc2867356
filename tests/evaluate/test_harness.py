"""Tasks of lm-evaluation-harness: the figures of a direct call of it, with every item, and no trace in the process."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import random
import statistics
import sys
from pathlib import Path
from typing import Any

import datasets
import lm_eval
import numpy as np
import pytest
import torch
import yaml
from accelerate import cpu_offload
from lm_eval.api import task as harness_task
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from liar.errors import CalibrationError, InvalidSpecError
from liar.evaluate import harness_tasks
from liar.evaluate.harness import HarnessOutcome, harness_steps
from liar.models.catalog import LoadedModel
from liar.models.quantize import quantized
from liar.progress import finish
from tests import subwords, tiny
from tests.cut_models import cut
from tests.stand_in import device_that_refuses, moved

WORDS = subwords.WORDS
POSITIONS = 384
pytestmark = pytest.mark.filterwarnings("ignore:A single label")  # in the resamples of the harness
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
        return " ".join(draw.choices(WORDS, k=draw.randint(1, most)))

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    for name, count, seed in (("train", 6, 1), ("test", 9, 2)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows(count, seed))))
    (folder / "functions.py").write_text(CODE)
    choices = {
        "output_type": "multiple_choice",
        "doc_to_target": "label",
        "doc_to_choice": "{{endings}}",
        "metric_list": [{"metric": "acc", **MEAN}, {"metric": "acc_norm", **MEAN}],
    }
    task(folder, "own_choices", num_fewshot=2, **choices)
    task(folder, "own_shuffled", process_docs="!shuffled", **choices)
    prompts = {"doc_to_text": "!prompt_of", "doc_to_target": "!ending_of", "doc_to_choice": "!prompts_of"}
    task(folder, "own_prompts", **(choices | prompts))
    yes_or_no = {"doc_to_target": "flag", "doc_to_choice": ["no", "yes"], "metric_list": [{"metric": "mcc"}]}
    task(folder, "own_pairs", **(choices | yes_or_no))
    strict = {"name": "strict", "filter": [{"function": "take_first"}]}
    first_word = [{"function": "regex", "regex_pattern": "(\\w+)"}, {"function": "take_first"}]
    generation = {
        "output_type": "generate_until",
        "doc_to_target": "{{rest}}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 5},
        "metric_list": [{"metric": "exact_match", **MEAN}],
    }
    task(folder, "own_generation", filter_list=[strict, {"name": "word", "filter": first_word}], **generation)
    task(
        folder,
        "own_drawn",
        **(generation | {"generation_kwargs": {"do_sample": True, "temperature": 1.0, "max_gen_toks": 5}}),
    )
    task(folder, "own_long", **(generation | {"generation_kwargs": {"until": ["\n"]}}))
    task(folder, "own_unsafe", unsafe_code=True, **generation)
    task(
        folder,
        "own_ending",
        output_type="loglikelihood",
        doc_to_target=" {{rest}}",
        metric_list=[
            {"metric": "acc", **MEAN},
            {"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False},
        ],
    )
    task(
        folder,
        "own_texts",
        output_type="loglikelihood_rolling",
        doc_to_text="",
        doc_to_target="{{text}}",
        metric_list=[{"metric": "word_perplexity"}, {"metric": "bits_per_byte"}],
    )
    group = {
        "group": "own_group",
        "task": ["own_choices", "own_shuffled"],
        "aggregate_metric_list": [{"metric": "acc", "aggregation": "mean", "weight_by_size": True}],
        "metadata": {"version": 2},
    }
    (folder / "group.yaml").write_text(yaml.safe_dump(group))
    (folder / "bare.yaml").write_text(yaml.safe_dump({"group": "own_bare", "task": ["own_choices"]}))
    return folder


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return subwords.loaded(POSITIONS)


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """As with HF_DATASETS_OFFLINE=1, which is read at import; and with no cache of an earlier test."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


OWN = (
    "own_choices",
    "own_shuffled",
    "own_prompts",
    "own_pairs",
    "own_generation",
    "own_ending",
    "own_texts",
    "own_group",
)


@pytest.fixture(scope="module")
def direct(folder: Path, loaded: LoadedModel) -> dict[str, Any]:
    """Results of the harness's own evaluation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISABLE_MULTIPROC", "1")
        patch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)  # runs other programs
        harness = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=2)
        manager = TaskManager(include_path=[str(folder)], include_defaults=False)
        names = [name for name in OWN if name not in ("own_choices", "own_shuffled")]  # both are in the group
        found: dict[str, Any] = lm_eval.simple_evaluate(
            harness, tasks=names, task_manager=manager, bootstrap_iters=300, limit=8
        )
    return found


def evaluated(loaded: LoadedModel, name: str, folder: Path, limit: int | None = 8, **choices: Any) -> HarnessOutcome:
    return finish(harness_steps(loaded, name, limit, include=folder, **choices))


# -- figures -------------------------------------------------------------------------------------------------------------


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


# -- the model and the process -------------------------------------------------------------------------------------------


def states() -> list[Any]:
    return [random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()]


def settings() -> list[Any]:
    names = ("lm_eval", "datasets", "huggingface_hub", "transformers", "accelerate")
    levels = [logging.getLogger(name).level for name in names]
    return [
        *levels,
        datasets.are_progress_bars_disabled(),
        harness_task.tqdm,
        sys.stderr,
        logging.getLogger().handlers[:],
    ]


@pytest.mark.parametrize("name", ["own_shuffled", "own_drawn", "own_pairs"])
def test_no_trace_is_left_between_steps(
    name: str, loaded: LoadedModel, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = states(), settings()
    for _ in harness_steps(loaded, name, include=folder):
        assert (states(), settings()) == before
    assert (states(), settings()) == before
    assert capfd.readouterr() == ("", "")


def test_an_error_leaves_no_trace(loaded: LoadedModel, folder: Path) -> None:
    before = states(), settings()
    with pytest.raises(InvalidSpecError, match="no task 'own_choice'; did you mean own_choices"):
        evaluated(loaded, "own_choice", folder)
    (folder / "own_broken.yaml").write_text(
        (folder / "own_choices.yaml")
        .read_text()
        .replace("own_choices", "own_broken")
        .replace("test.jsonl", "none.jsonl")
    )
    with pytest.raises(CalibrationError, match=r"'own_broken' cannot be used \(.*none.jsonl"):
        evaluated(loaded, "own_broken", folder)
    (folder / "own_broken.yaml").unlink()
    assert (states(), settings()) == before


def test_an_evaluation_can_be_left_between_two_batches(loaded: LoadedModel, folder: Path) -> None:
    assert list(harness_steps(loaded, "own_texts", include=folder)) == [(done, 9) for done in range(1, 10)]
    steps = harness_steps(loaded, "own_texts", include=folder)
    assert next(steps) == (1, 9)
    steps.close()


def test_the_model_and_its_tokenizer_stay_as_they_are(folder: Path) -> None:
    loaded = subwords.loaded(POSITIONS)
    loaded.model.config.tie_word_embeddings = True  # the weights are not tied: tie_weights would overwrite the head
    before = {name: (tensor.data_ptr(), tensor.clone()) for name, tensor in loaded.model.state_dict().items()}
    evaluated(loaded, "own_choices", folder, 2)
    evaluated(loaded, "own_generation", folder, 2)
    after = loaded.model.state_dict()
    assert after.keys() == before.keys()
    assert all(after[name].data_ptr() == place and after[name].equal(old) for name, (place, old) in before.items())
    assert "tie_weights" not in vars(loaded.model)
    assert loaded.tokenizer.pad_token is None


def test_a_tokenizer_without_a_begin_token(folder: Path) -> None:
    outcome = evaluated(subwords.loaded(POSITIONS, begin=False), "own_texts", folder, 2)
    assert outcome.figures["word_perplexity"] > 1


@pytest.mark.parametrize("name", ["own_choices", "own_generation"])
def test_int8_ragged_and_streamed_models(name: str, folder: Path) -> None:
    loaded = subwords.loaded(POSITIONS)
    expected = evaluated(loaded, name, folder, 3)
    int8 = evaluated(quantized(loaded), name, folder, 3)
    assert [item.text for item in int8.items] == [item.text for item in expected.items]
    ragged = subwords.loaded(POSITIONS)
    cut(ragged, "ffn", lambda layer: 20 + 8 * layer)
    assert evaluated(ragged, name, folder, 3).digest == expected.digest
    cpu_offload(loaded.model, execution_device=torch.device("cpu"))
    assert evaluated(loaded, name, folder, 3) == expected


def test_a_model_on_an_accelerator(folder: Path, loaded: LoadedModel) -> None:
    expected = evaluated(loaded, "own_choices", folder, 3)
    model = subwords.loaded(POSITIONS)
    with device_that_refuses("mps") as device:
        moved(model.model, device)
        found = evaluated(model, "own_choices", folder, 3)
    assert found == expected


# -- datasets of the Hub from a local copy -------------------------------------------------------------------------------

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
    assert (outcome.n, outcome.available) == (2, 3)
    item = outcome.items[0]
    assert (item.text, item.choices, item.label) == presented
    assert outcome.figures["acc"] == item.scores["acc"] == (item.answer == item.label)


def test_the_card_of_a_copy_names_its_parts(loaded: LoadedModel, tmp_path: Path) -> None:
    copy_of(tmp_path, "ai2_arc/some/files", SCIENCE)
    parts = [{"split": split, "path": f"some/files/{split}-*"} for split in ("train", "validation", "test")]
    card = yaml.safe_dump({"configs": [{"config_name": "ARC-Challenge", "data_files": parts}]})
    (tmp_path / "ai2_arc" / "README.md").write_text(f"---\n{card}---\n")
    assert finish(harness_steps(loaded, "arc_challenge", data=str(tmp_path))).n == 3


def test_a_copy_that_is_missing_or_incomplete(loaded: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="has no folder Rowan/hellaswag, the dataset of the task 'hellaswag'"):
        next(harness_steps(loaded, "hellaswag", data=tmp_path))
    copy_of(tmp_path, "hellaswag", COPIES["hellaswag"][1])
    (tmp_path / "hellaswag" / "validation-00000-of-00001.parquet").unlink()
    with pytest.raises(CalibrationError, match="'hellaswag' cannot be used"):
        next(harness_steps(loaded, "hellaswag", data=tmp_path))
    with pytest.raises(InvalidSpecError, match="takes no copies of datasets"):
        next(harness_steps(loaded, "mmlu", data=tmp_path))


# -- errors --------------------------------------------------------------------------------------------------------------


def test_a_dataset_out_of_reach_is_known_soon(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(harness_tasks.HfApi, "dataset_info", refuse)
    with pytest.raises(
        CalibrationError, match=r"'Rowan/hellaswag' .* out of reach \(OSError: Name or service not known\)"
    ):
        next(harness_steps(loaded, "hellaswag"))


def test_the_harness_is_missing_or_old(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "0.4.9")
    with pytest.raises(InvalidSpecError, match=r"0\.4\.9 is older than 0\.4\.10"):
        next(harness_steps(loaded, "hellaswag"))

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

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
    ],
)
def test_a_task_that_cannot_be_done(name: str, message: str, folder: Path) -> None:
    with pytest.raises(InvalidSpecError, match=message):
        evaluated(subwords.loaded(96), name, folder)


def test_a_model_or_a_choice_that_cannot_be_used(loaded: LoadedModel, folder: Path) -> None:
    with pytest.raises(InvalidSpecError, match="need a causal language model, and tiny/bert is none"):
        evaluated(tiny.classifier(), "own_choices", folder)
    with pytest.raises(InvalidSpecError, match="choose at least 1"):
        evaluated(loaded, "own_choices", folder, 0)
    with pytest.raises(InvalidSpecError, match=r"no folder .*nowhere of tasks"):
        evaluated(loaded, "own_choices", folder / "nowhere")
    without = subwords.loaded(begin=False)
    without.tokenizer.eos_token = None
    with pytest.raises(InvalidSpecError, match="neither a begin nor an end token"):
        evaluated(without, "own_choices", folder)


def test_an_empty_dataset(loaded: LoadedModel, tmp_path: Path) -> None:
    copy_of(tmp_path, "piqa", COPIES["piqa"][1])
    empty = datasets.Dataset.from_list([COPIES["piqa"][1]]).select([])
    empty.to_parquet(str(tmp_path / "piqa" / "validation-00000-of-00001.parquet"))
    with pytest.raises(CalibrationError, match="'piqa' cannot be used"):
        next(harness_steps(loaded, "piqa", data=tmp_path))
