"""Command line: every expected failure is one sentence on stderr and exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer
from rich.markup import escape

from liar.cli import course, measure, models, prune, report
from liar.cli.console import errors
from liar.cli.startup import quiet_libraries, repeat_lost_interrupts, settle_threads
from liar.errors import LiarError

app = typer.Typer(
    help="Prune a BERT or a LLaMA, repair it in closed form, and see what happened.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
COMMANDS: dict[str, Callable[..., None]] = {
    "fetch-demo": models.fetch_demo,
    "models": models.models,
    "tasks": models.tasks,
    "prune": prune.prune,
    "push": prune.push_command,
    "evaluate": measure.evaluate_command,
    "measure": measure.measure_command,
    "curves": measure.curves_command,
    "report": report.report_command,
    "course": course.course_command,
    "train-adapter": models.train_adapter_command,
}
for name, command in COMMANDS.items():
    app.command(name)(command)


def main() -> None:
    """Console entry point."""
    settle_threads()
    quiet_libraries()
    repeat_lost_interrupts()
    try:
        app()
    except LiarError as error:
        errors.print(f"[red]Error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)
