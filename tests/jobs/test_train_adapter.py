"""Training is repeatable and writes all or nothing; the adapters in liar/assets are its output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file

from liar.data.tasks import LabelledText, task_items
from liar.errors import InvalidSpecError, StorageError
from liar.evaluate.tasks import evaluate
from liar.jobs import train_adapter as module
from liar.jobs.train_adapter import BASE_MODEL, RECIPES, Hyperparameters, TrainingRecord, data_digest, train_adapter
from liar.models.catalog import ADAPTERS, load_model
from liar.models.heads import LABELS
from liar.tasks.splits import Split

QUICK = Hyperparameters(epochs=2, batch_size=8, sequence_length=16, rank=4, precision="float32")


@pytest.fixture
def few_items(monkeypatch: pytest.MonkeyPatch) -> None:
    def few(task: str, split: Split) -> LabelledText:
        return task_items(task, split).first(24)

    monkeypatch.setattr(module, "task_items", few)


@pytest.mark.demo
@pytest.mark.usefixtures("few_items")
def test_equal_seeds_give_equal_adapters(tmp_path: Path) -> None:
    fractions: list[float] = []
    random_state = torch.get_rng_state()

    def train(name: str, seed: int) -> TrainingRecord:
        return train_adapter(
            "sentiment",
            seed,
            hyperparameters=QUICK,
            folder=tmp_path / name,
            on_progress=lambda message, fraction: fractions.append(fraction),
        )

    records = [train("first", 1), train("again", 1), train("other", 2)]
    first, again, other = (
        load_file(tmp_path / name / "adapter_model.safetensors") for name in ("first", "again", "other")
    )
    assert first.keys() == again.keys() == other.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
    assert records[0].validation_by_epoch == records[1].validation_by_epoch
    assert max(fractions) == 1.0
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.demo
@pytest.mark.usefixtures("few_items")
def test_the_best_epoch_on_validation_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = train_adapter("sentiment", hyperparameters=QUICK, folder=tmp_path / "sentiment")
    assert len(record.validation_by_epoch) == 2
    assert record.validation.accuracy == max(record.validation_by_epoch)
    assert record.best_epoch == record.validation_by_epoch.index(record.validation.accuracy) + 1
    monkeypatch.setattr("liar.models.catalog.ADAPTERS", tmp_path)
    loaded = load_model("demo/minilm-sentiment", device="cpu", dtype="float32")
    assert evaluate(loaded, "sentiment", limit=24, sequence_length=16).value == pytest.approx(record.test.accuracy)


@pytest.mark.demo
@pytest.mark.usefixtures("few_items")
def test_an_old_adapter_stays_where_a_new_one_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sentiment"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"old")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(StorageError, match="No space left"):
        train_adapter("sentiment", hyperparameters=QUICK, folder=folder)
    assert (folder / "adapter_model.safetensors").read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["sentiment"]


def test_a_task_without_labels_is_refused() -> None:
    with pytest.raises(InvalidSpecError):
        train_adapter("perplexity")


@pytest.mark.parametrize("task", list(LABELS))
def test_shipped_adapters_name_no_path_of_a_machine(task: str) -> None:
    config = LoraConfig.from_pretrained(str(ADAPTERS / task))
    assert config.base_model_name_or_path == BASE_MODEL
    assert "/root" not in (ADAPTERS / task / "adapter_config.json").read_text()
    assert (ADAPTERS / task / "adapter_model.safetensors").stat().st_size < 6e6


@pytest.mark.demo
@pytest.mark.parametrize("task", list(LABELS))
def test_shipped_records_are_of_todays_data_and_recipe(task: str) -> None:
    record = TrainingRecord.model_validate(json.loads((ADAPTERS / task / "training.json").read_text()))
    parts: dict[Split, LabelledText] = {split: task_items(task, split) for split in ("train", "validation", "test")}
    assert record.task == task
    assert record.labels == LABELS[task]
    assert record.data_sha256 == data_digest(parts)
    assert record.items == {split: len(items) for split, items in parts.items()}
    assert record.hyperparameters == RECIPES[task]
    assert record.test.n == len(parts["test"])
    assert record.validation.accuracy == max(record.validation_by_epoch)
