"""The page of two models: what it is made of, what it refuses, and the packages that run it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from liar import LoadedModel, save_model
from liar.errors import DownloadError, InvalidSpecError, LiarError, StorageError, UnsupportedModelError
from liar.export.browser import browser_runtime, page_for_browsers
from liar.export.browser.browser_runtime import fetch_runtime
from liar.export.browser.page_for_browsers import page_steps
from liar.progress import finish
from tests import small_heads, subwords
from tests.cut_models import cut


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runtime that is there already."""
    folder = tmp_path / "runtime"
    folder.mkdir()
    (folder / "run.mjs").write_text("")
    monkeypatch.setattr(page_for_browsers, "runtime_folder", lambda: folder)
    monkeypatch.setattr(browser_runtime, "runtime_folder", lambda: folder)
    return folder


def classifier(labels: tuple[str, ...] = ("a", "b", "</script>")) -> LoadedModel:
    return small_heads.classifier(labels)


def saved(loaded: LoadedModel, folder: Path) -> str:
    return str(save_model(loaded, folder).folder)


def test_the_page_names_both_models_and_escapes_what_they_say(runtime: Path, tmp_path: Path) -> None:
    smaller = cut(classifier(), "ffn", lambda layer: 7 + 4 * layer)
    pair = [saved(classifier(), tmp_path / "whole"), saved(smaller, tmp_path / "smaller")]
    written = finish(page_steps(pair, tmp_path / "site"))
    assert [record.source for record in written.models] == ["whole", "smaller"]
    page = (tmp_path / "site" / "index.html").read_text()
    assert page.count("</script>") == 2
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert data["models"][0]["kind"]["labels"] == ["a", "b", "</script>"]
    for model in data["models"]:
        assert (tmp_path / "site" / model["folder"] / model["file"]).stat().st_size == model["bytes"]
    assert (tmp_path / "site" / "runtime" / "run.mjs").is_file()
    assert "http" not in page.replace("http-equiv", "").replace("http.server", "")


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: classifier(("c", "d")), InvalidSpecError, "do not answer the same question"),
        (small_heads.regressor, UnsupportedModelError, "gives no label"),
        (small_heads.marker, UnsupportedModelError, "gives no label"),
        (subwords.loaded, UnsupportedModelError, "a language model writes text"),
    ],
)
def test_two_that_cannot_be_compared_are_refused(
    build: Callable[[], LoadedModel], error: type[LiarError], words: str, runtime: Path, tmp_path: Path
) -> None:
    pair = [saved(classifier(), tmp_path / "whole"), saved(build(), tmp_path / "other")]
    with pytest.raises(error, match=words):
        finish(page_steps(pair, tmp_path / "site"))
    assert not list(tmp_path.glob("*site*"))


def test_one_model_and_an_existing_folder_are_refused(runtime: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidSpecError, match="two models"):
        finish(page_steps(["tiny"], tmp_path / "site"))
    with pytest.raises(StorageError, match="exists already"):
        finish(page_steps(["tiny", "tiny"], tmp_path))


def fake_npm(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An npm that does what ``script`` says, and an empty cache."""
    path = folder / "npm"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(browser_runtime, "npm", lambda: str(path))
    monkeypatch.setenv("LIAR_CACHE", str(folder / "cache"))


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
@pytest.mark.parametrize(
    ("script", "words"),
    [("exit 1", "did not get onnxruntime-web@1.24.3"), ('echo x > "$4/x.tgz"; echo x.tgz', "is not the pinned one")],
)
def test_a_runtime_that_is_not_to_be_had_or_another_is_not_kept(
    script: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_npm(tmp_path, script, monkeypatch)
    with pytest.raises(DownloadError, match=words):
        list(fetch_runtime())
    assert not list((tmp_path / "cache").iterdir())


def test_without_npm_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser_runtime.shutil, "which", lambda *_, **__: None)
    with pytest.raises(InvalidSpecError, match=r"needs npm.*liar\[page\]"):
        finish(page_steps(["tiny", "tiny"], tmp_path / "site"))


@pytest.mark.long
def test_the_pinned_packages_are_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIAR_CACHE", str(tmp_path))
    assert [words.split()[1] for words in fetch_runtime()] == ["onnxruntime-web", "@huggingface/tokenizers"]
    names = sorted(path.name for path in browser_runtime.runtime_folder().iterdir())
    assert names == [
        "LICENSE-onnxruntime",
        "LICENSE-tokenizers",
        "ThirdPartyNotices-onnxruntime.txt",
        "ort-wasm-simd-threaded.wasm",
        "ort.wasm.bundle.min.mjs",
        "tokenizers.min.mjs",
    ]
    assert list(fetch_runtime()) == []
