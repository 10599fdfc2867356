"""The store of runs: restarts, damaged files, races and full disks."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from liar.errors import InvalidSpecError, StorageError
from liar.explore.allocation import check_choices
from liar.results import RunResult
from liar.spec import CHECKED
from liar.store import RunStore
from tests.fakes import language_run


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs", shipped=tmp_path / "shipped")


def save_aged(store: RunStore, runs: list[RunResult]) -> None:
    """Store ``runs`` with ascending times."""
    for age, run in enumerate(runs):
        os.utime(store.save(run), (age, age))


def test_what_is_saved_is_loaded_by_another_store(store: RunStore, tmp_path: Path) -> None:
    """A second run of the same recipe replaces the first."""
    run = language_run()
    for kept in (run, run.model_copy(update={"warnings": ["measured again"]})):
        assert store.save(kept).name == f"{run.spec.key}.json"
        assert RunStore(store.folder, shipped=tmp_path).load(run.spec.key) == kept
        assert store.find(run.spec) == kept
        assert [path.suffix for path in store.folder.iterdir()] == [".json"], "no litter"
    assert store.find(run.spec.model_copy(update={"seed": 1})) is None


def test_the_plainest_shipped_run_stands_for_its_model(store: RunStore) -> None:
    plain, more = language_run(), language_run(evaluate=("perplexity", "wiki-choice"))
    for run in (more, plain):
        store.ship(run)
    assert store.shipped_of(plain.spec.model) == plain
    assert store.shipped_of("demo/minilm") is None


@pytest.mark.parametrize("key", ["0" * 64, "", "../secret", "Z" * 64, "/etc/*", "**/*", "x" * 5000])
def test_missing_or_impossible_keys_are_none(store: RunStore, key: str) -> None:
    assert store.load(key) is None


@pytest.mark.parametrize("keep", [RunStore.save, RunStore.ship])
def test_a_damaged_file_is_skipped_with_a_warning(
    store: RunStore, keep: Callable[[RunStore, RunResult], Path], caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = language_run(), language_run(seed=1)
    store.save(good)
    path = keep(store, bad)
    whole = path.read_bytes()
    for damaged in (b"", b"no archive", b"\x1f\x8b\x08\x00", whole[: len(whole) // 2], whole[:-20] + bytes(20)):
        path.write_bytes(damaged)
        with caplog.at_level(logging.WARNING):
            assert store.load(bad.spec.key) is None
            assert store.runs() == [good]
            assert [item.spec for item in store.summaries()] == [good.spec]
        assert path.name in caplog.text
        caplog.clear()


def test_a_run_of_an_allocation_that_went_opens_with_its_figures(store: RunStore) -> None:
    """As an earlier version wrote it, with what it compared."""
    run = language_run()
    spec = run.spec.model_copy(update={"allocation": CHECKED})
    compared = [{"name": "uniform", "predicted": 1.25, "measured": 0.04}]
    sites = [{**site.model_dump(mode="json"), "unrounded": {"kept": 9, "error": 0.2}} for site in run.sites]
    former = {**run.model_dump(mode="json"), "spec": spec.model_dump(mode="json"), "checked": compared, "sites": sites}
    store.folder.mkdir(exist_ok=True)
    (store.folder / f"{spec.key}.json").write_text(json.dumps(former))
    found = store.find(spec)
    assert found is not None
    assert (found.evaluations, found.sites, found.spec) == (run.evaluations, run.sites, spec)
    with pytest.raises(InvalidSpecError, match=r"The allocation checked went: .* Choose uniform, .* or loss-curve"):
        check_choices(spec, [])


def test_equal_runs_are_shipped_as_equal_bytes(store: RunStore) -> None:
    path = store.ship(language_run())
    first = path.read_bytes()
    path.unlink()
    assert store.ship(language_run()).read_bytes() == first
    assert store.load(language_run().spec.key) == language_run()


def test_a_full_disk_is_one_sentence_and_the_old_run_stays(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    old = language_run()
    store.save(old)
    monkeypatch.setattr(os, "fsync", Mock(side_effect=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
    with pytest.raises(StorageError, match="full"):
        store.save(old.model_copy(update={"warnings": ["new"]}))
    assert store.load(old.spec.key) == old
    assert len(list(store.folder.iterdir())) == 1


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="LIAR_RUNS"):
        RunStore(tmp_path / "file" / "runs", shipped=tmp_path).save(language_run())


def test_shipped_runs_stand_behind_the_users_own(store: RunStore) -> None:
    first, second = language_run(), language_run(seed=1)
    store.ship(first)
    store.ship(second)
    assert store.load(first.spec.key) == first
    mine = first.model_copy(update={"warnings": ["mine"]})
    store.save(mine)
    assert store.load(first.spec.key) == mine
    assert store.runs() == [mine, second]
    assert [item.saved is None for item in store.summaries()] == [False, True], "a shipped run has no date"


def test_the_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIAR_RUNS", str(tmp_path / "elsewhere"))
    assert RunStore().folder == tmp_path / "elsewhere"


# -- listings and deletion ----------------------------------------------------------------------------------------------


def test_runs_come_newest_first_and_summaries_hold_what_a_table_needs(store: RunStore) -> None:
    runs = [language_run(seed=seed) for seed in range(3)]
    save_aged(store, runs)
    assert store.runs() == runs[::-1]
    listed = store.summaries()
    assert [item.spec for item in listed] == [run.spec for run in runs[::-1]]
    assert [item.saved.timestamp() for item in listed if item.saved] == [2, 1, 0]
    assert (listed[0].totals, listed[0].evaluations) == (runs[2].totals, runs[2].evaluations)
    assert [item.spec for item in store.summaries(most=2)] == [run.spec for run in runs[:0:-1]]


def test_a_listing_follows_the_folder_and_reads_no_file_twice(
    store: RunStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = language_run(), language_run(seed=1)
    path, other = store.save(first), store.save(second)
    assert len(store.summaries()) == 2
    path.write_text("{}")
    with caplog.at_level(logging.WARNING):
        assert [item.spec for item in store.summaries()] == [second.spec]
    assert path.name in caplog.text
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read again"))
    assert [item.spec for item in store.summaries()] == [second.spec]
    other.unlink()
    assert store.summaries() == []


def test_shipped_runs_are_listed_by_model_and_ratio_behind_the_newest_of_ones_own(store: RunStore) -> None:
    shipped = [language_run(ratio=ratio, model=model) for model in ("a/b", "c/d") for ratio in (0.1, 0.2, 0.9)]
    for run in sorted(shipped, key=lambda run: run.spec.key):
        store.ship(run)
    own = [language_run(seed=seed) for seed in range(2)]
    save_aged(store, own)
    assert [run.spec for run in store.summaries()] == [run.spec for run in (*reversed(own), *shipped)]


def test_only_a_run_of_ones_own_can_be_deleted(store: RunStore) -> None:
    run, own = language_run(), language_run(seed=1)
    path = store.ship(run)
    store.save(own)
    store.delete(own.spec.key)
    assert store.load(own.spec.key) is None
    with pytest.raises(StorageError, match="came with the program"):
        store.delete(run.spec.key)
    with pytest.raises(StorageError, match="no such run"):
        store.delete(own.spec.key)
    assert path.exists()


@pytest.mark.parametrize("key", ["../outside", "", "*", "a" * 63 + "/"])
def test_deletion_stays_in_the_folder(store: RunStore, key: str) -> None:
    store.save(language_run())
    outside = store.folder.parent / "outside.json"
    outside.write_text("{}")
    with pytest.raises(StorageError, match="no such run"):
        store.delete(key)
    assert outside.exists()
    assert len(store.runs()) == 1


def test_a_deletion_that_the_system_refuses_is_one_sentence(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run = language_run()
    store.save(run)
    monkeypatch.setattr(Path, "unlink", Mock(side_effect=PermissionError(errno.EACCES, os.strerror(errno.EACCES))))
    with pytest.raises(StorageError, match="cannot be deleted"):
        store.delete(run.spec.key)


def test_a_recipe_that_names_no_task_has_the_newest_run_of_it(store: RunStore) -> None:
    """The task of a model is known only once the model is loaded."""
    run = language_run()
    assert run.spec.evaluate == ("perplexity",)
    unnamed = run.spec.model_copy(update={"evaluate": ()})
    assert store.find(unnamed) is None
    store.save(run)
    assert store.find(unnamed) == run
    assert store.find(unnamed.model_copy(update={"seed": 1})) is None
    assert store.find(run.spec.model_copy(update={"evaluate": ("topic",)})) is None
    own = run.model_copy(update={"spec": unnamed, "evaluations": []})
    store.save(own)
    assert store.find(unnamed) == own, "a run without evaluations matches the recipe exactly"


def test_the_times_of_a_run_with_a_shared_calibration_are_not_used(store: RunStore) -> None:
    whole = language_run(ratio=0.3).model_copy(update={"timings": {"calibrate": 30.0}})
    shared = language_run(ratio=0.4).model_copy(update={"timings": {"calibrate": 0.01}, "shared": ["calibration"]})
    store.save(whole)
    os.utime(store.save(shared))
    found = store.like(language_run().spec)
    assert found is not None
    assert found.spec == whole.spec
    store.save(known := shared.model_copy(update={"shared": ["dense"]}))
    found = store.like(language_run().spec)
    assert found is not None
    assert found.spec == known.spec, "most runs find the dense model known"
