"""Every row of docs/results/families.md: what goes from each listed type, the form it saves in, and its logits elsewhere."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import readme
from liar.presets import ARCHITECTURES, named

PAGE = readme.ROOT / "docs" / "results" / "families.md"


def documented() -> dict[str, list[str]]:
    """The cells of each row of the table by the name of its model."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return {name: cells for name, *cells in rows}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(readme.ROOT / "benchmarks"))
    return importlib.import_module("families")


@pytest.mark.long
@pytest.mark.parametrize("model", documented())
def test_each_row_is_what_happens(model: str, script: ModuleType, tmp_path: Path) -> None:
    cells = script.cells_of(model, tmp_path)
    script.compare(list(cells.values()))
    _, *forms = documented()[model]
    assert forms[: len(script.WAYS)] == [cell.form for cell in cells.values()]
    for cell in cells.values():
        assert cell.difference <= script.LIMIT
        assert (cell.saved is None) == bool(cell.refused)


def test_every_listed_type_has_a_row() -> None:
    types = [cells[0] for cells in documented().values()]
    assert set(types) == {f"`{each.model_type}`" for each in ARCHITECTURES}


def test_the_readme_names_the_families_of_the_list() -> None:
    text = " ".join((readme.ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"Encoders: {named(encodes=True)}. Decoders: {named(encodes=False)}." in text
