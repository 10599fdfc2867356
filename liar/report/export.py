"""A run as text for other tools: a command, a script, a CSV table, JSON. No file is written here."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from liar.presets import preset_of, split_revision
from liar.results import MaskCell, MaskTable, RunResult
from liar.spec import RECONSTRUCTIONS, PruneSpec

_OPTIONS = {"edits": "edit"}
"""Choices whose command line option has another name."""

_NAMED = ("criterion", "allocation", "reconstruction", "schedule")
"""Choices that a file name has in words if they are no defaults."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def as_command(spec: PruneSpec, program: str = "liar") -> str:
    """Command ``liar prune`` that runs ``spec`` and saves the smaller model to a new folder of the working directory.

    Choices at their defaults are left out, but for the allocation of a model that may be an embedder, whose default is another.
    ``program`` is the command that starts ``liar``, see :func:`program_here`.
    """
    options: list[str] = []
    preset = preset_of(spec.model)
    is_usual = preset is not None and preset.allocation == spec.allocation
    if spec.allocation == PruneSpec().allocation and not is_usual:
        options += ["--allocation", spec.allocation]
    for name, value in _chosen(spec).items():
        option = f"--{_OPTIONS.get(name, name).replace('_', '-')}"
        if isinstance(value, bool):
            options.append(option if value else f"--no-{name}")
            continue
        for item in value if isinstance(value, tuple) else (value,):
            options += [option, str(item)]
    options += ["--save", file_stem(spec)]
    if spec.model.startswith("-"):  # a folder of that name; arguments after -- are not options
        return f"{program} {shlex.join(['prune', *options, '--', spec.model])}"
    return f"{program} {shlex.join(['prune', spec.model, *options])}"


def program_here() -> str:
    """Command that starts the ``liar`` of this interpreter's environment from the working directory.

    ``liar`` if PATH leads to it, else the path of the script (``.venv/bin/liar``), else the interpreter's ``-m liar``.
    """
    installed = shutil.which("liar", path=str(Path(sys.executable).parent))
    found = shutil.which("liar")
    if installed and found and Path(found).samefile(installed):
        return "liar"
    called = installed or sys.executable
    if Path(called).is_relative_to(Path.cwd()):
        called = str(Path(called).relative_to(Path.cwd()))
        called = called if os.sep in called else f".{os.sep}{called}"  # a shell searches a bare name on PATH only
    return shlex.quote(called) + ("" if installed else " -m liar")


def as_python(spec: PruneSpec) -> str:
    """Python script that runs ``spec`` and prints the result as JSON; choices at their defaults are left out."""
    choices = {"model": spec.model, **_chosen(spec)}
    arguments = "".join(f"    {name}={_literal(value)},\n" for name, value in choices.items())
    return (
        f"import liar\n\nspec = liar.PruneSpec(\n{arguments})\n"
        "result = liar.run(spec)\nprint(result.model_dump_json(indent=1))\n"
    )


def as_json(result: BaseModel) -> str:
    """All of ``result`` as JSON, one value a line; ``liar report`` reads a RunResult."""
    return result.model_dump_json(indent=1) + "\n"


def sites_csv(result: RunResult) -> str:
    """CSV with a line for each site: units, kept units, then ``error`` and ``norm_aware_error`` of each reconstruction.

    Errors are shares of the output's energy, see :class:`liar.results.SiteReport`.
    """
    columns = [(kind, name) for kind in ("error", "norm_aware_error") for name in RECONSTRUCTIONS]
    rows: list[list[Any]] = [["site", "layer", "kind", "units", "kept", *(f"{kind}_{name}" for kind, name in columns)]]
    for site in result.sites:
        errors = [getattr(site, kind).get(name, "") for kind, name in columns]
        # A spreadsheet would compute such a name as a formula.
        name = f"'{site.name}" if site.name.startswith(_FORMULA_STARTS) else site.name
        rows.append([name, site.layer, site.kind, site.units, site.kept, *errors])
    return _csv(rows)


def mask_table_csv(table: MaskTable) -> str:
    """CSV, a line for each cell: criterion, reconstruction, mean error of the sites, task, metric, standard error, n."""
    return _csv(
        [MaskCell.model_fields, *([getattr(cell, name) for name in MaskCell.model_fields] for cell in table.cells)]
    )


def _csv(rows: Iterable[Iterable[Any]]) -> str:
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    return file.getvalue()


def file_stem(spec: PruneSpec) -> str:
    """Name of a file about ``spec``, without its ending: ``liar-smollm2-135m-ffn-50``, with what differs from the defaults.

    How it prunes stands there in words, such as ``-magnitude-one-shot`` or ``-seed-3``; any other choice but the tasks as
    six digits of the run's key. So the files of two runs replace each other only if they differ in what was measured.
    """
    id, revision = split_revision(spec.model)
    last = "-".join([re.split(r"[/\\]", id.rstrip("/\\"))[-1], *([revision] if revision else [])])
    chosen = _chosen(spec)
    words = [_simple(chosen[name]) for name in _NAMED if name in chosen]
    words += [f"seed-{spec.seed}"] if spec.seed else []
    words += [spec.key[:6]] if chosen.keys() - {*_NAMED, "targets", "ratio", "layers", "seed", "evaluate"} else []
    layers = [f"layers-{100 * spec.layers:g}"] if spec.layers else []
    return "-".join(["liar", _simple(last) or "model", *layers, spec.targets, f"{100 * spec.ratio:g}", *words])


def _simple(text: str) -> str:
    """``text`` in small letters, digits and hyphens, 60 at most."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60]


def _chosen(spec: PruneSpec) -> dict[str, Any]:
    """Choices that differ from their defaults, without the model."""
    return spec.model_dump(exclude_defaults=True, exclude={"model"})


def _literal(value: Any) -> str:
    """Python source of a choice, with double quotes instead of the single ones of ``repr``."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))},)"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
