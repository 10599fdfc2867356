"""Saving a model from the page: a job that ends with one sentence and one file or push, and its failures."""

from __future__ import annotations

import zipfile
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import psutil
import pytest

import components.takeaway.save_model
import liar.save.deliver
from components.shared.panel import Updates
from components.shared.studio import Bus, Studio
from components.takeaway.save_model import PushPanel, SavingPanel
from liar import load_model
from liar.errors import PushError
from liar.export import exporting
from liar.models.loaded import LoadedModel
from liar.report.export import file_stem
from liar.report.view import View
from liar.results import RunResult
from liar.save import push
from liar.save.checkpoint import save_model
from liar.spec import PruneSpec
from server import login
from server.model_registry import ModelRegistry
from server.profile import LOCAL, PUBLIC
from tests import tiny
from tests.components.visitor import VISITOR, request
from tests.fakes import language_run


class Page:
    """The panel with the services of a server, and a run that is shown."""

    def __init__(self, studio: Studio, run: RunResult) -> None:
        self.run, self.store, self.loads = run, studio.store, 0
        self.store.save(run)
        with gr.Blocks():
            self.panel = SavingPanel(studio, Bus(run.spec, View(), run.spec.key))
        self.files = Path(self.panel.ready.GRADIO_CACHE)
        self.has(registry=ModelRegistry(10**9, load=self.load))

    def has(self, **services: Any) -> None:
        """Give the panel other services, such as the profile of a public page."""
        self.panel.studio = replace(self.panel.studio, **services)

    def load(self, *_: str) -> LoadedModel:
        self.loads += 1
        return tiny.language_model()

    def save(
        self, dtype: str = "auto", folder: str = "", key: str | None = None, form: str = "checkpoint"
    ) -> tuple[list[Updates], str]:
        """All updates, and the last status line."""
        updates = list(self.panel.save(self.run.spec.key if key is None else key, form, dtype, folder, VISITOR))
        return updates, str(updates[-1][self.panel.work.status])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    text = tiny.letters_file(tmp_path_factory.mktemp("text"))
    spec = PruneSpec(
        model="tiny/llama", allocation="uniform", calibration=text, tokens=256, sequence_length=16
    ).model_copy(update={"criterion": "fluctuation"})
    return tiny.finished(spec, tiny.language_model(), prompts=["a b"])[0].result


@pytest.fixture
def page(studio: Studio, run: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "files"))
    return Page(studio, run)


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
    page.has(registry=ModelRegistry(10**9, load=lambda *_: tiny.encoder()))
    ended, _ = tiny.finished(spec, tiny.encoder())
    assert ended.variants is None
    page.store.save(ended.result)
    updates, line = page.save(folder=f" {tmp_path / 'mine'} ", key=ended.result.spec.key)
    assert "logits differ by 0 at most" in line
    assert str(tmp_path / "mine") in line
    assert updates[-1][page.panel.ready]["visible"] is False
    assert (tmp_path / "mine" / "config.json").exists()
    assert not list(page.files.rglob("*.zip"))


def test_a_model_for_another_runtime_comes_as_a_zip_too(page: Page, tmp_path: Path) -> None:
    import onnxruntime

    updates, line = page.save("int8", form="onnx")
    assert "onnx/model_quantized.onnx" in line
    assert "Perplexity, relative to that of torch" in line
    assert str(tmp_path) not in line, "the folder of the server is not shown"
    archive = Path(updates[-1][page.panel.ready]["value"])
    assert archive.name == f"{file_stem(page.run.spec)}-onnx.zip"
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path / "home")
    folder = tmp_path / "home" / archive.stem
    assert onnxruntime.InferenceSession(folder / "onnx" / "model_quantized.onnx").get_inputs()
    assert 'InferenceSession("onnx/model_quantized.onnx")' in (folder / "README.md").read_text()
    assert str(tmp_path) not in (folder / "export.json").read_text()


def test_a_format_that_cannot_hold_the_model_is_a_sentence(page: Page) -> None:
    updates, line = page.save(form="gguf")
    assert "its tokenizer is WordLevel, not BPE; export it to onnx" in line
    assert updates[-1][page.panel.ready]["visible"] is False
    assert not list(page.files.rglob("*.zip"))


def test_an_export_that_is_given_up_ends_its_process(tmp_path: Path) -> None:
    saved = save_model(tiny.language_model(), tmp_path / "saved")
    steps = exporting.apart(saved.folder, "onnx", tmp_path / "out", "fp32")
    next(steps)
    begun = {child.pid for child in psutil.Process().children()}
    steps.close()
    assert begun
    assert not begun & {child.pid for child in psutil.Process().children()}
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"key": "0" * 64}, "not kept here any more"),
        ({"key": ""}, "No run of this recipe is shown yet"),
        ({"dtype": "int3"}, "one of its number formats"),
        ({"form": "tflite"}, "one of the forms"),
        ({"form": "onnx", "dtype": "float16"}, "one of its number formats"),
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
    page.has(profile=LOCAL.model_copy(update={"saved_bytes": 3 * size}))
    page.save("bfloat16")
    assert seen[-1].keys() == {"auto"}, "both fit"
    page.has(profile=LOCAL.model_copy(update={"saved_bytes": size + 10}))
    page.save("float16")
    assert seen[-1] == {}, "there was no room for a third"
    assert zips(page).keys() == {"float16"}
    assert sum(zips(page).values()) <= size + 10


def test_a_zip_larger_than_all_that_is_kept_is_refused_and_deletes_nothing(page: Page) -> None:
    page.save()
    before = zips(page)
    page.has(profile=LOCAL.model_copy(update={"saved_bytes": 10}))
    _, line = page.save("bfloat16")
    assert "this page keeps at most 0.00 GB" in line
    assert zips(page) == before
    assert not list(page.files.rglob("*.safetensors"))


def test_a_public_page_writes_nowhere_but_in_its_own_folder(page: Page, tmp_path: Path) -> None:
    page.has(profile=PUBLIC.model_copy(update={"any_model": True, "any_text": True}))
    updates, _ = page.save(folder=str(tmp_path / "mine"))
    assert not (tmp_path / "mine").exists()
    assert Path(updates[-1][page.panel.ready]["value"]).is_relative_to(page.files)


# -- to the Hub ------------------------------------------------------------------------------------------------------


@pytest.fixture
def panel(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> PushPanel:
    monkeypatch.setattr(gr.Blocks, "expects_oauth", False)  # else Gradio asks for an account on this machine
    result = language_run()
    studio.store.save(result)
    with gr.Blocks():
        dtype = gr.Radio(["auto", "bfloat16"], value="auto")
        return PushPanel(studio, Bus(result.spec, View(), result.spec.key), dtype)


TOKEN = gr.OAuthToken("hf_ofTheVisitor", "contribute-repos", 0)


def said(panel: PushPanel, key: str, repo: str, token: gr.OAuthToken | None) -> str:
    *_, last = panel.push(key, "auto", repo, False, VISITOR, token)
    return str(last[panel.work.status])


def test_nobody_pushes_without_a_run_or_a_login(panel: PushPanel) -> None:
    assert "press “Measure it” first" in said(panel, "", "small", None)
    assert "Sign in first" in said(panel, language_run().spec.key, "small", None)


def test_a_refusal_of_the_hub_is_one_sentence_without_the_token(
    panel: PushPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def refuse(repo: str, *, private: bool, credential: Any) -> None:
        asked.append(credential.token)
        raise PushError(f"The Hub refuses {credential.name}; {credential.renewal}.")

    monkeypatch.setenv("HF_TOKEN", "hf_ofTheServer")
    monkeypatch.setattr(push, "find_destination", refuse)
    words = said(panel, language_run().spec.key, "", TOKEN)
    assert "The Hub refuses your login; sign out and in again." in words
    assert asked == ["hf_ofTheVisitor"]
    assert "hf_" not in words


def test_two_visitors_never_share_a_push(panel: PushPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[str] = []

    def submit(session: str, key: str, *_: Any, **__: Any) -> None:
        keys.append(key)
        raise PushError("enough")

    monkeypatch.setattr(panel.work.jobs, "submit", submit)
    for session in ("one", "other"):
        list(panel.push(language_run().spec.key, "auto", "small", True, request(session), TOKEN))
    assert len(set(keys)) == 2
    assert not any("hf_" in key for key in keys)


@pytest.mark.parametrize(
    ("environment", "offered"),
    [
        ({}, False),
        ({"SYSTEM": "spaces"}, False),
        ({"OAUTH_CLIENT_ID": "a"}, False),
        ({"SYSTEM": "spaces", "OAUTH_CLIENT_ID": "a"}, True),
    ],
)
def test_a_login_is_offered_on_a_space_that_has_one(
    environment: dict[str, str], offered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SYSTEM", "OAUTH_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert login.offers_login() is offered
