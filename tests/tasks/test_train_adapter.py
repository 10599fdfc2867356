"""Training is repeatable and writes all or nothing; the adapters in liar/assets are its output."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import get_args
from unittest.mock import Mock

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file

from benchmarks import train_adapter as module
from benchmarks.train_adapter import BASE_MODEL, Hyperparameters, TrainingRecord, data_digest, train_adapter
from liar.data.text_reader import demo_samples
from liar.errors import InvalidSpecError, StorageError
from liar.evaluate.prepared_task import evaluate
from liar.loading import catalog
from liar.loading.catalog import ADAPTERS, load_model
from liar.tasks.record import DemoData, Task
from liar.tasks.registry import TASKS
from liar.tasks.samples import Sample
from liar.tasks.splits import Split

QUICK = Hyperparameters(epochs=2, batch_size=8, sequence_length=16, rank=4, precision="float32")
TRAINED = [task for task in TASKS if task.training is not None]
OF_EACH_KIND = list({task.head: task for task in reversed(TRAINED)}.values())


@pytest.fixture
def few_items(monkeypatch: pytest.MonkeyPatch) -> None:
    def few(data: DemoData, split: Split) -> list[Sample]:
        return demo_samples(data, split)[:24]

    monkeypatch.setattr(module, "demo_samples", few)


@pytest.mark.demo
@pytest.mark.usefixtures("few_items")
def test_equal_seeds_give_equal_adapters(tmp_path: Path) -> None:
    random_state = torch.get_rng_state()

    def train(name: str, seed: int) -> TrainingRecord:
        return train_adapter("sentiment", seed, hyperparameters=QUICK, folder=tmp_path / name)

    records = [train("first", 1), train("again", 1), train("other", 2)]
    first, again, other = (
        load_file(tmp_path / name / "adapter_model.safetensors") for name in ("first", "again", "other")
    )
    assert first.keys() == again.keys() == other.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
    assert records[0].validation_by_epoch == records[1].validation_by_epoch
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.demo
@pytest.mark.usefixtures("few_items")
@pytest.mark.parametrize("task", OF_EACH_KIND, ids=lambda task: task.name)
def test_the_best_epoch_on_validation_is_kept(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = QUICK.model_copy(update={"sequence_length": 64})
    record = train_adapter(task.name, hyperparameters=quick, folder=tmp_path / task.name)
    assert len(record.validation_by_epoch) == 2
    assert record.validation.metric == record.test.metric == task.metric.name
    assert record.validation.value == max(record.validation_by_epoch)
    assert record.best_epoch == record.validation_by_epoch.index(record.validation.value) + 1
    monkeypatch.setattr(catalog, "ADAPTERS", tmp_path)
    loaded = load_model(f"demo/minilm-{task.name}", device="cpu", dtype="float32")
    assert loaded.task == task.name
    found = evaluate(loaded, task.name, limit=24, sequence_length=64)
    assert (found.value, found.stderr) == pytest.approx((record.test.value, record.test.stderr), abs=1e-4)


@pytest.mark.demo
@pytest.mark.usefixtures("few_items")
def test_an_old_adapter_stays_where_a_new_one_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sentiment"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"old")
    monkeypatch.setattr(module, "save_file", Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(StorageError, match="No space left"):
        train_adapter("sentiment", hyperparameters=QUICK, folder=folder)
    assert (folder / "adapter_model.safetensors").read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["sentiment"]


def test_a_task_without_an_adapter_is_refused() -> None:
    for task in ("perplexity", "mnli"):
        with pytest.raises(
            InvalidSpecError, match=f"not trained for the task '{task}'; choose one of sentiment, topic"
        ):
            train_adapter(task)


@pytest.mark.parametrize("task", TRAINED, ids=lambda task: task.name)
def test_shipped_adapters_name_no_path_of_a_machine(task: Task) -> None:
    config = LoraConfig.from_pretrained(str(ADAPTERS / task.name))
    assert config.base_model_name_or_path == BASE_MODEL
    assert "/root" not in (ADAPTERS / task.name / "adapter_config.json").read_text()
    assert (ADAPTERS / task.name / "adapter_model.safetensors").stat().st_size < 6e6


def test_every_shipped_adapter_is_of_a_task() -> None:
    assert {folder.name for folder in ADAPTERS.iterdir()} <= {task.name for task in TRAINED}


@pytest.mark.demo
@pytest.mark.parametrize("task", TRAINED, ids=lambda task: task.name)
def test_shipped_records_are_of_todays_data_and_recipe(task: Task) -> None:
    record = TrainingRecord.model_validate(json.loads((ADAPTERS / task.name / "training.json").read_text()))
    assert isinstance(task.data, DemoData)
    assert task.training is not None
    parts: dict[Split, list[Sample]] = {split: demo_samples(task.data, split) for split in get_args(Split)}
    assert record.task == task.name
    assert record.labels == task.labels
    assert record.data_sha256 == data_digest(parts)
    assert record.items == {split: len(items) for split, items in parts.items()}
    assert record.hyperparameters == Hyperparameters(**asdict(task.training))
    assert record.test.n == len(parts["test"])
    assert record.validation.metric == task.metric.name
    assert record.validation.value == max(record.validation_by_epoch)
