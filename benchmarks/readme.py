"""Markdown tables, and writing them between the markers of the README."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return "\n".join([_row(*header), _row(*("---" for _ in header)), *(_row(*cells) for cells in rows)])


def write(name: str, text: str) -> None:
    """Replace the text between the README's markers of the section ``name``; exits if there are none."""
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    readme = README.read_text()
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), flags=re.DOTALL)
    if not pattern.search(readme):
        raise SystemExit(f"README.md has no {start.strip()} ... {end} to write between")
    README.write_text(pattern.sub(lambda _match: start + text + end, readme))


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"
