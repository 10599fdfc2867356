"""Pushing checkpoints: uploaded files, use of the token, and failures. The hub is a real server on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from liar.errors import ModelNotFoundError, PushError
from liar.save.checkpoint import save_model
from liar.save.push import Destination, find_destination, push_checkpoint
from tests import tiny
from tests.cut_models import cut, loaded
from tests.fakes import language_run
from tests.folders import content
from tests.hub import Hub, Repository, running
from tests.loopback import ask

TOKEN = "hf_ofTheEnvironment"
ELSEWHERE = "hf_ofSomeFile"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return save_model(cut(loaded("llama"), "ffn", lambda layer: 20), tmp_path / "smaller", language_run()).folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that this process uses, with no waiting between retries."""
    with running(Hub(TOKEN, organisations=(("lab", "write"), ("club", "read")))) as found:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        ask(found.address, tmp_path / "cache", monkeypatch)
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
        yield found


def liar(hub: Hub, home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command with only this environment; a file that it must not read holds another token."""
    (home / "hf").mkdir(exist_ok=True)
    (home / "hf" / "token").write_text(ELSEWHERE)
    return subprocess.run(
        [sys.executable, "-m", "liar", *arguments],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "HOME": str(home),
            "HF_HOME": str(home / "hf"),
            "HF_ENDPOINT": hub.address,
            "HF_HUB_DISABLE_XET": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def free_of_tokens(*outputs: str) -> bool:
    return not any(token in output for token in (TOKEN, ELSEWHERE) for output in outputs)


# -- uploads -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verbosity", ["warning", "debug"])
def test_the_folder_arrives_byte_for_byte_and_the_token_goes_only_to_the_hub(
    checkpoint: Path, tmp_path: Path, verbosity: str
) -> None:
    with running(Hub(TOKEN)) as hub:
        done = liar(
            hub, tmp_path, "push", str(checkpoint), "small", "--private", HF_TOKEN=TOKEN, HF_HUB_VERBOSITY=verbosity
        )
        assert done.returncode == 0, done.stderr
        assert f"{hub.address}/ada/small" in done.stdout
        stored = hub.repositories["ada/small"]
        assert stored.files == content(checkpoint)
        assert (stored.private, stored.commits) == (True, 1)
        assert {header for _, header in hub.asked} <= {f"Bearer {TOKEN}", None}
        assert {header for request, header in hub.asked if request.startswith("PUT /objects/")} == {None}
        assert free_of_tokens(done.stdout, done.stderr)


def test_a_run_is_saved_and_pushed(tmp_path: Path) -> None:
    base, smaller = tmp_path / "base", tmp_path / "smaller"
    model = tiny.language_model()
    model.model.save_pretrained(base)
    model.tokenizer.save_pretrained(base)
    chosen = ["--tokens", "256", "--sequence-length", "16", "--schedule", "one-shot"]
    chosen += ["--calibration", tiny.letters_file(tmp_path)]
    with running(Hub(TOKEN)) as hub:
        done = liar(
            hub, tmp_path, "prune", str(base), *chosen, "--save", str(smaller), "--push", "ada/small", HF_TOKEN=TOKEN
        )
        assert done.returncode == 0, done.stderr
        assert hub.repositories["ada/small"].files == content(smaller)
        assert not hub.repositories["ada/small"].private
        assert [request for request, _ in hub.asked].index("GET /api/whoami-v2") == 0 or "harnesses" in hub.asked[0][0]


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--save", "DIR", "--push", "small"], "set HF_TOKEN to it"), (["--push", "small"], "with --save")],
)
def test_a_run_that_could_not_be_pushed_does_not_start(options: list[str], words: str, tmp_path: Path) -> None:
    chosen = [str(tmp_path / "smaller") if option == "DIR" else option for option in options]
    with running(Hub(TOKEN)) as hub:
        done = liar(hub, tmp_path, "prune", str(tmp_path / "no-model-at-all"), *chosen)
        assert (done.returncode, done.stdout) == (2, "")
        assert words in done.stderr, "the token in a file does not count"
        assert free_of_tokens(done.stderr)
        assert not any(header for _, header in hub.asked)
    assert not (tmp_path / "smaller").exists()


def test_a_second_push_replaces_the_first_and_leaves_what_is_not_ours(hub: Hub, checkpoint: Path) -> None:
    kept = {"LICENSE": b"mine", "onnx/model.onnx": b"mine"}
    old = dict.fromkeys(("config.json", "liar.json", "modeling_liar.py", "model-00001-of-00002.safetensors"), b"old")
    hub.repositories["lab/small"] = Repository(files=old | kept)
    (checkpoint / ".env").write_text("secret")
    for _ in range(2):
        address = push_checkpoint(checkpoint, find_destination("lab/small"))
        assert address == f"{hub.address}/lab/small"
        assert (
            hub.repositories["lab/small"].files
            == {name: data for name, data in content(checkpoint).items() if name != ".env"} | kept
        )


# -- before any work -----------------------------------------------------------------------------------------------------


def test_a_name_is_settled_without_making_anything(hub: Hub) -> None:
    assert find_destination("small") == Destination("ada/small", private=False)
    assert find_destination("lab/small", private=True) == Destination("lab/small", private=True)
    assert hub.repositories == {}


@pytest.mark.parametrize("repo", ["", "a/b/c", "../x", "a b", "x--y", "é", "ada/", "-", "https://hub/ada/x", "x" * 200])
def test_a_name_that_is_none_is_refused_before_the_hub_is_asked(repo: str, hub: Hub) -> None:
    with pytest.raises(PushError, match="owner/name"):
        find_destination(repo)
    assert hub.asked == []


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (None, "needs a token"),
        ("  ", "needs a token"),
        ("hf_wrong", "refuses the token"),
        ("hf_two\nlines", "no token has"),
        ("hf_größe", "no token has"),
    ],
)
def test_every_bad_token_is_one_sentence_without_it(
    token: str | None, words: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(PushError, match=words) as failure:
        find_destination("small")
    assert (token or "").strip() == "" or token not in str(failure.value)


@pytest.mark.parametrize(
    ("repo", "words"),
    [
        ("grace/small", "belongs to somebody else; the owner has to be ada or one of lab"),
        ("club/small", "belongs to somebody else"),
        ("ada/precious", "holds a model that LIAR did not make"),
        ("ada/open", "everybody may read it"),
    ],
)
def test_repositories_of_others_are_left_alone(repo: str, words: str, hub: Hub) -> None:
    before = {
        "ada/precious": Repository(private=True, files={"config.json": b"{}"}),
        "ada/open": Repository(files={"config.json": b"{}", "liar.json": b"{}"}),
    }
    hub.repositories |= before
    with pytest.raises(PushError, match=words):
        find_destination(repo, private=True)
    assert hub.repositories == before


def test_a_token_that_may_only_read_is_refused(hub: Hub) -> None:
    hub.role = "read"
    with pytest.raises(PushError, match="may only read"):
        find_destination("small")


@pytest.mark.parametrize("damage", ["none", "no card", "no result", "cut weights", "no weights", "bad index"])
def test_only_a_whole_checkpoint_is_pushed(damage: str, hub: Hub, checkpoint: Path) -> None:
    weights = checkpoint / "model.safetensors"
    if damage == "none":
        checkpoint = checkpoint.parent / "nowhere"
    elif damage == "cut weights":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "bad index":
        (checkpoint / "model.safetensors.index.json").write_text('{"weight_map": {"a": "elsewhere.safetensors"}}')
    else:
        (checkpoint / {"no card": "README.md", "no result": "liar.json", "no weights": weights.name}[damage]).unlink()
    with pytest.raises(ModelNotFoundError, match="liar prune MODEL --save DIR"):
        push_checkpoint(checkpoint, Destination("ada/small", private=False))
    assert hub.repositories == {}


# -- during the upload ---------------------------------------------------------------------------------------------------

CREATE, LARGE, COMMIT = "POST /api/repos/create", "PUT /objects/", "POST /api/models/ada/small/commit/main"


@pytest.mark.parametrize(
    ("where", "answer", "words"),
    [
        (CREATE, 401, "refuses the token"),
        (CREATE, 403, "may not write to ada/small"),
        (CREATE, 500, "trouble of its own"),
        (CREATE, "cut", "line was cut"),
        ("POST /api/validate-yaml", 400, "status 400"),
        ("POST /ada/small.git/info/lfs", 403, "may not write to ada/small"),
        (LARGE, 403, "may not write to ada/small"),
        (LARGE, 500, "trouble of its own"),
        (LARGE, "cut", "line was cut"),
        (COMMIT, 400, r"status 400: no, not with Bearer \(token\)"),
        (COMMIT, 409, "Somebody else changed ada/small"),
        (COMMIT, 412, "Somebody else changed ada/small"),
        (COMMIT, 413, "status 413"),
        (COMMIT, 429, "too many requests"),
        (COMMIT, 503, "trouble of its own"),
        (COMMIT, "cut", "line was cut"),
    ],
)
def test_a_failure_of_the_hub_is_one_sentence_and_the_same_command_resumes(
    where: str, answer: int | str, words: str, hub: Hub, checkpoint: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.answers[where] = answer
    destination = Destination("ada/small", private=False)
    with pytest.raises(PushError, match=words) as failure:
        push_checkpoint(checkpoint, destination)
    sentence = str(failure.value)
    assert answer in (401, 403) or f"`liar push {checkpoint} ada/small`" in sentence
    assert "\n" not in sentence
    assert free_of_tokens(sentence, *capfd.readouterr())
    assert hub.repositories.get("ada/small", Repository()).files == {}, "half of a model never shows"
    hub.answers.clear()
    push_checkpoint(checkpoint, destination)
    assert hub.repositories["ada/small"].files == content(checkpoint)


@pytest.mark.parametrize(
    ("answer", "words"),
    [(401, "refuses the token"), (403, "may not"), (429, "too many"), (502, "trouble"), ("cut", "cut")],
)
def test_the_first_question_may_fail_too(answer: int | str, words: str, hub: Hub) -> None:
    hub.answers["GET /api/whoami"] = answer
    with pytest.raises(PushError, match=words):
        find_destination("small")


def test_a_hub_out_of_reach_and_offline_mode_are_refused(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(Hub(TOKEN)) as gone:
        pass
    monkeypatch.setattr(constants, "ENDPOINT", gone.address)
    with pytest.raises(PushError, match="cannot be reached"):
        find_destination("small")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(PushError, match="unset it"):
        find_destination("small")
