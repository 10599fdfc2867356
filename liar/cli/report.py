"""The command that turns a finished run into a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from liar.cli.console import console
from liar.errors import LiarError
from liar.files import check_writable, write_atomically
from liar.results import RunResult


def report_command(
    run: Annotated[Path, typer.Argument(help="What `liar prune --json` wrote.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="The page; without it RUN with the ending .html.")] = None,
) -> None:
    """Turn a finished run into one HTML file that opens without a network."""
    result = _read_run(run)
    target = out or run.with_suffix(".html")
    if target.resolve() == run.resolve():
        raise LiarError(f"The report would replace {run} itself; choose another file with --out.")
    check_writable(target)
    from liar.report.html import html_report

    write_atomically(target, html_report(result))
    console.print(f"Written to {target}")


def _read_run(path: Path) -> RunResult:
    try:
        return RunResult.model_validate_json(path.read_bytes())
    except OSError as error:
        reason = error.strerror or str(error)
        raise LiarError(f"{path} cannot be read ({reason}); name a file that `liar prune --json` wrote.") from error
    except ValidationError as error:
        raise LiarError(f"{path} holds no run of this version; name a file that `liar prune --json` wrote.") from error
