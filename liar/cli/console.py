"""What a command prints: results on stdout, progress and notes on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from liar.export import as_json
from liar.files import write_atomically

console = Console()
errors = Console(stderr=True)


def write(path: Path | None, result: BaseModel) -> None:
    """Everything in ``result`` as JSON, where the user asked for it."""
    if path is not None:
        write_atomically(path, as_json(result))
        console.print(f"Written to {path}")


@contextmanager
def progress() -> Iterator[Progress]:
    """Bars on stderr, which are gone in the end."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
    ) as bar:
        yield bar


def fraction(bar: Progress) -> Callable[[str, float], None]:
    """A callback of (message, fraction) that moves a line of its own."""
    row = bar.add_task("", total=1.0)
    return lambda message, fraction: bar.update(row, description=message, completed=fraction)


def counted(bar: Progress, description: str) -> Callable[[int, int], None]:
    """A callback of (done, total) that moves a line of its own."""
    row = bar.add_task(description, total=None)
    return lambda done, total: bar.update(row, completed=done, total=total)
