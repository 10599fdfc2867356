"""Finding a model on the Hub, in its cache, or nowhere, with and without a network."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
from transformers import LlamaConfig, LlamaForCausalLM

from liar import presets
from liar.errors import ModelNotFoundError
from liar.loading import source
from liar.loading.catalog import load_model
from tests.folders import LLAMA, save

REPOSITORY = Path(__file__).resolve().parents[2]


def test_an_unknown_id_without_a_network_fails_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    start = time.perf_counter()
    with pytest.raises(ModelNotFoundError, match="nobody/no-such-model"):
        load_model("nobody/no-such-model", device="cpu")
    assert time.perf_counter() - start < 20


_LOAD = "import sys; from liar.loading.catalog import load_model; load_model(sys.argv[1], device='cpu')"


def test_a_hub_that_never_answers_is_given_up_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(source, "PROBE_SECONDS", 0.5)
        monkeypatch.setattr(source, "hf_hub_url", lambda model, name, revision: f"{endpoint}/{model}/{name}")
        start = time.perf_counter()
        with pytest.raises(ModelNotFoundError, match="cannot be reached"):
            load_model("nobody/no-such-model", device="cpu")
        assert time.perf_counter() - start < 5


def test_a_cached_hub_model_loads_without_a_network(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--somebody--tiny"
    save(LlamaForCausalLM(LlamaConfig(**LLAMA)), repository / "snapshots" / ("0" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HTTPS_PROXY": "http://127.0.0.1:9"}
    command = [sys.executable, "-c", _LOAD, "somebody/tiny"]
    start = time.perf_counter()
    subprocess.run(command, check=True, cwd=REPOSITORY, env=environment)
    assert time.perf_counter() - start < 20


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        (GatedRepoError, 403, "gated"),
        (RepositoryNotFoundError, 401, "no model"),
        (HfHubHTTPError, 503, "cannot be reached"),
    ],
)
def test_each_answer_of_the_hub_is_explained(
    monkeypatch: pytest.MonkeyPatch, kind: type[HfHubHTTPError], status: int, words: str
) -> None:
    def answer(url: str, timeout: float) -> None:
        raise kind("no", response=SimpleNamespace(status_code=status, headers={}, request=None))  # type: ignore[arg-type]

    monkeypatch.setattr(source, "get_hf_file_metadata", answer)
    with pytest.raises(ModelNotFoundError, match=words):
        load_model("somebody/something", device="cpu")


COMMIT = "0123456789abcdef" * 2 + "01234567"


@pytest.mark.parametrize(("model", "revision"), [("somebody/pinned", COMMIT), ("somebody/else", None)])
@pytest.mark.parametrize("reachable", [True, False])
def test_a_preset_is_asked_for_at_its_revision(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: str, revision: str | None, reachable: bool
) -> None:
    asked: list[str | None] = []

    def cached(model: str, name: str, revision: str | None = None) -> str:
        asked.append(revision)
        return str(tmp_path / name)

    def answer(url: str, timeout: float) -> None:
        asked.append(COMMIT if COMMIT in url else None)
        if not reachable:
            raise OSError("no network")

    preset = presets.Preset("somebody/pinned", "", "llama", None, 1.0, COMMIT, "MIT")
    assert preset.is_pinned
    monkeypatch.setattr(presets, "PRESETS", (preset,))
    monkeypatch.setattr(source, "get_hf_file_metadata", answer)
    monkeypatch.setattr(source, "try_to_load_from_cache", cached)
    found = source.find_model(model)
    assert asked == ([revision] if reachable else [revision, revision])
    assert found.options.get("revision") == (revision if reachable else None)


@pytest.mark.parametrize("name", ["/no/such/folder", "not an id", "", "a/b/c"])
def test_names_without_a_model_are_refused(name: str) -> None:
    with pytest.raises(ModelNotFoundError):
        load_model(name, device="cpu")
