"""The page with the public profile, in a folder where every file access and every outgoing request is detected."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from liar.loading.demo_bundle import fetch_demo
from tests import loopback, tiny
from tests.browser.conftest import ROOT, START_SECONDS, serving
from tests.hostile.client import Client

SECRET = "planted-4f1c9e-secret"


@dataclass(frozen=True)
class Place:
    """Surroundings of the server: its ``runs``, ``scratch`` and the checks in its ``cache`` are its own, all else in
    ``folder`` must stay untouched, and so must the demo ``bundle``, which other tests read at the same time.

    ``trap`` is the address of another server on this machine, ``calls`` the paths that were requested from it.
    """

    folder: Path
    bundle: Path
    trap: str
    calls: list[str]

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"

    def others(self) -> dict[str, tuple[int, int, int]]:
        """Size, time of writing and time of reading of every file that the server must not touch."""
        trees = [self.folder / "work", self.folder / "home", self.cache, self.bundle]
        files = [path for tree in trees for path in tree.rglob("*") if path.is_file()]
        files = [path for path in files if not path.is_relative_to(self.cache / "checked")]
        files += [path for path in ROOT.rglob("*") if path.is_file() and not _is_scratch(path)]
        return {str(path): _touched(path, self.folder) for path in files}


@dataclass(frozen=True)
class Server:
    client: Client
    process: psutil.Process
    log: Path
    place: Place


def _is_scratch(path: Path) -> bool:
    """Whether tests or tools may write the file while the server runs."""
    parts = path.relative_to(ROOT).parts
    return any(part.startswith(".") or part in ("__pycache__", "out") for part in parts)


def _touched(path: Path, watched: Path) -> tuple[int, int, int]:
    """Size and times of a file; the time of reading only in ``watched``, since the program reads its own sources."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_atime_ns if path.is_relative_to(watched) else 0


def _plant(folder: Path) -> None:
    """Write a secret, a loadable model and a readable text, all with an old time of reading."""
    work, home = folder / "work", folder / "home"
    for tree in (work / "model", home / ".ssh", folder / "runs", folder / "scratch"):
        tree.mkdir(parents=True)
    loaded = tiny.language_model()
    loaded.model.save_pretrained(work / "model")
    loaded.tokenizer.save_pretrained(work / "model")
    (work / "secret.txt").write_text(f"{SECRET}\n\n" * 200)
    (work / "secret.json").write_text(f'{{"text": "{SECRET}"}}')
    (home / ".ssh" / "id").write_text(SECRET)
    for path in [*work.rglob("*"), *home.rglob("*")]:
        os.utime(path, (1_000_000_000, path.stat().st_mtime))


@pytest.fixture(scope="module")
def trap() -> Iterator[tuple[str, list[str]]]:
    """A server on the loopback address that must get no request: its address and the requested paths."""
    calls: list[str] = []

    class Handler(loopback.Handler):
        def answer(self) -> None:
            calls.append(self.path)
            self.send(200, SECRET.encode())

    with loopback.serving(Handler) as address:
        yield address, calls


@pytest.fixture(scope="module")
def server(trap: tuple[str, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """``python -m app --profile public`` in its own process, after its model is loaded."""
    folder, bundle = tmp_path_factory.mktemp("hostile"), fetch_demo()
    _plant(folder)
    place = Place(folder, bundle, *trap)
    place.cache.mkdir()
    (place.cache / bundle.name).symlink_to(bundle)
    environment = {
        "HOME": str(folder / "home"),
        "LIAR_CACHE": str(place.cache),
        "LIAR_TEST_SECRET": SECRET,
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(place.scratch),
    }
    with serving(["-m", "app", "--profile", "public"], folder, folder / "work", **environment) as page:
        process = psutil.Process(page.pid)
        _wait_until_quiet(process)
        yield Server(Client(page.port), process, page.log, place)


def _wait_until_quiet(process: psutil.Process) -> None:
    """Wait until the page has loaded its models, so that it opens no more files of them."""
    deadline, quiet = time.monotonic() + START_SECONDS, 0
    while quiet < 4:
        assert time.monotonic() < deadline, "the models are not loaded"
        quiet = quiet + 1 if process.cpu_percent(0.5) <= 20 else 0
