"""The command that writes the course as a static site."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from liar.cli.console import console
from liar.files import check_new_folder, whole_folder


def course_command(
    out: Annotated[Path, typer.Option(help="Folder of the site, which does not exist yet.", show_default=False)],
) -> None:
    """Write the lessons as a static site that any web host serves; it loads no model and needs no network."""
    check_new_folder(out)
    from liar.course.site import pages

    found = pages()
    with whole_folder(out) as folder:
        for name, content in found.items():
            (folder / name).write_text(content, encoding="utf-8")
    console.print(f"Written to {out}: open {out / 'index.html'}")
