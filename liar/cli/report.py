"""Commands that write pages: the report of a finished run, and the course as a static site."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from liar.cli.console import console, watched
from liar.errors import LiarError
from liar.explore.atlas import Atlas
from liar.explore.atlas_store import AtlasStore
from liar.files import check_writable, whole_folder, write_atomically
from liar.results import RunResult
from liar.spec import CRITERIA, PruneSpec
from liar.store import content_of


def report_command(
    run: Annotated[
        Path,
        typer.Argument(help="What `liar prune --json` wrote; it may be compressed (.json.gz).", show_default=False),
    ],
    out: Annotated[Path | None, typer.Option(help="The page; without it RUN with the ending .html.")] = None,
    interactive: Annotated[
        bool, typer.Option("--interactive", help="Calibrate the model if no error curves of its text are stored.")
    ] = False,
    all_criteria: Annotated[
        bool,
        typer.Option("--all-criteria", help="The criterion can be changed, too; calibrates as --interactive does."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Turn a finished run into one HTML file that opens without a network.

    Ratio, allocation and repair can be changed in it if error curves of the run's calibration text are stored.
    """
    result = _read_run(run)
    target = out or run.with_name(run.name.removesuffix(".gz")).with_suffix(".html")
    if target.resolve() == run.resolve():
        raise LiarError(f"The report would replace {run} itself; choose another file with --out.")
    check_writable(target)
    if target.exists() and not force:
        raise LiarError(f"{target} exists already; replace it with --force, or choose another file with --out.")
    from liar.report.pages.html import html_report

    if interactive or all_criteria:
        atlas: Atlas | None = _atlas_of(result.spec, CRITERIA if all_criteria else (result.spec.criterion,))
    else:
        atlas = AtlasStore().curves_of(result.spec)
    write_atomically(target, html_report(result, atlas, atlas.facts.criteria if atlas and all_criteria else ()))
    console.print(f"Written to {target}")


def _atlas_of(spec: PruneSpec, criteria: Sequence[str]) -> Atlas:
    """The stored atlas of a run, else one with the curves of these criteria alone, which is not stored."""
    if spec.criterion not in CRITERIA:
        raise LiarError(f"{spec.criterion} is a function of one program, so its curves cannot be drawn here.")
    if not spec.reads_dense:
        raise LiarError(
            "Curves are of heads and neurons in the dense model, not of one that lost tokens or layers first; leave out "
            "--interactive and --all-criteria."
        )
    stored = AtlasStore().find(spec)
    if stored is not None and set(criteria) <= set(stored.facts.criteria):
        return stored
    from liar.jobs.draw_atlas import atlas_steps
    from liar.loading.catalog import load_model

    chosen = [name for name in CRITERIA if name in criteria]
    return watched(lambda: atlas_steps(load_model(spec.model, spec.device, spec.dtype), spec, chosen))


def _read_run(path: Path) -> RunResult:
    try:
        return RunResult.model_validate_json(content_of(path))
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise LiarError(f"{path} cannot be read ({reason}); name a file that `liar prune --json` wrote.") from error
    except ValidationError as error:
        raise LiarError(f"{path} holds no run of this version; name a file that `liar prune --json` wrote.") from error


def course_command(
    out: Annotated[Path, typer.Option(help="Folder of the site, which does not exist yet.", show_default=False)],
) -> None:
    """Write the lessons as a static site that any web host serves; it loads no model and needs no network."""
    from liar.course.site import pages

    with whole_folder(out) as folder:
        for name, content in pages().items():
            (folder / name).write_text(content, encoding="utf-8")
    console.print(f"Written to {out}: open {out / 'index.html'}")
