"""Texts from files and hub datasets, and the errors for those that cannot be read."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

import pytest
from datasets import IterableDataset, IterableDatasetDict
from huggingface_hub import HfApi

from liar.data import hub
from liar.data.text_reader import Sample, read_samples
from liar.errors import CalibrationError
from liar.tasks.splits import Split


def _read(source: Path | str, split: Split = "train", seed: int | None = None) -> list[Sample]:
    return list(read_samples(str(source), split, seed))


ROWS = [{"id": "x", "text": "good", "label": 1}, {"id": "y", "text": " ", "label": 0}, {"id": "z", "text": "bad"}]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "paragraphs.txt",
            "One paragraph\nof two lines.\n\n\nAnother.\r\n\r\nThe last.\n",
            [("One paragraph\nof two lines.",), ("Another.",), ("The last.",)],
        ),
        ("labels.jsonl", "\n".join(map(json.dumps, ROWS)), [("good", "1"), ("bad", None)]),
        (
            "only.csv",
            'number,review,label\n1,"fine, really",pos\n2,dull,neg\n',
            [("fine, really", "pos"), ("dull", "neg")],
        ),
        (
            "no_gaps.csv",
            "sentence,label\nNone,0\nNA,1\nnull,positive\n",
            [("None", "0"), ("NA", "1"), ("null", "positive")],
        ),
    ],
)
def test_files_of_each_kind(name: str, content: str, expected: list[tuple[str, ...]], tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(content)
    assert _read(path) == [Sample(*each) for each in expected]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_csv_is_read_whatever_separates_its_columns(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "own.csv"
    rows = [("message", "kind"), ("fine, really; yes", "pos"), ("dull | grey\tand long", "neg")]
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    assert _read(f"{path}#message,label=kind") == [Sample(*row) for row in rows[1:]]
    path.write_text(f"text\nonly one column{delimiter} here\n")
    if delimiter != ",":
        assert _read(path) == [Sample(f"only one column{delimiter} here")]


def test_a_column_of_labels_may_be_named(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps({"first": "a", "second": "b", "kind": "1", "label": "0"}))
    assert _read(f"{path}#first,second,label=kind") == [Sample("a", "1", "b")]
    assert _read(f"{path}#first") == [Sample("a", "0")]
    path.write_text(json.dumps({"message": "a", "kind": "1"}))
    assert _read(f"{path}#label=kind") == [Sample("a", "1")], "the only other column"
    with pytest.raises(CalibrationError, match=r"or one of labels as '.*own.jsonl#message,label=kind'"):
        _read(path)
    with pytest.raises(CalibrationError, match="no column 'sort'; its columns are message, kind"):
        _read(f"{path}#message,label=sort")
    for wrong in ("#message,label=", "#label=a,label=b"):
        with pytest.raises(CalibrationError, match="and may name one of labels"):
            _read(f"{path}{wrong}")


@pytest.mark.parametrize(
    ("row", "text", "pair"),
    [
        ({"sentence1": "a", "sentence2": "b", "idx": 3}, "a", "b"),
        ({"idx": "x", "hypothesis": "b", "premise": "a"}, "a", "b"),
        ({"question": "a", "sentence": "b"}, "a", "b"),
        ({"question1": "a", "question2": "b", "id": "x"}, "a", "b"),
        ({"text": "a", "text_pair": "b"}, "a", "b"),
        ({"id": "x", "title": "t", "context": "b", "question": "a"}, "a", "b"),  # SQuAD
        ({"id": "x", "url": "y", "title": "t", "text": "a"}, "a", None),  # Wikipedia
        ({"doc_id": "x", "url": "y", "review": "a"}, "a", None),
    ],
)
def test_texts_and_pairs_are_known_by_their_names(
    tmp_path: Path, row: dict[str, Any], text: str, pair: str | None
) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps(row))
    assert _read(path) == [Sample(text, pair=pair)]


@pytest.mark.parametrize(
    ("selection", "expected"), [("#body", Sample("b", "1")), ("#headline, body", Sample("h", "1", "b"))]
)
def test_several_unknown_columns_have_to_be_chosen_from(tmp_path: Path, selection: str, expected: Sample) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps({"id": "x", "headline": "h", "body": "b", "label": "1"}))
    with pytest.raises(CalibrationError, match=r"several columns of text \(headline, body\).*own.jsonl#headline'"):
        _read(path)
    assert _read(f"{path}{selection}") == [expected]
    with pytest.raises(CalibrationError, match="no column 'boody'; its columns are id, headline, body, label"):
        _read(f"{path}#boody")
    with pytest.raises(CalibrationError, match="one column or two"):
        _read(f"{path}#a,b,c")


def test_a_seed_shuffles_the_same_way_each_time(tmp_path: Path) -> None:
    path = tmp_path / "own.txt"
    path.write_text("\n\n".join(f"text {number}" for number in range(50)))
    assert _read(path, seed=3) == _read(path, seed=3) != _read(path)
    assert sorted(_read(path, seed=3), key=str) == sorted(_read(path), key=str)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.txt", b"", "is empty"),
        ("broken.jsonl", b'{"text": \n', "cannot be read"),
        ("binary.txt", b"\xff\xfe\xbb\x00", "cannot be read"),
        ("numbers.csv", b"a,b\n1,2\n", "no column of text"),
        ("identifiers.jsonl", b'{"id": "x", "url": "y", "label": "good"}', "no column of text"),
        ("ragged.csv", b"text\na\nb,c\n", "with , ; tab or | between its columns"),
        ("letter.docx", b"text", "should end in"),
    ],
)
def test_unreadable_files_are_named_in_one_sentence(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CalibrationError, match=message) as caught:
        _read(path)
    assert name in str(caught.value)
    assert "wiki" not in str(caught.value), "no advice on calibration, since data to measure are read here too"
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
    monkeypatch.setattr(hub, "load_dataset", lambda *args, **options: pytest.fail("would retry for long"))
    start = time.monotonic()
    with pytest.raises(CalibrationError, match="id:config:split"):
        _read("nobody/nothing")
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("parts", "train", "validation", "test"),
    [
        (("train", "validation", "test"), "train", "validation", "test"),
        (("train", "test"), "train", None, "test"),
        (("train", "validation_matched", "validation_mismatched"), "train", "validation_matched", "validation_matched"),
        (("validation", "test"), "validation", None, "test"),
        (("train",), "train", None, None),
        (("test",), None, None, "test"),
        (("validation",), "validation", None, None),
        (("everything",), None, None, None),
    ],
)
def test_no_part_is_measured_on_that_calibration_reads(
    monkeypatch: pytest.MonkeyPatch, parts: tuple[str, ...], train: str | None, validation: str | None, test: str | None
) -> None:
    def load(name: str, config: str, *, streaming: bool) -> IterableDatasetDict:
        assert (name, config, streaming) == ("some", "config", True)
        return IterableDatasetDict(
            {part: IterableDataset.from_generator(lambda part=part: iter([{"text": f"of {part}"}])) for part in parts}
        )

    monkeypatch.setattr(HfApi, "dataset_info", lambda *args, **options: None)
    monkeypatch.setattr(hub, "load_dataset", load)
    splits: dict[Split, str | None] = {"train": train, "validation": validation, "test": test}
    for split, part in splits.items():
        if part is None:
            with pytest.raises(CalibrationError, match=f"no part to .* as in some:config:{parts[0]}"):
                read_samples("some:config", split)
        else:
            samples = read_samples("some:config", split)
            assert (samples.split, [sample.text for sample in samples]) == (part, [f"of {part}"])
