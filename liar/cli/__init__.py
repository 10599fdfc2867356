"""Command line: every expected failure is one sentence on stderr and exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated

import typer

from liar import __version__
from liar.cli import formats, measure, models, prune, report
from liar.cli.console import console, print_error
from liar.cli.startup import launched_processes, repeat_lost_interrupts, settle_threads
from liar.errors import InvalidSpecError, LiarError

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
    "export": formats.export_command,
    "evaluate": measure.evaluate_command,
    "measure": measure.measure_command,
    "report": report.report_command,
    "course": report.course_command,
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


@contextmanager
def joined() -> Iterator[None]:
    """Join the other processes, if there are any, for the time of the context.

    Exit with code 2 after a :class:`LiarError`, whose sentence is printed; of several processes that fail the first prints its
    own, whichever it is.
    """
    if launched_processes() == 1:
        try:
            yield
        except LiarError as error:
            print_error(error)
            sys.exit(2)
        return
    from liar.runtime import distributed
    from liar.runtime.environment import versions

    with distributed.joined() as group:
        try:
            group.settle(versions())
            yield
        except LiarError as error:
            group.fail(partial(print_error, error))
            sys.exit(2)


def main() -> None:
    """Console entry point."""
    settle_threads()
    repeat_lost_interrupts()
    with joined():
        app()
