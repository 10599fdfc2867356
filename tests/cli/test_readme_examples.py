"""The examples of the README run as a reader runs them: in a folder elsewhere, word for word."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def run_elsewhere(folder: Path, *arguments: str) -> None:
    """Run Python with ``arguments`` in ``folder``, as a reader who pastes an example does."""
    done = subprocess.run(
        [sys.executable, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, (arguments, done.stderr)


@pytest.mark.long
@pytest.mark.demo
def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    sources = blocks("python")
    assert sources
    for source in sources:
        run_elsewhere(tmp_path, "-c", source)


@pytest.mark.long
@pytest.mark.demo
def test_the_commands_of_the_readme_run(tmp_path: Path) -> None:
    """Every `liar` line of a bash block, except ``train-adapter``, which takes minutes."""
    lines = [
        line.split(" #")[0].strip() for block in blocks("bash") for line in block.replace("\\\n", " ").splitlines()
    ]
    commands = [line for line in lines if line.startswith("liar ") and "train-adapter" not in line]
    assert len(commands) >= 4
    for command in commands:
        run_elsewhere(tmp_path, "-m", *shlex.split(command))
