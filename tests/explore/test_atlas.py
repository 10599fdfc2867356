"""An atlas is equal after saving and loading; a damaged or hostile file is refused and runs no code."""

from __future__ import annotations

import io
import logging
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liar.errors import StorageError
from liar.explore.allocation import nearest_removed
from liar.explore.atlas import RATIOS, Atlas, AtlasKey, KindArrays
from liar.explore.atlas_store import AtlasStore
from liar.spec import RECONSTRUCTIONS, PruneSpec
from tests.fake_atlas import tiny_atlas


@pytest.fixture
def store(tmp_path: Path) -> AtlasStore:
    return AtlasStore(tmp_path / "atlases", shipped=tmp_path / "shipped")


@cache
def written() -> bytes:
    return tiny_atlas().to_bytes()


def again(store: AtlasStore) -> AtlasStore:
    """A new store on the same folders, as after a restart."""
    return AtlasStore(store.folder, shipped=store.shipped)


def assert_same(first: Atlas, second: Atlas) -> None:
    assert first.facts == second.facts
    for kind, arrays in second.arrays.items():
        for name in KindArrays.__slots__:
            np.testing.assert_array_equal(getattr(first.arrays[kind], name), getattr(arrays, name))


# -- its values ---------------------------------------------------------------------------------------------------------


def test_sites_come_in_the_order_of_the_computation() -> None:
    names = [item.site.name for item in tiny_atlas().sites]
    assert names == [f"layers.{layer}.{kind}" for layer in range(3) for kind in ("attention", "ffn")]
    assert tiny_atlas().site("layers.7.ffn") is None


@pytest.mark.parametrize("name", ["layers.1.attention", "layers.1.ffn"])
def test_errors_are_exact_at_the_points_of_the_curve(name: str) -> None:
    chart = tiny_atlas().site(name)
    curve = chart.curve("wanda", "liar", "norm-aware")
    damage = chart.damage("wanda", "liar", "norm-aware")
    assert len(damage) == chart.site.bundles + 1
    for ratio, expected in zip(RATIOS, curve, strict=True):
        kept = chart.site.bundles - nearest_removed(chart.site.bundles, ratio)
        assert chart.error_at("wanda", "liar", kept, "norm-aware") == pytest.approx(expected)
        assert damage[kept] == pytest.approx(expected)  # equals the error because the output energy is one here


def test_any_choice_of_few_bundles_has_its_error_and_of_many_only_the_best() -> None:
    heads, neurons = (tiny_atlas().site(f"layers.1.{kind}") for kind in ("attention", "ffn"))
    best, *_, worst = heads.order("obs").tolist()
    assert heads.errors_of("obs", [best])["liar"] == heads.error_at("obs", "liar", 1)
    assert heads.errors_of("obs", [worst]) == pytest.approx(
        dict.fromkeys(("none", "bias", "scale", "least-squares"), (7 - 2**worst) / 7)
    )
    best, *_, worst = neurons.order("obs").tolist()
    assert neurons.errors_of("obs", [best]).keys() == set(RECONSTRUCTIONS)
    assert neurons.errors_of("obs", [worst]) == {}


# -- its file -----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(written()) - 1), st.integers(1, 255), st.booleans())
def test_a_damaged_file_is_a_value_error_or_no_damage(at: int, flip: int, cut: bool) -> None:
    data = written()[:at] if cut else written()[:at] + bytes([written()[at] ^ flip]) + written()[at + 1 :]
    try:
        found = Atlas.from_bytes(data)
    except ValueError:
        return
    assert_same(found, tiny_atlas())  # a flipped byte may lie in unused data, such as a date in the archive


def npz_of(**changed: Any) -> bytes:
    """The file with other arrays; one of None is left out."""
    with np.load(io.BytesIO(written())) as file:
        arrays = {name: file[name] for name in file.files} | changed
    buffer = io.BytesIO()
    np.savez(buffer, **{name: array for name, array in arrays.items() if array is not None})
    return buffer.getvalue()


class Trap:
    """Object whose unpickling would create a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    trap = np.array([Trap(tmp_path / "sprung")], dtype=object)
    bare = io.BytesIO()
    np.save(bare, trap, allow_pickle=True)
    for data in (npz_of(**{"ffn.order": trap}), bare.getvalue()):
        with pytest.raises(ValueError, match="no atlas"):
            Atlas.from_bytes(data)
    assert not (tmp_path / "sprung").exists()


# -- the store ----------------------------------------------------------------------------------------------------------


def test_what_is_saved_is_found_after_a_restart(store: AtlasStore) -> None:
    atlas = tiny_atlas()
    assert store.find(PruneSpec()) is None
    path = store.save(atlas)
    assert path.name == f"{atlas.facts.key.digest}.npz"
    assert store.find(PruneSpec()) is atlas, "what was saved last is at hand"
    assert_same(again(store).find(PruneSpec()), atlas)


@pytest.mark.parametrize(
    ("choices", "found"),
    [
        ({"targets": "both", "criterion": "wanda", "ratio": 0.2, "allocation": "global"}, True),
        ({"reconstruction": "bias", "schedule": "one-shot"}, True),
        ({"model": "m"}, False),
        ({"calibration": "wiki"}, False),
        ({"tokens": 5}, False),
        ({"sequence_length": 8}, False),
        ({"seed": 1}, False),
    ],
)
def test_one_atlas_serves_every_recipe_on_its_calibration(
    store: AtlasStore, choices: dict[str, Any], found: bool
) -> None:
    store.save(tiny_atlas())
    assert store.find(PruneSpec(**choices)) is (store.find(PruneSpec()) if found else None)


def test_the_folder_comes_before_the_shipped_ones(store: AtlasStore) -> None:
    AtlasStore(store.shipped).save(tiny_atlas())
    assert store.find(PruneSpec()) is not None
    own = tiny_atlas()
    own.facts.seconds = 99.0
    store.save(own)
    assert again(store).find(PruneSpec()).facts.seconds == 99.0


DAMAGED = [b"", b"PK\x03\x04 and nothing more", b"not an archive", written()[:-200], npz_of(**{"ffn.deviation": None})]
"""The last one lacks an array, as those of former versions may."""


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_counts_as_none_and_is_logged(
    store: AtlasStore, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = store.save(tiny_atlas())
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert again(store).find(PruneSpec()) is None
    assert path.name in caplog.text
    AtlasStore(store.shipped).save(tiny_atlas())
    assert again(store).find(PruneSpec()) is not None, "the shipped one is still there"


def test_a_file_under_the_wrong_name_is_not_taken(store: AtlasStore) -> None:
    other = PruneSpec(seed=1)
    store.save(tiny_atlas()).rename(store.folder / f"{AtlasKey.of(other).digest}.npz")
    assert again(store).find(other) is None


def test_a_folder_that_cannot_be_written_is_a_sentence_and_the_atlas_stays_at_hand(
    store: AtlasStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied = Mock(side_effect=PermissionError(13, "Permission denied"))
    monkeypatch.setattr(tempfile, "mkstemp", denied)  # not by file mode, because root may write anywhere
    with pytest.raises(StorageError, match="could not be written"):
        store.save(tiny_atlas())
    assert store.find(PruneSpec()) is not None
    assert list(store.folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be made"):
        AtlasStore(tmp_path / "file" / "atlases").save(tiny_atlas())


def test_memory_holds_a_few_and_forgets_the_least_recently_used(tmp_path: Path) -> None:
    store = AtlasStore(tmp_path / "atlases", shipped=tmp_path, in_memory=2)
    first, second, third = (PruneSpec(seed=seed) for seed in range(3))
    kept = {spec.seed: tiny_atlas(spec) for spec in (first, second, third)}
    store.save(kept[0])
    store.save(kept[1])
    assert store.find(first) is kept[0]
    store.save(kept[2])
    assert store.find(first) is kept[0]
    assert store.find(second) is not kept[1], "it was read again"
