"""The copied command and script repeat the run; the downloaded files hold its figures."""

from __future__ import annotations

import csv
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import liar
from liar import cli
from liar.cli import prune
from liar.events import Finished
from liar.report.export import as_command, as_json, as_python, file_stem, program_here, sites_csv
from liar.results import RunResult
from liar.spec import RECONSTRUCTIONS, PruneSpec
from tests.components.test_recipe import FULL
from tests.fakes import classifier_run, language_run

ROOT = Path(__file__).resolve().parents[2]

SPECS = [
    PruneSpec(),
    FULL.model_copy(
        update={
            "model": "my models/it's $HOME `here`",
            "calibration": 'a "text";.txt',
            "ratio": 1 / 3,
            "device": "cuda:1",
        }
    ),
    PruneSpec(model="--help", calibration="-x.txt"),
    PruneSpec(model="C:\\models\\zwölf\n"),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.model)
def test_command_and_script_hold_the_whole_spec(
    spec: PruneSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs: list[PruneSpec] = []
    saved: list[Path] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prune, "watched_run", lambda spec: specs.append(spec) or Finished(language_run(depth=1)))
    monkeypatch.setattr(prune, "_save", lambda folder, *_: saved.append(folder))
    program, *arguments = shlex.split(as_command(spec))
    done = CliRunner().invoke(cli.app, arguments)
    assert (program, done.exit_code, specs, saved) == ("liar", 0, [spec], [Path(file_stem(spec))]), done.output
    monkeypatch.setattr(liar, "run", lambda spec: specs.append(spec) or language_run(depth=1), raising=False)
    exec(compile(as_python(spec), "script", "exec"), {})
    assert specs == [spec, spec]


def test_the_program_is_called_as_a_shell_here_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After ``make demo`` the program is in a folder that is not on the shell's PATH."""
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    for name in ("python", "liar"):
        (folder / name).write_text("#!/bin/sh\necho called\n")
        (folder / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    assert program_here() == ".venv/bin/liar"
    command = as_command(PruneSpec(), program_here())
    done = subprocess.run(["sh", "-c", command], check=False, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.stdout == "called\n", done.stderr
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    assert program_here() == "liar"
    (folder / "liar").unlink()
    assert program_here() == ".venv/bin/python -m liar"
    monkeypatch.chdir(folder)
    assert program_here() == "./python -m liar", "a bare name would be looked for on the path"
    monkeypatch.chdir("/usr")
    assert program_here() == f"{folder}/python -m liar"


def test_what_is_at_its_default_is_left_out() -> None:
    spec = PruneSpec(ratio=0.3, evaluate=("perplexity",))
    assert as_command(spec) == (
        "liar prune demo/smollm2-135m --ratio 0.3 --evaluate perplexity --save liar-smollm2-135m-ffn-30"
    )
    assert "criterion" not in as_python(spec)


@pytest.mark.long
def test_command_and_script_do_the_same_run_for_real(tmp_path: Path) -> None:
    from tests import tiny

    folder = tmp_path / "a tiny model's folder"
    loaded = tiny.language_model()
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    spec = PruneSpec(
        model=str(folder),
        calibration=tiny.letters_file(tmp_path),
        tokens=128,
        sequence_length=32,
        device="cpu",
        dtype="float32",
        edits=("layers.0.ffn:ratio=0",),
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHON": sys.executable}
    command = f'liar() {{ "$PYTHON" -m liar "$@"; }}\n{as_command(spec)} --json run.json'
    results: list[RunResult] = []
    for arguments in (["sh", "-c", command], [sys.executable, "-c", as_python(spec)]):
        done = subprocess.run(
            arguments, check=False, capture_output=True, text=True, timeout=300, cwd=tmp_path, env=environment
        )
        assert done.returncode == 0, done.stderr
        written = tmp_path / "run.json"
        results.append(RunResult.model_validate_json(written.read_text() if "sh" in arguments else done.stdout))
    by_command, by_script = results
    assert by_command.spec == by_script.spec == spec
    assert by_command.sites == by_script.sites
    assert by_command.sites[0].kept == by_command.sites[0].units > by_command.sites[1].kept


def test_the_table_holds_both_errors_of_every_site_and_json_the_whole_run() -> None:
    run = classifier_run()
    assert RunResult.model_validate_json(as_json(run)) == run
    rows = list(csv.DictReader(io.StringIO(sites_csv(run))))
    assert [(row["site"], int(row["kept"])) for row in rows] == [(site.name, site.kept) for site in run.sites]
    for row, site in zip(rows, run.sites, strict=True):
        assert {name: float(row[f"error_{name}"]) for name in RECONSTRUCTIONS} == site.error
        assert {name: float(row[f"norm_aware_error_{name}"]) for name in RECONSTRUCTIONS} == site.norm_aware_error


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t"])
def test_a_spreadsheet_computes_nothing(start: str) -> None:
    run = language_run(depth=1)
    name = f'{start}HYPERLINK("http://example.org")'
    named = run.model_copy(update={"sites": [run.sites[0].model_copy(update={"name": name})]})
    assert next(csv.DictReader(io.StringIO(sites_csv(named))))["site"] == f"'{name}"


@pytest.mark.parametrize(
    ("choices", "stem"),
    [
        ({"model": "owner/name@refs/pr/3"}, "name-refs-pr-3-ffn-50"),
        ({"model": "C:\\models\\My Model\\", "ratio": 0.07}, "my-model-ffn-7"),
        ({"model": "../../..", "ratio": 0.125}, r"model-ffn-12\.5"),
        ({"evaluate": ("perplexity",)}, "smollm2-135m-ffn-50"),
        ({"seed": 2}, "smollm2-135m-ffn-50-seed-2"),
        (
            {"criterion": "magnitude", "schedule": "one-shot", "seed": 2},
            "smollm2-135m-ffn-50-magnitude-one-shot-seed-2",
        ),
        ({"criterion": "custom:My_rule", "reconstruction": "liar"}, "smollm2-135m-ffn-50-custom-my-rule-liar"),
        ({"edits": ("layers.0.ffn:keep=1",)}, "smollm2-135m-ffn-50-[0-9a-f]{6}"),
        ({"tokens": 4096, "allocation": "uniform"}, "smollm2-135m-ffn-50-uniform-[0-9a-f]{6}"),
    ],
)
def test_files_have_readable_names_with_what_is_no_default(choices: dict[str, Any], stem: str) -> None:
    assert re.fullmatch(f"liar-{stem}", file_stem(PruneSpec(**choices)))


def test_runs_that_prune_differently_have_names_of_their_own() -> None:
    others: list[dict[str, Any]] = [{}, {"tokens": 4096}, {"tokens": 8192}, {"edits": ("layers.0.ffn:keep=1",)}]
    others += [{"calibration": "films"}, {"criterion": "obs"}, {"schedule": "sequential"}, {"dtype": "bfloat16"}]
    assert len({file_stem(PruneSpec(**choices)) for choices in others}) == len(others)
