"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from liar.errors import StorageError


def check_writable(path: Path | None) -> None:
    """Refuse a file that could not be written, before any work is done for it; raises :class:`StorageError`."""
    if path is None:
        return
    folder = path.resolve().parent
    if not folder.is_dir():
        raise StorageError(f"The folder {folder} does not exist; create it or choose another place for {path.name}.")
    if path.is_dir() or not os.access(folder, os.W_OK):
        raise StorageError(f"{path} cannot be written; choose another file.")


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace ``path`` by ``content`` (text as UTF-8) in one step.

    Raises :class:`StorageError` and leaves nothing half written.
    """
    partial: str | None = None
    try:
        # In the same folder, because a rename is atomic only within one file system.
        with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=".", suffix=".partial", delete=False) as file:
            partial = file.name
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o644)  # the temporary file was private
        os.replace(partial, path)
    except OSError as error:
        if partial is not None:
            Path(partial).unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise StorageError(
            f"{path} could not be written ({reason}); make room there or choose another place."
        ) from error
