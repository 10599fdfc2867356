"""Every criterion over the ratio: drawn in its tab alone, from the curves of the recipe, and it follows the controls."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import pytest

from components.shared.studio import Studio
from components.tradeoff.every_criterion import EveryCriterion
from liar.report.view import View
from liar.results import RunResult
from liar.spec import CRITERIA, PruneSpec
from tests.components.visitor import Page

HERE = View(tab="trade-off")


@pytest.fixture
def panel(studio: Studio, run: RunResult) -> EveryCriterion:
    return Page(studio).tradeoff.criteria


def drawn(panel: EveryCriterion, spec: PruneSpec, quantity: Any = "divergence") -> tuple[go.Figure, str]:
    updates = panel.draw(HERE, spec, quantity)
    return go.Figure(updates[panel.plot]["value"].to_dict()), updates[panel.table]  # validates the figure


def test_there_is_a_line_for_every_criterion_and_that_of_the_recipe_is_thicker(
    panel: EveryCriterion, run: RunResult
) -> None:
    figure, table = drawn(panel, run.spec)
    widths = {trace.name.strip("</b>"): trace.line.width for trace in figure.data}
    assert list(widths) == list(CRITERIA)
    assert max(widths, key=lambda name: widths[name]) == run.spec.criterion
    assert table.count("<tr") == len(CRITERIA) + 1
    assert "Predicted at 50% removed" in table
    assert "(demo/smollm2-135m, neurons, loss-curve, least-squares)" in table


def test_it_follows_ratio_allocation_and_quantity(panel: EveryCriterion, run: RunResult) -> None:
    first, table = drawn(panel, run.spec)
    moved, other = drawn(panel, run.spec.model_copy(update={"ratio": 0.3}))
    assert (first.layout.shapes[0].x0, moved.layout.shapes[0].x0) == (0.5, 0.3)
    assert first.data[0].y == moved.data[0].y, "the curves are those of every ratio"
    assert table != other
    error, same = drawn(panel, run.spec, "error")
    assert error.data[0].y != first.data[0].y
    assert same == table, "the table has both quantities"
    spread, _ = drawn(panel, run.spec.model_copy(update={"allocation": "uniform"}))
    assert spread.data[0].y != first.data[0].y


def test_nothing_is_computed_behind_another_tab(panel: EveryCriterion, run: RunResult) -> None:
    updates = panel.draw(View(tab="layers"), run.spec, "divergence")
    assert panel.plot not in updates
    assert panel.table not in updates


def test_a_recipe_without_curves_has_a_sentence(panel: EveryCriterion, run: RunResult) -> None:
    updates = panel.draw(HERE, run.spec.model_copy(update={"seed": 77}), "divergence")
    assert "Calibrate" in updates[panel.words]
    assert not updates[panel.plot]["visible"]
    assert updates[panel.table] == ""


def test_a_ratio_that_leaves_nothing_has_no_table(panel: EveryCriterion, run: RunResult) -> None:
    _, table = drawn(panel, run.spec.model_copy(update={"targets": "heads", "ratio": 0.9}))
    assert table == ""
