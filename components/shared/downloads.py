"""Files that a visitor downloads: they lie in the temporary folder of Gradio, which serves no other folder."""

from __future__ import annotations

from pathlib import Path

from gradio.blocks import Block

from liar.errors import StorageError


def served_folder(component: Block, *names: str) -> Path:
    """Folder of these ``names`` for files of ``component``, created if it is missing.

    Raises :class:`StorageError` if it cannot be created.
    """
    folder = Path(component.GRADIO_CACHE, *names)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"The folder {folder} cannot be made ({error.strerror}); make room there.") from error
    return folder
