"""A tiny model, a folder of tasks, and the results of the harness itself; no test reaches a hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import lm_eval
import pytest
import yaml
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from liar.evaluate.harness import harness_tasks
from liar.models.loaded import LoadedModel
from tests import subwords
from tests.evaluate.harness.own_tasks import CODE, MEAN, OWN, POSITIONS, rows, task


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
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


@pytest.fixture
def folder(files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of tasks, which are the only ones that the harness knows."""
    monkeypatch.setattr(harness_tasks, "all_tasks", lambda: own_index(files))
    return files


def own_index(files: Path) -> TaskManager:
    return TaskManager(include_path=[str(files)], include_defaults=False)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return subwords.loaded(POSITIONS)


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """As with HF_DATASETS_OFFLINE=1, which is read at import; and with no cache of an earlier test."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def direct(files: Path, loaded: LoadedModel) -> dict[str, Any]:
    """Results of the harness's own evaluation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISABLE_MULTIPROC", "1")
        patch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)  # runs other programs
        harness = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=2)
        names = [name for name in OWN if name not in ("own_choices", "own_shuffled")]  # both are in the group
        found: dict[str, Any] = lm_eval.simple_evaluate(
            harness, tasks=names, task_manager=own_index(files), bootstrap_iters=0, limit=8
        )
    return found
