"""The command line: names, JSON, and one sentence with exit code 2 for every expected failure."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from liar import __version__
from liar.cli import COMMANDS
from liar.presets import PRESETS, meant
from liar.report.costs import CostsResult
from liar.results import EvaluationResult, RunResult
from liar.save.checkpoint import save_model
from liar.spec import ALLOCATIONS, CRITERIA, RECONSTRUCTIONS, SCHEDULES
from liar.store import RunStore
from liar.tasks.registry import TASKS
from tests.fakes import language_run, run_of_chain
from tests.shipped import shipped_run
from tests.tiny import classifier, language_model

ROOT = Path(__file__).parents[2]


def liar(*arguments: str, timeout: float = 300, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "liar", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", **environment},
    )


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence of an expected failure, asserted to have exit code 2 and no traceback."""
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr + done.stdout
    found = re.search(r"Error: (.*)", done.stderr)
    assert found is not None, done.stderr
    return found[1]


def test_names_to_type_are_never_cut() -> None:
    for command, names in (("tasks", [task.name for task in TASKS]), ("models", [preset.id for preset in PRESETS])):
        lines = liar(command, COLUMNS="60").stdout.splitlines()
        assert [word for word in (line.split()[0] for line in lines if line[1:2].strip()) if word in names] == names


def test_help_is_quick_and_names_every_command() -> None:
    start = time.perf_counter()
    done = liar("--help")
    assert time.perf_counter() - start < 10
    assert all(command in done.stdout for command in ("Usage:", *COMMANDS))
    for arguments in (("-h",), ("prune", "-h")):
        done = liar(*arguments)
        assert (done.returncode, "Usage:" in done.stdout) == (0, True)


def test_the_version_is_printed() -> None:
    assert liar("--version").stdout == f"liar {__version__}\n"


def test_the_help_of_prune_has_groups_and_examples_in_eighty_columns() -> None:
    lines = liar("prune", "--help", COLUMNS="80").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    groups = [line.strip("╭─╮ ") for line in lines if line.startswith("╭")]
    assert groups == ["Arguments", "Options", "What goes", "Repair", "Text", "Measure", "Save"]
    assert sum(line.startswith(" liar prune") for line in lines) == 3
    text = " ".join(line.strip("│ ") for line in lines)
    assert all(f" {name}" in text for name in (*CRITERIA, *ALLOCATIONS, *RECONSTRUCTIONS, *SCHEDULES)), "none is cut"


@pytest.mark.demo
def test_prune_writes_the_promised_json(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    recipe = "--targets both --criterion obs --ratio 0.5 --allocation uniform --reconstruction liar --schedule one-shot"
    text = "--calibration sentiment --tokens 2000 --sequence-length 64 --seed 3 --device cpu --dtype float32"
    measured = "--evaluate sentiment --evaluate-limit 100 --json"
    done = liar("prune", "demo/minilm-sentiment", *f"{recipe} {text} {measured}".split(), str(path))
    assert done.returncode == 0, done.stderr
    written = json.loads(path.read_text())
    about, measured = {"schema_version", "spec", "model", "environment"}, {"sites", "totals", "evaluations", "timings"}
    assert set(written) >= about | measured
    assert written["spec"]["seed"] == 3
    assert set(written["model"]) == {"id", "family", "layers", "parameters"}
    assert len(written["sites"]) == 12
    for site in written["sites"]:
        assert site["units"] == {"ffn": 1536, "attention": 12}[site["kind"]]
        assert site["kept"] == site["units"] // 2 == len(site["kept_units"])
        assert list(site["error"]) == list(site["norm_aware_error"]) == list(RECONSTRUCTIONS)
    assert {item["variant"] for item in written["evaluations"]} == {"dense", "pruned", "reconstructed"}
    for item in written["evaluations"]:
        assert item["n"] == 100
        assert 0 <= item["value"] <= 1
        assert item["stderr"] > 0
    RunResult.model_validate(written)


@pytest.mark.demo
def test_evaluate_writes_json(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    done = liar("evaluate", "demo/minilm-topic", "--task", "topic", "--limit", "50", "--json", str(path))
    assert done.returncode == 0, done.stderr
    assert EvaluationResult.model_validate_json(path.read_text()).evaluations[0].n == 50


@pytest.mark.long
def test_measure_writes_what_it_prints(tmp_path: Path) -> None:
    for name, model in {"dense": classifier(), "other": classifier(labels=("a", "b", "c"))}.items():
        save_model(model, tmp_path / name)
    path = tmp_path / "costs.json"
    folders = [str(tmp_path / name) for name in ("dense", "other")]
    done = liar("measure", *folders, "--prompt-tokens", "16", "--repeats", "2", "--json", str(path))
    assert done.returncode == 0, done.stderr
    result = CostsResult.model_validate_json(path.read_text())
    assert (result.context, result.repeats) == (16, 2)
    assert result.dense.bytes_on_disk == (tmp_path / "dense" / "model.safetensors").stat().st_size
    assert result.pruned.model.parameters - result.dense.model.parameters == 32 + 1, "one more label"
    for words in ("parameters", "MACs a token", "bytes on disk", "texts of 16 tokens a second", "Nothing was saved"):
        assert words in done.stdout
    assert "above the 64 positions" in sentence(liar("measure", *folders, "--prompt-tokens", "500"))
    save_model(language_model(), tmp_path / "llama")
    assert "language model" in sentence(liar("measure", folders[0], str(tmp_path / "llama")))
    assert "no/such" in sentence(liar("measure", folders[0], "no/such/folder"))
    assert "does not exist" in sentence(liar("measure", *folders, "--json", "/no/such/folder/costs.json"))


@pytest.mark.demo
@pytest.mark.parametrize(
    ("model", "choices", "expected"),
    [
        ("minilm-sentiment", "--calibration /no/such/file.txt", "/no/such/file.txt"),
        ("minilm-sentiment", "--evaluate perplexity --tokens 500", "erplexity"),
        ("minilm-sentiment", "--json /no/such/folder/run.json", "folder /no/such/folder does not exist"),
        ("smollm2-135m", "--targets heads --ratio 0.9", r"layers\.0\.attention"),
    ],
)
def test_bad_choices_are_refused_in_one_sentence(model: str, choices: str, expected: str) -> None:
    assert re.search(expected, sentence(liar("prune", f"demo/{model}", *choices.split())))


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ("--ratio 0.5 --parameters 0.95", ["--ratio and --parameters ask for more than one ratio; keep one of them."]),
        ("--ratio 0.5 --size 60MB", ["--ratio and --size ask for more than one ratio; keep one of them."]),
        ("--ratio 0.5 --loss 1.5", ["--ratio and --loss ask for more than one ratio; keep one of them."]),
        ("--parameters 0.8 --size 60MB", ["--parameters and --size ask for more than one ratio"]),
        ("--tokens many", ["a whole number from 1 to 10,000,000 or 'auto'"]),
        (
            "--ratio 2 --seed -1 --edit layers.0:gone --device abacus",
            ["The ratio must be", "seed must be", "'layers.0:gone' is no edit", "device should"],
        ),
    ],
)
def test_what_no_model_could_do_is_refused_before_one_is_loaded(choices: str, expected: list[str]) -> None:
    message = sentence(liar("prune", "demo/minilm", *choices.split()))
    assert all(words in message for words in expected), message


def test_a_mistyped_demo_model_is_guessed() -> None:
    assert sentence(liar("prune", "demo/minilm-sentment")).endswith("; did you mean 'demo/minilm-sentiment'?")
    assert meant("smollm2-135m") == "did you mean 'demo/smollm2-135m'?"
    assert meant("somebody/else") is None


def test_report_reads_a_compressed_run(tmp_path: Path) -> None:
    path = RunStore(shipped=tmp_path).ship(language_run())
    assert liar("report", str(path)).returncode == 0
    assert "110.7" in (tmp_path / f"{path.name.partition('.')[0]}.html").read_text()
    path.write_bytes(path.read_bytes()[:-20])
    assert "cannot be read" in sentence(liar("report", str(path), "--force"))


def test_report_writes_a_page_next_to_the_run_and_replaces_it_only_if_asked_to(tmp_path: Path) -> None:
    run, page, other = (tmp_path / name for name in ("run.json", "run.html", "other.html"))
    run.write_text(language_run().model_dump_json())
    page.write_text("mine")
    for arguments in ((), ("--out", str(page))):
        assert f"{page} exists already; replace it with --force" in sentence(liar("report", str(run), *arguments))
        assert page.read_text() == "mine"
    assert liar("report", str(run), "--force").returncode == 0
    assert "110.7" in page.read_text()
    assert liar("report", str(run), "--out", str(other)).returncode == 0
    assert other.read_text() == page.read_text()


def test_an_interactive_report_takes_the_stored_curves(tmp_path: Path) -> None:
    shipped, path = shipped_run("demo/minilm-topic"), tmp_path / "run.json"
    path.write_text(shipped.model_dump_json())
    assert liar("report", str(path), "--interactive").returncode == 0
    stored = (tmp_path / "run.html").read_text()
    assert '<select id="allocation">' in stored
    assert liar("report", str(path), "--force").returncode == 0
    assert (tmp_path / "run.html").read_text() == stored, "stored curves are taken unasked"
    assert liar("report", str(path), "--all-criteria", "--force").returncode == 0
    assert '<select id="criterion">' in (tmp_path / "run.html").read_text()
    own = shipped.model_copy(update={"spec": shipped.spec.model_copy(update={"criterion": "custom:my_own"})})
    path.write_text(own.model_dump_json())
    assert "custom:my_own is a function of one program" in sentence(
        liar("report", str(path), "--interactive", "--force")
    )
    path.write_text(run_of_chain().model_dump_json())
    assert "not of one that lost tokens or layers" in sentence(liar("report", str(path), "--interactive", "--force"))


@pytest.mark.demo
def test_an_interactive_report_draws_the_curves_that_are_not_stored(tmp_path: Path) -> None:
    shipped, path = shipped_run("demo/minilm-sentiment"), tmp_path / "run.json"
    little = {"tokens": 512, "criterion": "fluctuation"}
    path.write_text(shipped.model_copy(update={"spec": shipped.spec.model_copy(update=little)}).model_dump_json())
    assert liar("report", str(path), "--interactive").returncode == 0
    assert "criterion fluctuation" in (tmp_path / "run.html").read_text()


@pytest.mark.parametrize(
    ("content", "out", "expected"),
    [
        (None, "page.html", "run.json cannot be read"),
        ("{", "page.html", "run.json holds no run"),
        ('{"ratios": []}', "page.html", "run.json holds no run"),
        (language_run(depth=1).model_dump_json(), "run.json", "would replace"),
        (language_run(depth=1).model_dump_json(), "no/such/page.html", "does not exist"),
    ],
)
def test_report_refuses_in_one_sentence(tmp_path: Path, content: str | None, out: str, expected: str) -> None:
    run = tmp_path / "run.json"
    if content is not None:
        run.write_text(content)
    assert expected in sentence(liar("report", str(run), "--out", str(tmp_path / out)))
    assert [path.name for path in tmp_path.iterdir()] == ([] if content is None else ["run.json"])


def test_the_course_is_written_complete_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "course"
    assert liar("course", "--out", str(folder)).returncode == 0
    assert len(list(folder.glob("*.html"))) == 12
    assert "exists already" in sentence(liar("course", "--out", str(folder)))
    assert "does not exist" in sentence(liar("course", "--out", str(tmp_path / "no" / "such")))


@pytest.mark.parametrize("name", ["colour", "--nonsense"])
def test_unknown_options_and_commands_exit_with_2(name: str) -> None:
    done = liar(name)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.long
@pytest.mark.demo
def test_nothing_is_written_by_a_killed_or_interrupted_run(tmp_path: Path) -> None:
    for kind, code in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
        process = subprocess.Popen(
            [sys.executable, "-m", "liar", "prune", "demo/smollm2-135m", "--json", str(tmp_path / "run.json")],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            # A test runner in the background ignores SIGINT, and its children would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
        try:
            time.sleep(8)
            process.send_signal(kind)
            errors = process.communicate(timeout=60)[1]
        finally:
            process.kill()
        assert process.returncode == code, errors
        assert "Traceback" not in errors
        assert list(tmp_path.iterdir()) == []


@pytest.mark.long
@pytest.mark.demo
def test_a_need_takes_the_place_of_the_ratio(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    recipe = ("demo/minilm-sentiment", "--targets", "both", "--tokens", "512", "--evaluate-limit", "20")
    done = liar("prune", *recipe, "--parameters", "0.85", "--json", str(path))
    assert done.returncode == 0, done.stderr
    result = RunResult.model_validate_json(path.read_text())
    assert f"A ratio of {result.spec.ratio:g} meets that: 84.6 % of the parameters are left." in done.stdout
    assert result.totals.parameters_after / result.totals.parameters_before == pytest.approx(0.85, abs=0.01)
    assert "leaves less than 50.5 MB; ask for at least that" in sentence(liar("prune", *recipe, "--size", "20MB"))
    assert "ask for a share of the parameters or a size" in sentence(liar("prune", *recipe, "--loss", "1.5"))
