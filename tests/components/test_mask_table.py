"""The table of masks: each cell is shown and stored once computed, and the address of the recipe brings the table back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import gradio as gr
import pytest

import liar.jobs.mask_table
from components.shared.panel import Updates
from components.shared.studio import Studio
from components.tradeoff.mask_table import MaskTable
from liar.events import Evaluated, Progress
from liar.report.view import View, query_of
from liar.results import MaskCell
from liar.spec import PruneSpec
from liar.store import spec_of_table
from tests.components.visitor import VISITOR, Page, opened
from tests.fakes import language_run

HERE = View(tab="trade-off", layout="full")
SPEC = PruneSpec(evaluate=("perplexity",))


@pytest.fixture
def masks(studio: Studio) -> MaskTable:
    return Page(studio).tradeoff.masks


@pytest.fixture(autouse=True)
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """Stand-in for the computation of the table; before the last cell it waits for the event in the list, if any."""
    gates: list[Event] = []

    def computed(spec: PruneSpec, criteria: Any, reconstructions: Any, loaded: Any) -> Iterator[Any]:
        yield Progress("calibrate", 0, 4, "One calibration for all runs")
        yield Evaluated(language_run().evaluations[0])
        cells = [(criterion, name) for criterion in criteria for name in reconstructions]
        for criterion, name in cells:
            while gates and (criterion, name) == cells[-1] and not gates[0].wait(0.02):
                yield Progress("evaluate", 3, 4, "Measuring")
            value = 40.0 + spec.seed + cells.index((criterion, name))
            yield MaskCell(
                criterion=criterion, reconstruction=name, error=0.2, task="perplexity", value=value, stderr=2, n=20
            )

    monkeypatch.setattr(liar.jobs.mask_table, "mask_table_steps", computed)
    return gates


def computed(masks: MaskTable, criteria: Sequence[Any], names: Sequence[Any], spec: PruneSpec = SPEC) -> list[Updates]:
    return list(masks.compute(spec, list(criteria), list(names), VISITOR))


def drawn(masks: MaskTable, updates: Updates) -> dict[tuple[str, str], str]:
    """Row, column and text of every cell on the page."""
    (grid,) = updates[masks.plot]["value"].data
    columns = [name.replace("<br>", "") for name in grid.x]
    return {
        (row, column): text
        for row, line in zip(grid.y, grid.text, strict=True)
        for column, text in zip(columns, line, strict=True)
    }


def test_cells_appear_one_by_one_with_the_dense_model(masks: MaskTable) -> None:
    (only,) = computed(masks, [], ["none"])
    assert "at least one criterion" in only[masks.work.status]
    updates = computed(masks, ["obs", "wanda"], ["liar", "none"])
    last = next(update for update in reversed(updates) if masks.plot in update)
    assert list(drawn(masks, last)) == [("wanda", "none"), ("wanda", "liar"), ("obs", "none"), ("obs", "liar")]
    assert "perplexity 16.2 ± 0.8" in last[masks.words]
    assert len(re.findall("<tr>", last[masks.table])) == 1 + 4
    line = str(updates[-1][masks.work.status])
    assert "Done: 2 criteria under 2 reconstructions. The address of its recipe brings the table back." in line


def test_a_reload_brings_the_table_back(studio: Studio, masks: MaskTable) -> None:
    last = next(update for update in reversed(computed(masks, ["obs", "wanda"], ["liar"])) if masks.plot in update)
    again: MaskTable = Page(studio).tradeoff.masks
    back = again.show_stored(HERE, SPEC, "", "")
    assert drawn(again, back) == drawn(masks, last)
    assert back[again.words] == last[masks.words]
    assert back[again.files]["visible"]
    other = SPEC.model_copy(update={"criterion": "random", "schedule": "one-shot"})
    assert drawn(again, again.show_stored(HERE, other, "", "")) == drawn(masks, last), "no table depends on these"
    gone = again.show_stored(HERE, SPEC.model_copy(update={"ratio": 0.3}), "", back[again.drawn])
    assert not gone[again.plot]["visible"], "of another recipe nothing stays"
    assert gone[again.drawn] == ""
    assert again.show_stored(View(), SPEC, "", "") == {again.drawn: gr.skip()}, "the tab is not open"


def test_a_table_that_ends_behind_another_recipe_makes_way(masks: MaskTable) -> None:
    computed(masks, ["wanda"], ["liar"])
    table = spec_of_table(SPEC).key
    assert masks.show_current(HERE, SPEC, "", table) == {masks.drawn: gr.skip()}, "it is the table of the recipe"
    gone = masks.show_current(HERE, SPEC.model_copy(update={"ratio": 0.3}), "", table)
    assert gone[masks.drawn] == ""
    assert gone[masks.words] == ""


def test_the_words_of_a_table_name_what_its_recipe_has_that_is_not_usual(masks: MaskTable) -> None:
    last = computed(masks, ["wanda"], ["liar"], SPEC.model_copy(update={"seed": 3, "tokens": 4_096}))
    words = next(update[masks.words] for update in reversed(last) if masks.words in update)
    assert "4,096 tokens" in words
    assert "seed 3" in words


def test_a_link_brings_it_back(studio: Studio, masks: MaskTable) -> None:
    computed(masks, ["wanda"], ["liar"])
    page, visitor = opened(studio, query_of(SPEC, HERE))
    assert "neurons removed" in visitor.sees(page.tradeoff.masks.words)
    assert visitor.prop(page.tradeoff.masks.files, "visible")


def test_a_second_table_of_a_recipe_joins_the_first(masks: MaskTable) -> None:
    computed(masks, ["obs"], ["none", "liar"])
    computed(masks, ["wanda"], ["liar"])
    assert [cell for cell, text in drawn(masks, masks.show_stored(HERE, SPEC, "", "")).items() if text] == [
        ("wanda", "liar"),
        ("obs", "none"),
        ("obs", "liar"),
    ]


def test_stop_keeps_the_cells_that_are_there(masks: MaskTable, steps: list[Event]) -> None:
    steps.append(Event())
    watching = masks.compute(SPEC, ["wanda"], ["none", "liar"], VISITOR)
    for updates in watching:
        if masks.plot in updates and "40" in str(drawn(masks, updates)):
            id = updates[masks.work.job]
            assert masks.show_stored(HERE, SPEC.model_copy(update={"ratio": 0.3}), id, "") == {masks.drawn: gr.skip()}
            masks.work.end(id, VISITOR)
            break
    last = list(watching)[-1]
    assert "Stopped." in str(last[masks.work.status])
    assert {cell for cell, text in drawn(masks, masks.show_stored(HERE, SPEC, "", "")).items() if text} == {
        ("wanda", "none")
    }


def test_a_table_can_be_taken_away(masks: MaskTable) -> None:
    computed(masks, ["wanda"], ["none", "liar"])
    key, taken = masks.show_stored(HERE, SPEC, "", "")[masks.drawn], masks.download
    files = [Path(taken.make(partial(masks.content, ending), key)[taken.file]) for ending in ("json", "csv")]
    assert [path.name for path in files] == [f"liar-smollm2-135m-ffn-50-masks.{ending}" for ending in ("json", "csv")]
    found, (head, *rows) = json.loads(files[0].read_text()), files[1].read_text().splitlines()
    assert [(cell["criterion"], cell["value"], cell["n"]) for cell in found["cells"]] == [
        ("wanda", 40.0, 20),
        ("wanda", 41.0, 20),
    ]
    assert found["spec"]["ratio"] == 0.5
    assert found["dense"]["value"] == 16.2
    assert head == "criterion,reconstruction,error,task,metric,value,stderr,n"
    assert rows == ["wanda,none,0.2,perplexity,,40.0,2.0,20", "wanda,liar,0.2,perplexity,,41.0,2.0,20"]
    assert "not kept here any more" in taken.make(partial(masks.content, "csv"), "0" * 64)[masks.problem]


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_costs_the_file_and_not_the_table(masks: MaskTable) -> None:
    updates = computed(masks, ["wanda"], ["none"])
    assert any(masks.plot in update for update in updates)
    assert "could not be stored" in str(updates[-1][masks.work.status])
