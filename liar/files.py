"""Package files, and writing of files and folders that appear complete or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from safetensors import SafetensorError

from liar.errors import StorageError

ASSETS = Path(__file__).resolve().parent / "assets"
"""Package data: pins of the demo packages, adapters of the demo classifiers, precomputed atlases and runs."""

_ABANDONED = 24 * 60 * 60


def check_writable(path: Path | None) -> None:
    """Refuse a file that cannot be written, before the long work starts; raises :class:`StorageError`."""
    if path is None:
        return
    folder = path.resolve().parent
    if not folder.is_dir():
        raise StorageError(f"The folder {folder} does not exist; create it or choose another place for {path.name}.")
    if path.is_dir() or not os.access(folder, os.W_OK):
        raise StorageError(f"{path} cannot be written; choose another file.")


def check_new_folder(folder: Path | None) -> None:
    """Refuse a folder that exists or cannot be created, before the long work starts; raises :class:`StorageError`."""
    if folder is None:
        return
    if folder.exists():
        raise StorageError(f"{folder} exists already; choose another name, or move it away.")
    parent = folder.resolve().parent
    if not parent.is_dir():
        raise StorageError(f"The folder {parent} does not exist; create it or choose another place for {folder.name}.")
    if not os.access(parent, os.W_OK):
        raise StorageError(f"{folder} cannot be made, {parent} is read-only; choose another place.")


def cache_folder() -> Path:
    """Folder of all downloads: ``$LIAR_CACHE``, else ``$XDG_CACHE_HOME/liar``, else ``~/.cache/liar``."""
    if chosen := os.environ.get("LIAR_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "liar"


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a hidden folder beside ``folder`` to write into; rename it to ``folder`` at the end.

    Raises :class:`StorageError` and then leaves nothing behind; a killed process leaves no ``folder``, and its hidden one is
    deleted by the next call in the same place that comes a day later.
    """
    check_new_folder(folder)
    _sweep(folder.resolve().parent)
    with _storage_errors(folder):
        partial = Path(tempfile.mkdtemp(dir=folder.resolve().parent, prefix=f".{folder.name}-", suffix=".partial"))
        try:
            yield partial
            for path in (partial, *partial.rglob("*")):  # mkdtemp and some writers create private ones
                path.chmod(0o755 if path.is_dir() else 0o644)
            os.rename(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _storage_errors(place: Path) -> Iterator[None]:
    """Turn errors of the system, and those of safetensors, while ``place`` is written into :class:`StorageError`."""
    try:
        yield
    except (OSError, SafetensorError) as error:  # safetensors has its own for a full disk
        reason = getattr(error, "strerror", None) or str(error)
        raise StorageError(
            f"{place} could not be written ({reason}); make room there or choose another place."
        ) from error


def _sweep(parent: Path) -> None:
    """Delete the hidden folders in ``parent`` that processes killed more than :data:`_ABANDONED` seconds ago have left."""
    for path in parent.glob(".*-????????.partial"):  # as mkdtemp names them
        with suppress(OSError):  # another process may delete it too
            if path.is_dir() and not path.is_symlink() and time.time() - path.stat().st_mtime > _ABANDONED:
                shutil.rmtree(path, ignore_errors=True)


def pack(folder: Path, archive: Path) -> None:
    """Write ``folder``, under its own name, into the zip ``archive``, uncompressed because weights do not shrink.

    Raises :class:`StorageError` and then leaves no partial file.
    """
    with _whole_file(archive) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, str(path.relative_to(folder.parent)))


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace ``path`` by ``content`` (text as UTF-8) in one step.

    Raises :class:`StorageError` and then leaves no partial file.
    """
    with _whole_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def _whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a hidden file beside ``path``, which it replaces at the end."""
    with _storage_errors(path):
        # In the same folder, because a rename is atomic only within one file system.
        descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".partial")
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(descriptor)
            os.chmod(partial, 0o644)  # mkstemp creates it private
            os.replace(partial, path)
        finally:
            Path(partial).unlink(missing_ok=True)


def keep_in(folder: Path, name: str, content: str | bytes) -> Path:
    """Write ``content`` as ``name`` into a ``folder`` of stored results, created if missing; returns the path.

    Raises :class:`StorageError` and then leaves no partial file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The folder {folder} cannot be made ({error.strerror}); set LIAR_RUNS to another folder."
        ) from error
    write_atomically(folder / name, content)
    return folder / name
