"""The commands of a wheel built from the tree, run in a fresh environment and a folder outside the checkout.

The fresh environment sees the installed dependencies of this one, so nothing large is installed twice.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from liar.results import RunResult

ROOT = Path(__file__).resolve().parents[2]

Run = Callable[..., str]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A function that runs a script of the fresh environment in an empty folder and returns its output."""
    folder = tmp_path_factory.mktemp("wheel")
    tree, environment, elsewhere = folder / "tree", folder / "venv", folder / "elsewhere"
    for path in (tree, elsewhere):
        path.mkdir()
    shutil.copytree(ROOT / "liar", tree / "liar", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def call(command: str | Path, *arguments: str | Path) -> str:
        done = subprocess.run(
            [environment / "bin" / command, *map(str, arguments)],
            cwd=elsewhere,
            env=outside,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    venv.create(environment, with_pip=True)
    call("python", "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, tree)
    (wheel,) = folder.glob("liar-*.whl")
    call("python", "-m", "pip", "install", "--quiet", "--no-deps", wheel)
    # After the installation, or pip would find liar already installed, editable, in this environment. A folder named
    # in a .pth file is searched for modules, but its own .pth files, such as that of the editable one, are ignored.
    packages = Path(call("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    here = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "dependencies.pth").write_text("\n".join(here) + "\n")
    shutil.rmtree(tree)
    return call


def test_it_is_the_wheel_that_runs(fresh: Run) -> None:
    home = Path(fresh("python", "-c", "import liar; print(liar.__file__)").strip())
    assert not home.is_relative_to(ROOT)
    assert not home.is_relative_to(sys.prefix)


def test_it_carries_what_ships(fresh: Run) -> None:
    code = (
        "from pathlib import Path; from liar.explore.atlas_store import SHIPPED_ATLASES; from liar.store import RunStore;"
        "print(len(RunStore(Path('none')).runs()), len(list(SHIPPED_ATLASES.glob('*.npz'))))"
    )
    runs, atlases = map(int, fresh("python", "-c", code).split())
    assert runs >= 1
    assert atlases >= 1


@pytest.mark.demo
def test_fetch_prune_and_report(fresh: Run, tmp_path: Path) -> None:
    assert "The demo bundle is in" in fresh("liar", "fetch-demo")
    run, report = tmp_path / "run.json", tmp_path / "run.html"
    recipe = ["--criterion", "magnitude", "--schedule", "one-shot", "--tokens", "512"]
    measured = ["--evaluate", "sentiment", "--evaluate-limit", "16"]
    fresh("liar", "prune", "demo/minilm-sentiment", *recipe, *measured, "--json", run)
    result = RunResult.model_validate_json(run.read_bytes())
    assert {evaluation.task for evaluation in result.evaluations} == {"sentiment"}
    fresh("liar", "report", run)
    assert result.spec.model in report.read_text(encoding="utf-8")
