"""Files that a visitor downloads: they lie in the temporary folder of Gradio, which serves no other folder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.blocks import Block

from components.shared import status
from components.shared.browser import DOWNLOAD
from components.shared.panel import UNQUEUED, Updates
from liar.errors import LiarError, StorageError
from liar.files import write_atomically
from liar.report.export import file_stem
from liar.spec import PruneSpec

Content = tuple[PruneSpec, str, str]
"""Recipe of the run or table that a file is about, the ending of the file's name, and its text."""


class Download:
    """Hidden button of files in the folder ``name``; the line ``problem`` shows why one could not be made."""

    def __init__(self, name: str, problem: gr.HTML) -> None:
        self.name, self.problem, self.file = name, problem, gr.DownloadButton(visible="hidden")

    def wire(self, button: gr.Button, content: Callable[..., Content], *inputs: Block) -> None:
        """Let one click on ``button`` make the file and the browser save it."""
        made = button.click(partial(self.make, content), list(inputs), [self.file, self.problem], **UNQUEUED)
        made.success(None, self.file, None, js=DOWNLOAD, **UNQUEUED)

    def make(self, content: Callable[..., Content], *values: Any) -> Updates:
        """Write the ``content`` of these values as a file, or show the sentence about why there is none."""
        try:
            spec, ending, text = content(*values)
            path = served_folder(self.file, self.name, spec.key) / f"{file_stem(spec)}{ending}"
            write_atomically(path, text)
        except LiarError as error:
            return {self.file: None, self.problem: status.problem(str(error))}
        return {self.file: str(path), self.problem: ""}


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
