"""Texts from files and hub datasets, and what is said of those that cannot be read."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Features, IterableDataset, IterableDatasetDict, Value
from huggingface_hub import HfApi

from liar.data import texts
from liar.data.splits import Split
from liar.data.texts import Sample, read_samples
from liar.errors import CalibrationError


def _read(source: Path | str, split: Split = "train", seed: int | None = None) -> list[Sample]:
    return list(read_samples(str(source), split, seed))


def test_paragraphs_of_a_text_file(tmp_path: Path) -> None:
    path = tmp_path / "own.txt"
    path.write_text("One paragraph\nof two lines.\n\n\nAnother.\r\n\r\nThe last.\n")
    assert [sample.text for sample in _read(path)] == ["One paragraph\nof two lines.", "Another.", "The last."]


def test_json_lines_with_labels(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    rows = [{"id": "x", "text": "good", "label": 1}, {"id": "y", "text": " ", "label": 0}, {"id": "z", "text": "bad"}]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    assert _read(path) == [Sample("good", "1"), Sample("bad", None)]


def test_the_first_text_column_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text('number,review,label\n1,"fine, really",pos\n2,dull,neg\n')
    assert _read(path) == [Sample("fine, really", "pos"), Sample("dull", "neg")]


def test_a_seed_shuffles_the_same_way_each_time(tmp_path: Path) -> None:
    path = tmp_path / "own.txt"
    path.write_text("\n\n".join(f"text {number}" for number in range(50)))
    assert _read(path, seed=3) == _read(path, seed=3) != _read(path)
    assert sorted(_read(path, seed=3), key=str) == sorted(_read(path), key=str)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.txt", b"", "is empty"),
        ("broken.jsonl", b'{"text": \n', "cannot be read"),
        ("binary.txt", b"\xff\xfe\xbb\x00", "cannot be read"),
        ("numbers.csv", b"a,b\n1,2\n", "no column of text"),
        ("letter.docx", b"text", "should end in"),
    ],
)
def test_unreadable_files_are_named_in_one_sentence(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CalibrationError, match=says) as caught:
        _read(path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["./nowhere.txt", "nowhere.csv", "~/nowhere", "/nowhere/at/all"])
def test_a_missing_file_is_not_looked_for_on_the_hub(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HfApi, "dataset_info", lambda *args, **options: pytest.fail("asked the hub"))
    with pytest.raises(CalibrationError, match="no text file"):
        _read(missing)


def test_a_dataset_without_network_fails_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(self: HfApi, name: str, *, timeout: float) -> None:
        assert timeout < 20
        raise ConnectionError("no route")

    monkeypatch.setattr(HfApi, "dataset_info", unreachable)
    monkeypatch.setattr(texts, "load_dataset", lambda *args, **options: pytest.fail("would retry for long"))
    start = time.monotonic()
    with pytest.raises(CalibrationError, match="id:config:split"):
        _read("nobody/nothing")
    assert time.monotonic() - start < 5


def test_hub_datasets_name_config_and_split(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []
    features = Features({"sentence": Value("string"), "label": ClassLabel(names=["negative", "positive"])})

    def part(text: str, label: int) -> IterableDataset:
        return IterableDataset.from_generator(lambda: iter([{"sentence": text, "label": label}]), features=features)

    def load(name: str, config: str | None, *, streaming: bool) -> IterableDatasetDict:
        asked.append((name, config, streaming))
        return IterableDatasetDict({"train": part("of train", 1), "validation": part("of validation", 0)})

    monkeypatch.setattr(HfApi, "dataset_info", lambda *args, **options: None)
    monkeypatch.setattr(texts, "load_dataset", load)
    assert _read("glue:sst2", "test") == [Sample("of validation", "negative")]
    assert _read("glue:sst2:train", "test") == [Sample("of train", "positive")]
    assert asked == [("glue", "sst2", True)] * 2
    with pytest.raises(CalibrationError, match="spelling"):
        _read("glue:sst2:nothing")
