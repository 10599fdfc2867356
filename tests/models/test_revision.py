"""A revision of a hub model: loading ``id@revision``, and the pull request that a refusal of pickled weights names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from liar.errors import ModelNotFoundError, UnsupportedModelError
from liar.loading import source
from liar.loading.catalog import bytes_on_disk, folder_of, load_model
from liar.loading.source import Source, conversion_of, find_model
from tests.folders import LLAMA, save
from tests.hub import Hub, Repository, running
from tests.loopback import ask

TITLE = "Adding `safetensors` variant of this model"
BOT = "SFconvertbot"


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def pull_request(num: int, title: str = TITLE, author: str = BOT, status: str = "open") -> dict[str, Any]:
    return {"num": num, "title": title, "author": {"name": author}, "status": status, "isPullRequest": True}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one repository: pickled weights on main, and two pull requests with different safetensors."""
    model = LlamaForCausalLM(LlamaConfig(**LLAMA))
    save(model, tmp_path / "main")
    torch.save(model.state_dict(), tmp_path / "main" / "pytorch_model.bin")
    converted = files(tmp_path / "main") | {"LICENSE": b"terms"}
    (tmp_path / "main" / "model.safetensors").unlink()
    save(LlamaForCausalLM(LlamaConfig(**LLAMA | {"num_hidden_layers": 3})), tmp_path / "other")
    revisions = {"refs/pr/3": converted, "larger": files(tmp_path / "other")}
    with running(Hub("hf_token")) as found:
        found.repositories["a/b"] = Repository(files=files(tmp_path / "main"), revisions=revisions)
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
