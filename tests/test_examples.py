"""The examples in the docstrings of the public modules run, in a folder with ``tiny`` and ``notes.txt``."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import liar

MAKES_TINY = "liar.loading.catalog"
"""Module whose example writes the checkpoint ``tiny``, which the other examples load."""

PUBLIC = (
    "liar",
    "liar.spec",
    "liar.results",
    "liar.events",
    "liar.edits",
    "liar.store",
    "liar.sites",
    "liar.presets",
    "liar.tasks.mixes",
    "liar.tasks.record",
    "liar.tasks.metrics",
    "liar.tasks.registry",
    "liar.maths.drift",
    "liar.maths.merging",
    "liar.maths.moments",
    "liar.maths.reconstruct",
    "liar.maths.error_curves",
    "liar.maths.choice_errors",
    "liar.maths.criteria",
    "liar.maths.patch",
    "liar.calibration.activations",
    "liar.calibration.block_statistics",
    "liar.calibration.calibrate",
    "liar.calibration.sample",
    "liar.models.adapter",
    "liar.runtime.distributed",
    "liar.models.families",
    "liar.loading.catalog",
    "liar.models.surgery",
    "liar.models.quantize",
    "liar.data.text_reader",
    "liar.data.packing",
    "liar.evaluate.prepared_task",
    "liar.evaluate.timing.speed",
    "liar.evaluate.choices",
    "liar.evaluate.answering.generate",
    "liar.evaluate.answering.reply",
    "liar.explore.atlas",
    "liar.explore.reconstructions",
    "liar.explore.forecast",
    "liar.explore.need",
    "liar.explore.every_criterion",
    "liar.report.words.answer_sentences",
    "liar.report.pages.block",
    "liar.report.words.layer_sentences",
    "liar.statistics.paired",
    "liar.statistics.compare",
    "liar.report.words.metric_sentences",
    "liar.report.words.sentences",
    "liar.report.interpolation",
    "liar.report.pages.html",
    "liar.course.figures",
    "liar.course.lesson",
    "liar.course.pictures",
    "liar.course.site",
    "liar.jobs.pipeline",
    "liar.jobs.stages.layer_removal",
    "liar.jobs.sweep",
    "liar.save.checkpoint",
)
"""Modules that a newcomer reads or imports."""


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


@pytest.mark.parametrize("module", PUBLIC)
def test_the_example_of_a_public_module_runs(module: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert run_example(module).attempted > 0


def test_no_example_is_skipped_or_hidden_in_another_docstring() -> None:
    root = Path(liar.__file__).parent
    for path in root.rglob("*.py"):
        module = ".".join(path.relative_to(root.parent).with_suffix("").parts).removesuffix(".__init__")
        text = path.read_text(encoding="utf-8")
        assert "doctest: +SKIP" not in text, path
        assert ">>>" not in text or module in PUBLIC, path
