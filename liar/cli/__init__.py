"""Command line: every expected failure is one sentence on stderr and exit code 2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from liar import __version__
from liar.cli import course, measure, models, prune, report
from liar.cli.console import console
from liar.cli.joining import joined
from liar.cli.startup import (
    launched_processes,
    repeat_lost_interrupts,
    settle_threads,
)
from liar.errors import InvalidSpecError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: dict[str, Callable[..., None]] = {
    "fetch-demo": models.fetch_demo,
    "models": models.models,
    "tasks": models.tasks,
    "prune": prune.prune,
    "push": prune.push_command,
    "evaluate": measure.evaluate_command,
    "measure": measure.measure_command,
    "report": report.report_command,
    "course": course.course_command,
}
for name, command in COMMANDS.items():
    app.command(name, epilog=prune.EXAMPLES if name == "prune" else None)(command)


def _print_version(asked: bool) -> None:
    if asked:
        console.print(f"liar {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def check_processes(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Prune a BERT or a LLaMA, repair it in closed form, and see what happened."""
    if launched_processes() > 1 and context.invoked_subcommand != "prune":
        raise InvalidSpecError(
            f"{launched_processes()} processes were started, and only `liar prune` shares its work; run "
            f"`liar {context.invoked_subcommand}` in one."
        )


def main() -> None:
    """Console entry point."""
    settle_threads()
    repeat_lost_interrupts()
    with joined():
        app()
