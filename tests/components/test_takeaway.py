"""Files, command and script of the run shown; a file is made only when its button is pressed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from components.shared.studio import Studio
from components.takeaway.takeaway import Format, TakeawayPanel
from liar.explore.atlas_store import AtlasStore
from liar.report.export import as_command, as_python, program_here, sites_csv
from liar.results import RunResult
from liar.store import RunStore
from server.profile import PUBLIC
from tests.components import visitor
from tests.fakes import classifier_run, language_run


@dataclass
class Page:
    panel: TakeawayPanel
    store: RunStore
    files: Path

    def press(self, ending: Format, run: RunResult) -> tuple[Any, str]:
        """The file and the error message after a click on the button of a format."""
        download = self.panel.download
        updates = download.make(self.panel.content, ending, run.spec)
        return updates[download.file], updates[download.problem]


@pytest.fixture
def page(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "files"))
    studio = replace(studio, atlases=AtlasStore(tmp_path / "curves"))  # and the shipped ones
    return Page(visitor.Page(studio).takeaway, studio.store, tmp_path / "files")


def test_it_shows_how_to_repeat_the_run(page: Page) -> None:
    run = classifier_run(seed=3)
    updates = page.panel.show(run.spec, run)
    assert set(updates) <= set(page.panel.outputs)
    assert updates[page.panel.command] == as_command(run.spec, program_here())
    assert updates[page.panel.python] == as_python(run.spec)


def test_a_public_page_names_none_of_its_folders(studio: Studio) -> None:
    run, panel = classifier_run(), visitor.Page(replace(studio, profile=PUBLIC)).takeaway
    assert panel.show(run.spec, run)[panel.command] == as_command(run.spec)


def test_every_format_has_the_run_under_a_readable_name(page: Page) -> None:
    run = language_run(depth=30)
    page.store.save(run)
    page.panel.show(run.spec, run)
    assert not list(page.files.rglob("*.*")), "files wait until they are asked for"
    files = {ending: Path(page.press(ending, run)[0]) for ending in page.panel.buttons}
    assert {path.name for path in files.values()} == {
        *("liar-smollm2-135m-ffn-50.json", "liar-smollm2-135m-ffn-50.csv", "liar-smollm2-135m-ffn-50.html"),
        "liar-smollm2-135m-ffn-50.criteria.html",
    }
    assert RunResult.model_validate_json(files["json"].read_text()) == run
    assert files["csv"].read_bytes().decode() == sites_csv(run)
    assert "110.7" in files["html"].read_text()
    assert '<select id="allocation">' in files["html"].read_text()
    assert '<select id="criterion">' in files["criteria.html"].read_text()
    served = page.panel.download.file.GRADIO_CACHE
    assert all(path.is_relative_to(served) for path in files.values()), "Gradio would not serve it"


def test_the_report_of_a_run_without_curves_is_the_run_alone(page: Page) -> None:
    run = language_run(tokens=2048)
    page.store.save(run)
    report, _ = page.press("html", run)
    assert "<select" not in Path(report).read_text()
    file, problem = page.press("criteria.html", run)
    assert file is None
    assert "press “Calibrate”" in problem


def test_a_run_that_is_gone_is_a_sentence(page: Page) -> None:
    file, problem = page.press("csv", language_run())
    assert file is None
    assert "not kept here any more" in problem


def test_a_folder_that_cannot_be_made_is_a_sentence(page: Page) -> None:
    run = language_run()
    page.store.save(run)
    page.files.write_text("a file where the folder should be")
    file, problem = page.press("json", run)
    assert file is None
    assert "cannot be made" in problem


def test_a_recipe_other_than_the_run_is_noted(page: Page) -> None:
    shown = language_run().spec
    assert page.panel.compare(shown, shown) == ""
    assert page.panel.compare(shown, None) == ""
    assert page.panel.compare(shown.model_copy(update={"evaluate": ()}), shown) == "", "the run chose the task itself"
    assert "the recipe differs" in page.panel.compare(shown.model_copy(update={"ratio": 0.3}), shown)
