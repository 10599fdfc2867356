"""Licence and notice files: which are accepted, and their download with a model of the Hub."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub.errors import HfHubHTTPError

from liar.loading import notices
from liar.loading.notices import copy_notices, fetch_notices
from liar.loading.source import Source

ACCEPTED = (
    *("LICENSE", "LICENSE.txt", "license.md", "LICENCE", "LICENSE-APACHE-2.0", "LICENSE-2.0.txt", "LICENSE.pdf"),
    *("NOTICE", "Notice.txt", "COPYING", "COPYING-LESSER.md", "USE_POLICY.md", "USE-POLICY.txt"),
)
REFUSED = (
    *("README.md", "config.json", "model.safetensors", "tokenizer.model", "modeling_liar.py", "LICENSE.py"),
    *("NOTICE.bin", "LICENSE.json", "LICENSED", "a/LICENSE", "../LICENSE", "LICENSE\n.txt", ".LICENSE", "LICENSE.exe"),
    "MYLICENSE",
)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """An empty folder for a model and an empty one for its saved copy."""
    base, saved = tmp_path / "base", tmp_path / "saved"
    base.mkdir()
    saved.mkdir()
    return base, saved


def test_notices_are_copied_and_nothing_else(pair: tuple[Path, Path]) -> None:
    base, saved = pair
    for name in (*ACCEPTED, *(name for name in REFUSED if "/" not in name)):
        (base / name).write_text(f"words of {name}")
    (base / "NOTICES").mkdir()
    assert copy_notices(base, saved) == sorted(ACCEPTED)
    assert sorted(path.name for path in saved.iterdir()) == sorted(ACCEPTED)
    assert all((saved / name).read_text() == f"words of {name}" for name in ACCEPTED)


def test_size_and_number_are_bounded(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    base, saved = pair
    monkeypatch.setattr(notices, "_MOST_BYTES", 10)
    monkeypatch.setattr(notices, "_MOST_FILES", 3)
    (base / "COPYING").write_bytes(b"x" * 11)
    for number in range(9):
        (base / f"LICENSE-{number}").write_bytes(b"x" * 10)
    assert copy_notices(base, saved) == ["LICENSE-0", "LICENSE-1", "LICENSE-2"]


def test_a_link_is_followed_only_into_the_cache_of_the_hub(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    base, saved = pair
    (tmp_path / "private").write_text("a key")
    (base / "LICENSE").symlink_to(tmp_path / "private")
    (base / "NOTICE").symlink_to(base / "nowhere")
    assert copy_notices(base, saved) == []
    blob = tmp_path / "models--a--b" / "blobs" / "0123"
    snapshot = tmp_path / "models--a--b" / "snapshots" / "4567"
    blob.parent.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    blob.write_text("terms")
    (snapshot / "LICENSE").symlink_to(Path("..") / ".." / "blobs" / "0123")
    assert copy_notices(snapshot, saved) == ["LICENSE"]
    assert (saved / "LICENSE").read_text() == "terms"
    assert not (saved / "LICENSE").is_symlink()


class Hub:
    """Stand-in for HfApi that records downloads."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.taken: list[tuple[str, str, str | None]] = []

    def model_info(self, repo: str, *, revision: str | None, timeout: float, files_metadata: bool) -> SimpleNamespace:
        if self.failure is not None:
            raise self.failure
        sizes = {"LICENSE": 11_000, "USE_POLICY.md": 5_000, "NOTICE": 10**9, "COPYING": None, "model.safetensors": 9}
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name, size=size) for name, size in sizes.items()])

    def hf_hub_download(self, repo: str, name: str, *, revision: str | None, etag_timeout: float) -> None:
        self.taken.append((repo, name, revision))


def test_a_model_of_the_hub_brings_its_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub()
    monkeypatch.setattr(notices, "HfApi", lambda: hub)
    fetch_notices(Source("a/b", local_only=False, revision="main"))
    assert hub.taken == [("a/b", "LICENSE", "main"), ("a/b", "USE_POLICY.md", "main")]
    fetch_notices(Source("/a/folder", local_only=True))
    assert len(hub.taken) == 2


@pytest.mark.parametrize(
    "failure",
    [
        OSError("no network"),
        type("TransportError", (Exception,), {})("of the HTTP library"),
        HfHubHTTPError("no", response=SimpleNamespace(status_code=503, headers={}, request=None)),  # type: ignore[arg-type]
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_a_hub_out_of_reach_stops_no_load(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(failure)
    monkeypatch.setattr(notices, "HfApi", lambda: hub)
    fetch_notices(Source("a/b", local_only=False))
    assert hub.taken == []
    monkeypatch.setattr(notices, "HfApi", lambda: Hub(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        fetch_notices(Source("a/b", local_only=False))
