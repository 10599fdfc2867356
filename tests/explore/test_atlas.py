"""An atlas is equal after saving and loading; a damaged or hostile file is refused and runs no code."""

from __future__ import annotations

import io
import json
import logging
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liar.errors import InvalidSpecError, StorageError
from liar.explore.allocation import nearest_removed
from liar.explore.atlas import RATIOS, Atlas, AtlasKey, KindArrays
from liar.explore.atlas_store import AtlasStore
from liar.explore.forecast import forecast
from liar.report.plots.site_errors import site_errors
from liar.spec import CRITERIA, RECONSTRUCTIONS, PruneSpec
from tests.fake_atlas import tiny_atlas
from tests.fakes import OLDER, older


@pytest.fixture
def store(tmp_path: Path) -> AtlasStore:
    return AtlasStore(tmp_path / "atlases", shipped=tmp_path / "shipped")


@cache
def written() -> bytes:
    return tiny_atlas().to_bytes()


def again(store: AtlasStore) -> AtlasStore:
    """A new store on the same folders, as after a restart."""
    return AtlasStore(store.folder, shipped=store.shipped)


def assert_same(first: Atlas | None, second: Atlas) -> None:
    assert first is not None
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
    assert chart is not None
    curve = chart.curve("wanda", "liar", "norm-aware")
    damage = chart.damage("wanda", "liar", "norm-aware")
    assert len(damage) == chart.site.bundles + 1
    for ratio, expected in zip(RATIOS, curve, strict=True):
        kept = chart.site.bundles - nearest_removed(chart.site.bundles, ratio)
        assert chart.error_at("wanda", "liar", kept, "norm-aware") == pytest.approx(expected)
        assert damage[kept] == pytest.approx(expected)  # equals the error because the output energy is one here


def test_any_choice_of_few_bundles_has_its_error_and_of_many_only_the_best() -> None:
    heads, neurons = (tiny_atlas().site(f"layers.1.{kind}") for kind in ("attention", "ffn"))
    assert heads is not None
    assert neurons is not None
    best, *_, worst = heads.order("obs").tolist()
    assert heads.errors_of("obs", [best])["liar"] == heads.error_at("obs", "liar", 1)
    assert heads.errors_of("obs", [worst]) == pytest.approx(
        dict.fromkeys(("none", "bias", "scale", "least-squares"), (7 - 2**worst) / 7)
    )
    best, *_, worst = neurons.order("obs").tolist()
    assert neurons.errors_of("obs", [best]).keys() == set(RECONSTRUCTIONS)
    assert neurons.errors_of("obs", [worst]) == {}


def test_a_file_from_before_choices_were_kept_is_still_an_atlas() -> None:
    with np.load(io.BytesIO(written())) as file:
        arrays = {name: file[name] for name in file.files if not name.endswith(".choices")}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    heads = Atlas.from_bytes(buffer.getvalue()).site("layers.1.attention")
    assert heads is not None
    assert heads.errors_of("obs", heads.order("obs")[1:].tolist()) == {}


def test_a_file_from_before_scale_has_all_the_other_errors() -> None:
    fresh = tiny_atlas()
    with np.load(io.BytesIO(written())) as file:
        arrays = {name: file[name] for name in file.files}
    facts = json.loads(arrays["facts"].tobytes())
    del facts["reconstructions"], facts["choice_reconstructions"]
    arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    at = RECONSTRUCTIONS.index("scale")
    for kind in ("ffn", "attention"):
        arrays[f"{kind}.error"] = np.delete(arrays[f"{kind}.error"], at, axis=3)
        arrays[f"{kind}.choices"] = np.delete(arrays[f"{kind}.choices"], at, axis=2)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    old = Atlas.from_bytes(buffer.getvalue())
    spec = PruneSpec(targets="both", ratio=0.4, edits=("layers.1.attention:remove=0-2",))
    assert forecast(spec, old).sites == [older(site) for site in forecast(spec, fresh).sites]
    chart = old.site("layers.0.ffn")
    assert chart is not None
    report = forecast(spec, old).sites[1]
    assert [trace.name for trace in site_errors(chart, spec.criterion, report, "liar").data] == list(OLDER)
    with pytest.raises(InvalidSpecError, match="No curves of scale are at hand"):
        forecast(PruneSpec(reconstruction="scale"), old)


# -- its file -----------------------------------------------------------------------------------------------------------


def test_bytes_are_an_atlas_again() -> None:
    assert_same(Atlas.from_bytes(written()), tiny_atlas())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(written()) - 1), st.integers(1, 255), st.booleans())
def test_a_damaged_file_is_a_value_error_or_no_damage(at: int, flip: int, cut: bool) -> None:
    data = written()[:at] if cut else written()[:at] + bytes([written()[at] ^ flip]) + written()[at + 1 :]
    try:
        found = Atlas.from_bytes(data)
    except ValueError:
        return
    assert_same(found, tiny_atlas())  # a flipped byte may lie in unused data, such as a date in the archive


def test_a_file_older_than_the_deviations_is_read_and_has_those_of_single_channels() -> None:
    with np.load(io.BytesIO(written())) as file:
        arrays = {name: file[name] for name in file.files if not name.endswith(".deviation")}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    old = Atlas.from_bytes(buffer.getvalue())
    neurons, heads = old.site("layers.0.ffn"), old.site("layers.0.attention")
    fresh = tiny_atlas().site("layers.0.ffn")
    assert neurons is not None
    assert heads is not None
    assert fresh is not None
    for name in CRITERIA:
        assert neurons.deviation(name) == pytest.approx(fresh.deviation(name))
        assert np.isnan(heads.deviation(name)) == (name in ("magnitude", "wanda", "fluctuation"))
    spread = PruneSpec(criterion="wanda", allocation="global")
    assert forecast(spread, old).sites == forecast(spread, tiny_atlas()).sites
    with pytest.raises(InvalidSpecError, match="too old to spread heads"):
        forecast(spread.model_copy(update={"targets": "both"}), old)


class Trap:
    """Object whose unpickling would create a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    trap = np.array([Trap(tmp_path / "sprung")], dtype=object)
    with np.load(io.BytesIO(written())) as file:
        arrays = {name: file[name] for name in file.files}
    buffer = io.BytesIO()
    np.savez(buffer, **{**arrays, "ffn.order": trap})
    with pytest.raises(ValueError, match="no atlas"):
        Atlas.from_bytes(buffer.getvalue())
    bare = io.BytesIO()
    np.save(bare, trap, allow_pickle=True)
    with pytest.raises(ValueError, match="no atlas"):
        Atlas.from_bytes(bare.getvalue())
    assert not (tmp_path / "sprung").exists()


# -- the store ----------------------------------------------------------------------------------------------------------


def test_what_is_saved_is_found_after_a_restart(store: AtlasStore) -> None:
    atlas = tiny_atlas()
    assert store.find(PruneSpec()) is None
    path = store.save(atlas)
    assert path.name == f"{atlas.facts.key.digest}.npz"
    assert store.find(PruneSpec()) is atlas, "what was saved last is at hand"
    assert_same(again(store).find(PruneSpec()), atlas)


def test_one_atlas_serves_every_recipe_on_its_calibration(store: AtlasStore) -> None:
    store.save(tiny_atlas())
    recipe = PruneSpec(
        targets="both", criterion="wanda", ratio=0.2, allocation="global", reconstruction="bias", schedule="one-shot"
    )
    assert store.find(recipe) is store.find(PruneSpec())


@pytest.mark.parametrize(
    "choice", [{"model": "m"}, {"calibration": "wiki"}, {"tokens": 5}, {"sequence_length": 8}, {"seed": 1}]
)
def test_another_calibration_is_another_atlas(store: AtlasStore, choice: dict[str, Any]) -> None:
    store.save(tiny_atlas())
    assert store.find(PruneSpec(**choice)) is None


def test_the_folder_comes_before_the_shipped_ones(store: AtlasStore) -> None:
    AtlasStore(store.shipped).save(tiny_atlas())
    assert store.find(PruneSpec()) is not None
    own = tiny_atlas()
    own.facts.seconds = 99.0
    store.save(own)
    found = again(store).find(PruneSpec())
    assert found is not None
    assert found.facts.seconds == 99.0


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and nothing more", b"not an archive", written()[:-200]])
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
    def read_only(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", read_only)  # not by file mode, because root may write anywhere
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
