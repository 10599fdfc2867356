"""Commands around the models: the demo bundle, the list of named models, adapters, and reports of finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import ValidationError
from rich.table import Table

from liar.cli.console import console, fraction, progress
from liar.errors import LiarError
from liar.files import check_writable, write_atomically
from liar.results import RunResult


def fetch_demo() -> None:
    """Download the demo models and texts (180 MB, once)."""
    from liar.models import demo

    with progress() as bar:
        folder = demo.fetch_demo(fraction(bar))
    console.print(f"The demo bundle is in {folder}")


def models() -> None:
    """List the named models; any other BERT or LLaMA id or folder works too."""
    from liar.presets import PRESETS

    table = Table("id", "what it is", "family", "task", "parameters", "licence", box=None)
    for preset in PRESETS:
        size = f"{preset.parameters:,.0f} M"
        table.add_row(preset.id, preset.title, preset.family, preset.task or "-", size, preset.licence)
    console.print(table)


def train_adapter_command(
    task: Annotated[Literal["sentiment", "topic"], typer.Argument(show_default=False)],
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Fine-tune MiniLM's head and LoRA adapter for a task on the CPU, and replace the shipped ones."""
    from liar.jobs.train_adapter import train_adapter

    with progress() as bar:
        train_adapter(task, seed, on_progress=fraction(bar))


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
