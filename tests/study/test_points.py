"""The store of the study's points: nothing measured is lost, and nothing half written is read."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import pytest
from parts import PARTS
from parts.points import Part, Pending, Point, PointStore, Report, Scope
from readme import ROOT
from study import POINTS, main, measured, taken

from liar.errors import LiarError, StorageError

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no repository of git")


def part_of(*names: str, broken: str = "") -> Part:
    """A part whose points count how often they were measured."""
    counts = dict.fromkeys(names, 0.0)

    def measure(name: str) -> dict[str, float]:
        if name == broken:
            raise LiarError("The data are missing.")
        counts[name] += 1
        return {"times": counts[name]}

    pending = [Pending(name, partial(measure, name)) for name in names]
    return Part("part", "A part", lambda _scope: pending, lambda points: Report(", ".join(points)))


def test_a_point_in_the_store_is_not_measured_again(tmp_path: Path) -> None:
    part, store = part_of("one", "two"), PointStore(tmp_path)
    first = measured(part, Scope(), store)
    assert measured(part, Scope(), store) == first == store.read("part")
    assert {point.values["times"] for point in first.values()} == {1.0}


def test_a_killed_process_loses_at_most_one_point(tmp_path: Path) -> None:
    part, store = part_of("one", "two", "three"), PointStore(tmp_path)
    measured(part, Scope(), store)
    file = tmp_path / "part.jsonl"
    file.write_bytes(file.read_bytes()[:-5])
    again = measured(part, Scope(), store)
    assert [point.values["times"] for point in again.values()] == [1.0, 1.0, 2.0]
    assert store.read("part") == again


def test_a_process_killed_at_any_byte_leaves_what_was_complete(tmp_path: Path) -> None:
    store, file = PointStore(tmp_path), tmp_path / "part.jsonl"
    names = ["one", "two"]
    for name in names:
        store.add("part", Point(name=name))
    whole = file.read_bytes()
    for size in range(len(whole)):
        file.write_bytes(whole[:size])
        complete = names[: max(0, whole[:size].count(b"\n") - 1)]
        assert list(store.read("part")) == complete
        store.add("part", Point(name="three"))
        assert list(store.read("part")) == [*complete, "three"]


def test_what_was_measured_before_a_failure_is_kept(tmp_path: Path) -> None:
    store = PointStore(tmp_path)
    with pytest.raises(LiarError, match="missing"):
        measured(part_of("one", "two", "three", broken="two"), Scope(), store)
    assert list(store.read("part")) == ["one"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *((text, "another version") for text in ('{"version": 0}\n', "[]\n", "no JSON\n", "{\n")),
        *((f'{{"version": 1}}\n{line}\n', "damaged") for line in ("no JSON", '{"name": "one", "unknown": 1}')),
    ],
)
def test_a_store_of_another_version_or_a_damaged_one_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "part.jsonl").write_text(text)
    with pytest.raises(StorageError, match=reason):
        PointStore(tmp_path).read("part")


def test_no_room_on_the_disk_is_one_sentence_and_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PointStore(tmp_path)
    store.add("part", Point(name="one"))
    before = (tmp_path / "part.jsonl").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", Mock(side_effect=OSError(28, "No space left on device")))
        with pytest.raises(StorageError, match=r"cannot be written \(No space left on device\)"):
            store.add("part", Point(name="two"))
    assert (tmp_path / "part.jsonl").read_bytes() == before
    store.add("part", Point(name="two"))
    assert list(store.read("part")) == ["one", "two"]


def test_an_unknown_part_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nonlinaer"]) == 2
    assert capsys.readouterr().err == f"There is no part 'nonlinaer'; choose of {', '.join(PARTS)}.\n"


@pytest.mark.parametrize("name", PARTS)
def test_the_page_shows_what_the_store_holds(name: str) -> None:
    part, page = PARTS[name], (POINTS / f"{name}.md").read_text(encoding="utf-8")
    points = measured(part, Scope(), PointStore(POINTS), only_stored=True)
    assert f"<!-- {name} -->\n" in page
    if points:
        assert part.report(points).text in page


def test_only_what_is_stored_is_shown_without_measuring(tmp_path: Path) -> None:
    store = PointStore(tmp_path)
    measured(part_of("two"), Scope(), store)
    found = measured(part_of("one", "two", broken="one"), Scope(), store, only_stored=True)
    assert list(found) == ["two"]


def test_what_it_took_leaves_out_points_without_a_time() -> None:
    points = {
        "truth": {"a": Point(name="a", seconds=3600.0, machine="A laptop", commit="abc"), "b": Point(name="b")},
        "masks": {"c": Point(name="c", seconds=1800.0)},
    }
    words = taken(points)
    assert f"| {PARTS['truth'].title} | 1 of 2 | 1.00 |" in words
    assert "| all | 2 of 3 | 1.50 |" in words
    assert "about 2.2 hours" in words
    assert "A laptop, commit abc (1 of 3 points)" in words
    assert "a machine without a record, commit without a record (2 of 3 points)" in words
