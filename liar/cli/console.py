"""Output of the commands: results on stdout, progress and notes on stderr; of several processes the first one's."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from liar.cli.startup import is_first_process
from liar.errors import LiarError
from liar.events import Progress as Step
from liar.events import Warned
from liar.files import write_atomically
from liar.progress import finish
from liar.report.export import as_json
from liar.report.words.sentences import duration

T = TypeVar("T")

console = Console(quiet=not is_first_process())
errors = Console(stderr=True, quiet=not is_first_process())


def print_error(error: LiarError) -> None:
    """The sentence of an error, from any process."""
    sentence = f"[red]Error:[/red] {escape(str(error))}"
    Console(stderr=True).print(sentence, highlight=False, soft_wrap=True)


def write(path: Path | None, result: BaseModel) -> None:
    """Write ``result`` as JSON to ``path``, if one is given."""
    if path is not None:
        write_atomically(path, as_json(result))
        console.print(f"Written to {path}")


class _Left(TimeRemainingColumn):
    """Time left by the estimate of the job, or by that of the bar if the job has none."""

    def render(self, task: Task) -> Text:
        left = task.fields.get("seconds_left")
        return super().render(task) if left is None else Text(f"{duration(left)} left", style="progress.remaining")


@contextmanager
def progress() -> Iterator[Progress]:
    """Progress bars on stderr, removed at the end."""
    share = TextColumn("{task.percentage:>3.0f} %")
    columns = (TextColumn("{task.description}"), BarColumn(), share, TimeElapsedColumn(), _Left())
    with Progress(*columns, console=errors, transient=True) as bar:
        yield bar


def fraction(bar: Progress) -> Callable[[str, float], None]:
    """Add a bar; return its callback of (message, fraction)."""
    row = bar.add_task("", total=1.0)
    return lambda message, fraction: bar.update(row, description=message, completed=fraction)


def counted(bar: Progress, description: str) -> Callable[[tuple[int, int]], None]:
    """Add a bar; return its callback of (done, total)."""
    row = bar.add_task(description, total=None)
    return lambda step: bar.update(row, completed=step[0], total=step[1])


def watched(job: Callable[[], Generator[Any, None, T]]) -> T:
    """Start a whole job and run it to its end, with one bar for its progress; its cautions are printed as notes."""
    with progress() as bar:
        row = bar.add_task("", total=None)

        def show(event: Any) -> None:
            if isinstance(event, Step):
                counted = f", {event.done} of {event.total}" if event.total > 1 else ""
                known: dict[str, float] = {} if event.share is None else {"completed": event.share, "total": 1.0}
                bar.update(row, description=f"{event.message}{counted}", seconds_left=event.seconds_left, **known)  # type: ignore[arg-type]
            elif isinstance(event, Warned):
                errors.print(f"Note: {event.message}", style="yellow")

        return finish(job(), show)
