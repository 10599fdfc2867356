"""The examples in the docstrings of the public modules run, in a folder with ``tiny`` and ``notes.txt``."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import liar

ROOT = Path(liar.__file__).parent
MAKES_TINY = "liar.loading.catalog"
"""Module whose example writes the checkpoint ``tiny``, which the other examples load."""

TEXTS = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path.read_text(
        encoding="utf-8"
    )
    for path in ROOT.rglob("*.py")
}
WITH_EXAMPLE = sorted(module for module, text in TEXTS.items() if ">>>" in text)
LEAST = 58
"""Number of modules that a newcomer reads or imports: each has an example."""


def run_example(module: str) -> doctest.TestResults:
    """Run the examples in the docstring of ``module`` without its names, so that each example must import what it uses."""
    text = import_module(module).__doc__ or ""
    test = doctest.DocTestParser().get_doctest(text, {}, module, module, 0)
    output: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=output.append)
    assert not result.failed, "".join(output)
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("examples")
    (path / "notes.txt").write_text("\n\n".join(f"Note {n} is about the number {n}." for n in range(200)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        run_example(MAKES_TINY)
    return path


@pytest.mark.parametrize("module", WITH_EXAMPLE)
def test_the_example_at_the_top_of_a_module_runs(module: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert run_example(module).attempted > 0


def test_no_example_is_skipped_or_lost() -> None:
    assert len(WITH_EXAMPLE) >= LEAST
    assert not [module for module, text in TEXTS.items() if "doctest: +SKIP" in text]
