"""Finding a model on the Hub, in its cache, or nowhere, with and without a network, and at a revision: ``id@revision``."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
from transformers import LlamaConfig, LlamaForCausalLM

from liar import presets
from liar.errors import ModelNotFoundError, UnsupportedModelError
from liar.loading import source
from liar.loading.catalog import bytes_on_disk, folder_of, load_model
from liar.loading.source import Source, conversion_of, find_model
from tests.folders import LLAMA, content, save
from tests.hub import Hub, Repository, running
from tests.loopback import ask

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
    response: Any = SimpleNamespace(status_code=status, headers={}, request=None)
    monkeypatch.setattr(source, "get_hf_file_metadata", Mock(side_effect=kind("no", response=response)))
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


# -- a revision, and the pull request that a refusal of pickled weights names ------------------------------------------

TITLE = "Adding `safetensors` variant of this model"
BOT = "SFconvertbot"


def pull_request(num: int, title: str = TITLE, author: str = BOT, status: str = "open") -> dict[str, Any]:
    return {"num": num, "title": title, "author": {"name": author}, "status": status, "isPullRequest": True}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one repository: pickled weights on main, and two pull requests with different safetensors."""
    model = LlamaForCausalLM(LlamaConfig(**LLAMA))
    save(model, tmp_path / "main")
    torch.save(model.state_dict(), tmp_path / "main" / "pytorch_model.bin")
    converted = content(tmp_path / "main") | {"LICENSE": b"terms"}
    (tmp_path / "main" / "model.safetensors").unlink()
    save(LlamaForCausalLM(LlamaConfig(**LLAMA | {"num_hidden_layers": 3})), tmp_path / "other")
    revisions = {"refs/pr/3": converted, "larger": content(tmp_path / "other")}
    with running(Hub("hf_token")) as found:
        found.repositories["a/b"] = Repository(files=content(tmp_path / "main"), revisions=revisions)
        monkeypatch.setenv("HF_TOKEN", found.token)
        ask(found.address, tmp_path / "cache", monkeypatch)
        monkeypatch.setattr("transformers.utils.hub._hf_api", None, raising=False)  # a client of an earlier address
        yield found


def layers(model: str) -> int:
    return len(load_model(model, device="cpu").adapter.layers)


def test_a_revision_is_loaded_and_found_in_the_cache(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [layers("a/b@refs/pr/3"), layers("a/b@larger")] == [2, 3]
    commit, larger = hub.repositories["a/b"].at("larger") or ("", {})
    assert layers(f"a/b@{commit}") == 3
    assert load_model("a/b@larger", device="cpu").id == "a/b@larger"
    folder = folder_of("a/b@refs/pr/3")
    assert folder is not None
    assert (folder / "LICENSE").read_text() == "terms"
    assert bytes_on_disk("a/b@larger") == bytes_on_disk(f"a/b@{commit}") == len(larger["model.safetensors"])
    assert bytes_on_disk("a/b@elsewhere") is None
    assert not any("main" in request for request, _ in hub.asked)

    hub.answers = {"": 503}
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    assert layers("a/b@larger") == 3, "from the cache"
    with pytest.raises(ModelNotFoundError, match="cannot be reached"):
        load_model("a/b@elsewhere", device="cpu")


def test_a_revision_that_the_hub_lacks(hub: Hub) -> None:
    with pytest.raises(ModelNotFoundError, match=r"'a/b' has no revision 'refs/pr/9'; take"):
        load_model("a/b@refs/pr/9", device="cpu")


@pytest.mark.parametrize(
    "revision", ["", "@", "a b", "../main", "a/../b", "/main", "main/", "a//b", "a..b", "a@b", "ä"]
)
def test_a_malformed_revision_asks_nothing(revision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "get_hf_file_metadata", lambda *_, **__: pytest.fail("asked the hub"))
    with pytest.raises(ModelNotFoundError, match=r"cannot be a revision of 'a/b'; name .* as in a/b@refs/pr/1\."):
        load_model(f"a/b@{revision}", device="cpu")
    assert folder_of(f"a/b@{revision}") is None


def test_a_folder_with_an_at_sign_stays_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(LlamaForCausalLM(LlamaConfig(**LLAMA)), Path("a") / "b@main")
    assert layers("a/b@main") == 2
    assert folder_of("a/b@main") == Path("a/b@main")


def test_a_folder_of_the_same_id_is_not_taken_for_a_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a/b").mkdir(parents=True)
    with pytest.raises(ModelNotFoundError, match="hides the hub model 'a/b@main'"):
        load_model("a/b@main", device="cpu")


@pytest.mark.parametrize(
    ("discussions", "offered"),
    [
        ([pull_request(2, author="mallory"), pull_request(3), pull_request(4, status="closed")], "a/b@refs/pr/3"),
        ([pull_request(1), pull_request(7), pull_request(8, title="Other")], "a/b@refs/pr/7"),
        ([pull_request(2, author="mallory")], None),
        ([{"num": 1}], None),
        ([], None),
    ],
)
def test_the_refusal_of_a_pickle_names_its_conversion(
    hub: Hub, discussions: list[dict[str, Any]], offered: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("read a pickle"))
    hub.repositories["a/b"].discussions = discussions
    with pytest.raises(UnsupportedModelError, match="'a/b' has no safetensors weights, and pickled") as refused:
        load_model("a/b", device="cpu")
    assert str(refused.value).endswith(
        f"so load it as {offered}." if offered else "with save_pretrained, and name that folder."
    )
    assert "DISABLE_SAFETENSORS_CONVERSION" not in os.environ
    if offered == "a/b@refs/pr/3":
        assert layers(offered) == 2


@pytest.mark.parametrize("answer", [404, 503, "cut"])
def test_a_conversion_that_cannot_be_looked_up(hub: Hub, answer: int | str) -> None:
    hub.repositories["a/b"].discussions = [pull_request(3)]
    hub.answers["GET /api/models/a/b/discussions"] = answer
    with pytest.raises(UnsupportedModelError, match="save_pretrained, and name that folder"):
        load_model("a/b", device="cpu")


def test_a_conversion_that_is_slow_or_already_loaded(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories["a/b"].discussions = [pull_request(3)]
    assert conversion_of(Source("a/b", local_only=False, revision="main")) == "a/b@refs/pr/3"
    assert conversion_of(Source("a/b", local_only=False, revision="refs/pr/3")) is None
    assert conversion_of(Source("a/b", local_only=True)) is None
    monkeypatch.setattr(source, "PROBE_SECONDS", 1e-6)
    assert conversion_of(Source("a/b", local_only=False)) is None


def test_an_explicit_revision_overrides_that_of_a_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "get_hf_file_metadata", lambda *_, **__: None)
    assert find_model("Qwen/Qwen3-0.6B").revision == "main"
    assert find_model("Qwen/Qwen3-0.6B@refs/pr/3") == Source("Qwen/Qwen3-0.6B", False, "refs/pr/3")
