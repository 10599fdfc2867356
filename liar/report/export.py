"""A run in forms that other tools take: a command, a script, a table, JSON. Text in memory; nothing is written here."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from liar.results import MaskCell, MaskTable, RunResult
from liar.spec import RECONSTRUCTIONS, PruneSpec

_OPTIONS = {"edits": "edit"}
"""Choices whose option has another name than the choice itself."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def as_command(spec: PruneSpec, program: str = "liar") -> str:
    """One ``liar prune`` line for a shell that does what ``spec`` says and saves the smaller model to a new folder here.

    Choices at their defaults are left out. ``program`` is how the shell finds ``liar``, see :func:`program_here`.
    """
    options: list[str] = []
    for name, value in _chosen(spec).items():
        option = f"--{_OPTIONS.get(name, name).replace('_', '-')}"
        for item in value if isinstance(value, tuple) else (value,):
            options += [option, str(item)]
    options += ["--save", file_stem(spec)]
    if spec.model.startswith("-"):  # a folder of that name: what follows a bare -- is no option
        return f"{program} {shlex.join(['prune', *options, '--', spec.model])}"
    return f"{program} {shlex.join(['prune', spec.model, *options])}"


def program_here() -> str:
    """How a shell in the working directory calls the ``liar`` of this interpreter's environment.

    Its bare name where the path has it, else ``.venv/bin/liar`` or wherever it is, else the interpreter's ``-m liar``.
    """
    beside = shutil.which("liar", path=str(Path(sys.executable).parent))
    found = shutil.which("liar")
    if beside and found and Path(found).samefile(beside):
        return "liar"
    called = beside or sys.executable
    if Path(called).is_relative_to(Path.cwd()):
        called = str(Path(called).relative_to(Path.cwd()))
        called = called if os.sep in called else f".{os.sep}{called}"  # a bare name is looked for on the path alone
    return shlex.quote(called) + ("" if beside else " -m liar")


def as_python(spec: PruneSpec) -> str:
    """A script that does what ``spec`` says and prints the result as JSON; choices at their defaults are left out."""
    choices = {"model": spec.model, **_chosen(spec)}
    arguments = "".join(f"    {name}={_literal(value)},\n" for name, value in choices.items())
    return (
        f"import liar\n\nspec = liar.PruneSpec(\n{arguments})\n"
        "result = liar.run(spec)\nprint(result.model_dump_json(indent=1))\n"
    )


def as_json(result: BaseModel) -> str:
    """Everything in ``result``, one value a line; a RunResult is read back by ``liar report``."""
    return result.model_dump_json(indent=1) + "\n"


def sites_csv(result: RunResult) -> str:
    """A line for each site: units, kept units, then ``error`` and ``norm_aware_error`` of each reconstruction.

    Errors are shares of the output's energy, see :class:`liar.results.SiteReport`.
    """
    file = io.StringIO()
    writer = csv.writer(file)
    kinds = ("error", "norm_aware_error")
    writer.writerow(
        ["site", "layer", "kind", "units", "kept", *(f"{kind}_{name}" for kind in kinds for name in RECONSTRUCTIONS)]
    )
    for site in result.sites:
        errors = [getattr(site, kind).get(name, "") for kind in kinds for name in RECONSTRUCTIONS]
        writer.writerow([_no_formula(site.name), site.layer, site.kind, site.units, site.kept, *errors])
    return file.getvalue()


def mask_table_csv(table: MaskTable) -> str:
    """A line for each cell: criterion, reconstruction, mean error of the sites, and the metric with standard error and n."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(MaskCell.model_fields)
    writer.writerows([getattr(cell, name) for name in MaskCell.model_fields] for cell in table.cells)
    return file.getvalue()


def file_stem(spec: PruneSpec) -> str:
    """What a file about ``spec`` is called, without its ending: ``liar-smollm2-135m-ffn-50``."""
    last = re.split(r"[/\\]", spec.model.rstrip("/\\"))[-1]
    model = re.sub(r"[^a-z0-9]+", "-", last.lower()).strip("-")[:60] or "model"
    return f"liar-{model}-{spec.targets}-{100 * spec.ratio:g}"


def _chosen(spec: PruneSpec) -> dict[str, Any]:
    """The choices that differ from their defaults, but for the model."""
    defaults = PruneSpec()
    values = {name: getattr(spec, name) for name in PruneSpec.model_fields if name != "model"}
    return {name: value for name, value in values.items() if value != getattr(defaults, name)}


def _literal(value: Any) -> str:
    """Python source of a choice, with double quotes where ``repr`` takes single ones."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))},)"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _no_formula(text: str) -> str:
    """``text`` as a spreadsheet shows it: a leading apostrophe keeps it from being computed."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
