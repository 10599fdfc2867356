"""Several processes of the command line: one result, one sentence for a failure of any of them, nothing half written."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from liar.results import RunResult
from liar.runtime import distributed
from liar.save.checkpoint import save_model
from tests.processes import ends, launch
from tests.tiny import LETTERS, language_model


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, one whose last block holds a NaN, and texts to calibrate and to measure."""
    folder = tmp_path_factory.mktemp("processes")
    save_model(language_model(), folder / "model")
    broken = language_model()
    with torch.no_grad():
        broken.adapter.consumer(broken.adapter.sites("ffn")[-1]).weight[0, 0] = torch.nan
    save_model(broken, folder / "broken")
    (folder / "notes.txt").write_text(notes(0, 200))
    (folder / "others.txt").write_text(notes(1, 60))
    return folder


def notes(seed: int, paragraphs: int) -> str:
    draw = random.Random(seed)
    return "\n\n".join(" ".join(draw.choices(LETTERS, k=60)) for _ in range(paragraphs))


def recipe(home: Path, model: str = "model", tokens: int = 4096) -> list[str]:
    calibration = ("--calibration", str(home / "notes.txt"), "--tokens", str(tokens), "--sequence-length", "64")
    measured = ("--data", str(home / "others.txt"), "--evaluate", "perplexity", "--evaluate-limit", "4")
    return ["prune", str(home / model), *calibration, *measured, "--evaluate-length", "64"]


def sentences(done: list[tuple[int, str, str]]) -> list[str]:
    """Errors printed by any of the processes, each of which has to end with exit code 2 and no traceback."""
    for code, _, said in done:
        assert code == 2, done
        assert "Traceback" not in said
    return [found for _, _, said in done for found in re.findall(r"Error: (.*)", said)]


def test_two_processes_under_torchrun_make_what_one_makes(home: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "liar"]
    for start, path in ((["-m", "liar"], one), (torchrun, two)):
        save = ["--save", str(path.with_suffix("")), "--json", str(path)]
        done = subprocess.run(
            [sys.executable, *start, *recipe(home), *save],
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
            env=os.environ | {"COLUMNS": "400"},
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("Error of every site") == done.stdout.count(f"Written to {path}") == 1
    alone, shared = (RunResult.model_validate(json.loads(path.read_text())) for path in (one, two))
    assert [site.kept_units for site in shared.sites] == [site.kept_units for site in alone.sites]
    assert [each.environment["processes"] for each in (alone, shared)] == ["1", "2"]
    for measured, expected in zip(shared.evaluations, alone.evaluations, strict=True):
        assert measured.value == pytest.approx(expected.value, rel=1e-5)
    assert (tmp_path / "two" / "model.safetensors").exists()


def test_what_all_processes_refuse_is_said_once(home: Path) -> None:
    command = ("-m", "liar", *recipe(home), "--ratio", "0.99")
    (expected,) = sentences(ends(launch(1, *command)))
    assert sentences(ends(launch(2, *command))) == [expected]


def test_the_first_process_keeps_the_count_for_others_that_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a late one could not ask, and would print the sentence again."""
    monkeypatch.setattr(distributed, "processes", lambda: 2)
    monkeypatch.setattr(distributed, "is_first", lambda: True)

    class Store:
        failed = looks = 0

        def add(self, _: str, number: int) -> int:
            self.looks += number == 0
            self.failed = 2 if self.looks == 3 else self.failed + number
            return self.failed

        def set(self, *_: str) -> None:
            assert said == ["why"]

    store, said = Store(), list[str]()
    distributed.Group(store).fail(lambda: said.append("why"))
    assert store.looks == 3


def test_what_one_process_meets_ends_all_with_its_sentence(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    plain = ("--criterion", "obs", "--allocation", "uniform", "--json", str(path))
    own = {1: ["-m", "liar", *recipe(home, "broken"), *plain]}
    (sentence,) = sentences(ends(launch(2, "-m", "liar", *recipe(home), *plain, own=own)))
    assert sentence.startswith("A weight of layers.1.ffn holds NaN or Inf;")
    assert not path.exists()


def test_a_killed_process_ends_the_others_with_a_sentence(home: Path) -> None:
    killed = (
        "import os, signal, liar.calibration.activations as walk, liar.cli; "
        "walk.merge = lambda *_: os.kill(os.getpid(), signal.SIGKILL); liar.cli.main()"
    )
    first, second = ends(launch(2, "-m", "liar", *recipe(home), own={1: ["-c", killed, *recipe(home)]}))
    assert second[0] == -signal.SIGKILL
    (sentence,) = sentences([first])
    assert sentence.startswith("This run was stopped, or another process of it has ended without a word;")


def test_processes_that_differ_are_refused(home: Path) -> None:
    other = ["-c", "import torch, liar.cli; torch.set_num_threads(2); liar.cli.main()", *recipe(home)]
    (sentence,) = sentences(ends(launch(2, "-m", "liar", *recipe(home), own={1: other})))
    assert sentence == "The processes differ in threads (1 and 2), so they may not decide the same; start them alike."


def test_more_processes_than_sequences_are_refused(home: Path) -> None:
    (sentence,) = sentences(ends(launch(2, "-m", "liar", *recipe(home, tokens=64))))
    assert sentence.startswith("The 2 processes have 1 sequences of calibration text to share;")


def test_other_commands_run_in_one_process(home: Path) -> None:
    (sentence,) = sentences(ends(launch(2, "-m", "liar", "evaluate", str(home / "model"), "--task", "perplexity")))
    assert sentence == "2 processes were started, and only `liar prune` shares its work; run `liar evaluate` in one."
