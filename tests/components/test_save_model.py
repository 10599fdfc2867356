"""Saving a model from the page: a job that ends with one sentence and one file, and its failures."""

from __future__ import annotations

import zipfile
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

import components.takeaway.save_model
import liar.save.deliver
from components.shared.panel import Updates
from components.shared.studio import Bus
from components.takeaway.save_model import SavingPanel
from liar import load_model, stream
from liar.events import Finished
from liar.models.loaded import LoadedModel
from liar.report.export import file_stem
from liar.report.view import View
from liar.results import RunResult
from liar.spec import PruneSpec
from liar.store import RunStore
from server.job_queue import JobQueue
from server.model_registry import ModelRegistry
from server.profile import LOCAL, PUBLIC, Profile
from tests import tiny
from tests.components.visitor import VISITOR


@dataclass
class Page:
    """The panel with the services of a server, and a run that is shown."""

    store: RunStore
    files: Path
    run: RunResult
    registry: ModelRegistry = field(init=False)
    profile: Profile = LOCAL
    loads: int = 0

    def __post_init__(self) -> None:
        self.jobs, self.registry = JobQueue(), ModelRegistry(10**9, load=self.load)
        studio: Any = self
        with gr.Blocks():
            self.panel = SavingPanel(studio, Bus(self.run.spec, View(), self.run.spec.key))
            self.panel.wire()

    def load(self, *_: str) -> LoadedModel:
        self.loads += 1
        return tiny.language_model()

    def save(self, dtype: str = "auto", folder: str = "", key: str | None = None) -> tuple[list[Updates], str]:
        """All updates, and the last status line."""
        updates = list(self.panel.save(self.run.spec.key if key is None else key, dtype, folder, VISITOR))
        return updates, str(updates[-1][self.panel.work.status])


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "files"))
    text = tiny.letters_file(tmp_path)
    spec = PruneSpec(
        model="tiny/llama", allocation="uniform", calibration=text, tokens=256, sequence_length=16
    ).model_copy(update={"criterion": "fluctuation"})
    finished = list(stream(spec, tiny.language_model(), prompts=["a b"]))[-1]
    assert isinstance(finished, Finished)
    store = RunStore(tmp_path / "runs", shipped=tmp_path / "shipped")
    store.save(finished.result)
    page = Page(store, tmp_path / "files", finished.result)
    yield page
    page.jobs.close()


def test_a_zip_holds_a_model_that_loads(page: Page, tmp_path: Path) -> None:
    updates, line = page.save()
    assert "logits differ by 0 at most" in line
    assert str(tmp_path) not in line, "the folder of the server is not shown"
    ready = updates[-1][page.panel.ready]
    archive = Path(ready["value"])
    assert archive.name == f"{file_stem(page.run.spec)}.zip"
    assert archive.is_relative_to(page.panel.ready.GRADIO_CACHE), "Gradio would not serve it"
    assert archive.name in ready["label"]
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path / "home")
    model = load_model(str(tmp_path / "home" / archive.stem))
    assert {site.units for site in model.adapter.sites("ffn")} == {24}
    assert [path.name for path in archive.parent.iterdir()] == [archive.name], "the folder was for the zip alone"
    assert page.loads == 1, "its models were not in memory"
    page.save("bfloat16")
    assert page.loads == 1, "and now they are"
    another = page.panel.clear()
    assert another[page.panel.work.status] == ""
    assert another[page.panel.ready]["visible"] is False


def test_a_model_without_a_head_is_saved_too_in_a_folder_without_a_zip(page: Page, tmp_path: Path) -> None:
    """Such a model cannot answer prompts, so a run keeps no variants of it in memory."""
    spec = page.run.spec.model_copy(update={"model": "tiny/bert", "evaluate": ()})
    page.registry = ModelRegistry(10**9, load=lambda *_: tiny.encoder())
    ended = list(stream(spec, tiny.encoder()))[-1]
    assert isinstance(ended, Finished)
    assert ended.variants is None
    page.store.save(ended.result)
    updates, line = page.save(folder=f" {tmp_path / 'mine'} ", key=ended.result.spec.key)
    assert "logits differ by 0 at most" in line
    assert str(tmp_path / "mine") in line
    assert updates[-1][page.panel.ready]["visible"] is False
    assert (tmp_path / "mine" / "config.json").exists()
    assert not list(page.files.rglob("*.zip"))


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"key": "0" * 64}, "not kept here any more"),
        ({"key": ""}, "No run of this recipe is shown yet"),
        ({"dtype": "int3"}, "one of the number formats"),
        ({"folder": "/no/such/place/at/all"}, "does not exist; create it or choose another place"),
        ({"folder": "/tmp"}, "exists already; choose another name"),
    ],
)
def test_what_cannot_be_saved_is_a_sentence_before_any_work(page: Page, choices: dict[str, str], words: str) -> None:
    _, line = page.save(**choices)
    assert words in line
    assert page.loads == 0


def test_a_full_disk_is_a_sentence_and_leaves_nothing(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(components.takeaway.save_model.shutil, "disk_usage", lambda _: usage(10, 10, 0))
    _, line = page.save()
    assert "0.0 GB are free; make room there" in line
    assert not list(page.files.rglob("*.safetensors"))


def zips(page: Page) -> dict[str, int]:
    """Bytes of the zip in each number format."""
    return {path.parent.name.split("-")[-1]: path.stat().st_size for path in page.files.rglob("*.zip")}


@pytest.mark.long
def test_older_zips_make_room_before_a_new_one_is_written(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components.takeaway.save_model, "_BESIDE_WEIGHTS", 25_000)
    page.save()
    (size,) = zips(page).values()
    seen: list[dict[str, int]] = []
    pack = liar.save.deliver.pack

    def watched(folder: Path, archive: Path) -> None:
        seen.append(zips(page))
        pack(folder, archive)

    monkeypatch.setattr(liar.save.deliver, "pack", watched)
    page.profile = LOCAL.model_copy(update={"saved_bytes": 3 * size})
    page.save("bfloat16")
    assert seen[-1].keys() == {"auto"}, "both fit"
    page.profile = LOCAL.model_copy(update={"saved_bytes": size + 10})
    page.save("float16")
    assert seen[-1] == {}, "there was no room for a third"
    assert zips(page).keys() == {"float16"}
    assert sum(zips(page).values()) <= page.profile.saved_bytes


def test_a_zip_larger_than_all_that_is_kept_is_refused_and_deletes_nothing(page: Page) -> None:
    page.save()
    before = zips(page)
    page.profile = LOCAL.model_copy(update={"saved_bytes": 10})
    _, line = page.save("bfloat16")
    assert "this page keeps at most 0.00 GB" in line
    assert zips(page) == before
    assert not list(page.files.rglob("*.safetensors"))


def test_a_public_page_writes_nowhere_but_in_its_own_folder(page: Page, tmp_path: Path) -> None:
    page.profile = PUBLIC.model_copy(update={"any_model": True, "any_text": True})
    updates, _ = page.save(folder=str(tmp_path / "mine"))
    assert not (tmp_path / "mine").exists()
    assert Path(updates[-1][page.panel.ready]["value"]).is_relative_to(page.files)
