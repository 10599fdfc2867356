"""Folders are written completely or not at all; for files see the tests of stores."""

from __future__ import annotations

import os
import time
import zipfile
from pathlib import Path

import pytest

from liar.errors import StorageError
from liar.files import pack, whole_folder


def test_a_folder_appears_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with whole_folder(folder) as partial:
        (partial / "new.txt").write_text("words")
        assert not folder.exists()
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"new.txt": "words"}
    assert list(tmp_path.iterdir()) == [folder]
    with pytest.raises(StorageError, match="exists already"), whole_folder(folder):
        pass


def test_what_a_killed_save_left_is_deleted_a_day_later(tmp_path: Path) -> None:
    hours = {
        ".model-abcdefgh.partial": 25,
        ".other-12345_67.partial": 25,
        ".model-hgfedcba.partial": 23,
        ".mine.partial": 25,
    }
    for name, age in hours.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_text("half of it")
        then = time.time() - age * 3600
        os.utime(tmp_path / name, (then, then))
    with whole_folder(tmp_path / "model") as partial:
        (partial / "new.txt").write_text("new")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"model", ".model-hgfedcba.partial", ".mine.partial"}, "one may be at work still, one is not ours"


def test_a_zip_has_the_folders_inside_too(tmp_path: Path) -> None:
    inner = tmp_path / "model" / "1_Pooling"
    inner.mkdir(parents=True)
    (inner / "config.json").write_text("{}")
    (tmp_path / "model" / "config.json").write_text("[]")
    pack(tmp_path / "model", tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip") as file:
        file.extractall(tmp_path / "again")
    assert (tmp_path / "again" / "model" / "1_Pooling" / "config.json").read_text() == "{}"
    assert (tmp_path / "again" / "model" / "config.json").read_text() == "[]"
