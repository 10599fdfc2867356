"""The examples of README and docs: those of a newcomer run word for word in a folder elsewhere, all others are understood."""

from __future__ import annotations

import ast
import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
import typer

from liar.cli import app
from liar.data.text_reader import read_samples

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = typer.main.get_command(app)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def commands(page: Path, program: str) -> list[list[str]]:
    """Arguments of every line of a bash block that starts ``program``."""
    lines = [line.split(" #")[0] for block in blocks(page, "bash") for line in block.replace("\\\n", " ").splitlines()]
    found = [shlex.split(line) for line in lines]
    return [words[words.index(program) + 1 :] for words in found if program in words]


EXAMPLES = [(page, words) for page in PAGES for words in commands(page, "liar")]


@pytest.mark.parametrize(("page", "words"), EXAMPLES, ids=[" ".join(words)[:60] for _, words in EXAMPLES])
def test_every_command_is_understood(page: Path, words: list[str]) -> None:
    name, *arguments = words
    command = COMMANDS.get_command(typer.Context(COMMANDS), name)  # type: ignore[attr-defined]
    assert command is not None, page
    command.make_context(name, arguments, resilient_parsing=False)


def test_every_script_that_a_page_names_is_there() -> None:
    for page in PAGES:
        for script in re.findall(r"`python (benchmarks/\w+\.py)[^`]*`(?! made)", page.read_text(encoding="utf-8")):
            assert (ROOT / script).is_file(), (page, script)


def test_every_option_is_in_the_reference() -> None:
    """``make docs`` writes it."""
    sections = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8").split("\n## `liar ")
    found = {section.partition("`")[0]: section for section in sections[1:]}
    assert set(found) == set(COMMANDS.commands)  # type: ignore[attr-defined]
    for name, command in COMMANDS.commands.items():  # type: ignore[attr-defined]
        options = {
            option for each in command.params for option in (*each.opts, *each.secondary_opts) if option[:2] == "--"
        }
        shown = re.findall(r"^\* `(--.*?)[`<]", found[name], flags=re.MULTILINE)
        assert options == {option for each in shown for option in re.findall(r"--[a-z0-9-]+", each)} - {"--help"}, name


def test_python_of_every_page_is_understood() -> None:
    for page in PAGES:
        for language in ("python", "py"):
            for source in blocks(page, language):
                ast.parse(dedent(source))


def run_elsewhere(folder: Path, *arguments: str) -> str:
    """Run Python with ``arguments`` in ``folder``, as a reader who pastes an example does; what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"},
    )
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout


@pytest.mark.long
@pytest.mark.demo
@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_the_python_of_a_newcomer_runs(page: str, tmp_path: Path) -> None:
    sources = blocks(ROOT / page, "python")
    assert sources
    for source in sources:
        run_elsewhere(tmp_path, "-c", source)


@pytest.mark.long
@pytest.mark.demo
def test_your_own_model_as_in_the_readme(tmp_path: Path) -> None:
    """A classifier in a folder, and two CSV of its texts and labels."""
    run_elsewhere(tmp_path, "-m", "liar", "prune", "demo/minilm-sentiment", "--ratio", "0", "--save", "my-model")
    for name, part in (("train", "train"), ("test", "validation")):
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            rows = [(sample.text, sample.label) for sample in read_samples("sentiment", part)]  # type: ignore[arg-type]
            csv.writer(file).writerows([("text", "label"), *rows])
    (words,) = commands(ROOT / "README.md", "liar")
    said = run_elsewhere(tmp_path, "-m", "liar", *words)
    assert (tmp_path / "smaller" / "config.json").is_file()
    (shown,) = blocks(ROOT / "README.md", "text")
    for words_of_both in ("layers.0.attention", "layers.5.ffn", "own (accuracy)", "own accuracy", "Loaded again"):
        assert words_of_both in " ".join(shown.split())
        assert words_of_both in " ".join(said.split())


@pytest.mark.long
@pytest.mark.demo
def test_the_commands_of_the_choices_run(tmp_path: Path) -> None:
    for words in commands(ROOT / "docs" / "choices.md", "liar"):
        run_elsewhere(tmp_path, "-m", "liar", *words)
