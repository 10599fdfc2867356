"""Files and folders are written completely or not at all."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from liar.errors import StorageError
from liar.files import whole_folder, write_atomically


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    for number in range(3):
        with whole_folder(folder, replace=True) as partial:
            (partial / f"{number}.txt").write_text("words")
            assert f"{number}.txt" not in (content(folder) if folder.exists() else {})
        assert content(folder) == {f"{number}.txt": "words"}
    assert list(tmp_path.iterdir()) == [folder]
    with pytest.raises(StorageError, match="exists already"), whole_folder(folder):
        pass


def test_leftovers_of_a_killed_process_are_no_obstacle(tmp_path: Path) -> None:
    folder, left = tmp_path / "model", tmp_path / ".model.replaced"
    for place in (folder, left):
        place.mkdir()
        (place / "old.txt").write_text("old")
    with whole_folder(folder, replace=True) as partial:
        (partial / "new.txt").write_text("new")
    assert content(folder) == {"new.txt": "new"}
    assert list(tmp_path.iterdir()) == [folder]


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


@pytest.mark.parametrize("broken", [1, 2], ids=["the old one cannot be moved", "the new one cannot be moved"])
def test_the_old_folder_stays_if_it_cannot_be_replaced(
    broken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "old.txt").write_text("old")
    rename, calls = os.rename, 0

    def failing(source: Path, target: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == broken:
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(StorageError, match="No space left"), whole_folder(folder, replace=True) as partial:
        (partial / "new.txt").write_text("new")
    assert calls == broken + (broken == 2), "and moved back"
    assert content(folder) == {"old.txt": "old"}
    assert list(tmp_path.iterdir()) == [folder]


def test_a_full_disk_leaves_no_half_written_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    path.write_text("before")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        write_atomically(path, "after")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
