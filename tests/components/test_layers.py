"""The layers panel draws one view, selects sites by click and by row, and writes the form into the recipe's edits."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pytest
from gradio.blocks import Block

from components.layers.by_hand import ByHand, Decision
from liar.edits import merge
from liar.explore.forecast import forecast
from liar.report.view import View
from liar.results import RunResult
from liar.spec import PruneSpec
from tests.components.visitor import Page
from tests.fake_atlas import tiny_atlas
from tests.fakes import language_run, run_of_chain, run_of_layers

SPEC = PruneSpec(targets="both", edits=("layers.0.ffn:keep=1,2", "layers.1.ffn:ratio=0.25"))
FIELD = "\n".join(SPEC.edits)
NOTHING = (Decision(), "")
"""Nothing was decided by hand yet."""

HERE = View(site="layers.0.ffn")
NOW = (SPEC, HERE, *NOTHING, FIELD)
"""What each decision at the first site reads."""


def fire(page: Page, component: Block, event: str, *inputs: Any, into: Block) -> Any:
    """Call the one listener to ``event`` that updates ``into``, and return its result for ``inputs``."""
    found = [fn for fn in page.blocks.fns.values() if (component._id, event) in fn.targets and into in fn.outputs]
    (function,) = found
    assert function.fn
    return function.fn(*inputs)


def draw(page: Page, view: View, *, known: bool = True, run: RunResult | None = None) -> dict[Block, Any]:
    atlas = tiny_atlas(SPEC)
    outcome = run or forecast(SPEC, atlas)
    return page.layers.draw(outcome, view, atlas if known else None, "Measured" if run else "Predicted", SPEC)


def clicked(**data: Any) -> gr.EventData:
    return gr.EventData(None, data)


@pytest.fixture
def by_hand(page: Page) -> ByHand:
    return page.layers.inspector.by_hand


@pytest.mark.parametrize("site", ["", "layers.1.ffn", "layers.1.attention", "layers.7.ffn"])
@pytest.mark.parametrize("known", [True, False], ids=["calibrated", "not calibrated"])
def test_drawing_fills_only_what_the_panel_declares(page: Page, site: str, known: bool) -> None:
    updates = draw(page, View(site=site, show="none-liar", scale="linear", weighting="norm-aware"), known=known)
    assert set(updates) <= set(page.layers.outputs)
    assert updates[page.layers.show_control] == "none-liar"
    assert updates[page.layers.inspector.body]["visible"] is (site in ("layers.1.ffn", "layers.1.attention"))


def test_the_table_is_the_heatmap_in_words(page: Page) -> None:
    table = draw(page, View(site="layers.1.ffn"))[page.layers.table]
    assert table.count("data-site=") == 6
    assert table.count('aria-pressed="true"') == 1
    assert 'data-site="layers.1.ffn" aria-pressed="true"' in table
    assert "45 of 60" in table


def test_without_an_atlas_the_units_are_still_there(page: Page) -> None:
    updates = draw(page, View(site="layers.1.ffn"), known=False)
    inspector = page.layers.inspector
    assert updates[inspector.figures["units"].column]["visible"]
    assert not updates[inspector.figures["errors"].column]["visible"]
    assert "Nothing is calibrated" in updates[inspector.hint]


def test_predicted_and_measured_stand_side_by_side(page: Page) -> None:
    sites = forecast(SPEC, tiny_atlas(SPEC)).sites
    sites[3] = sites[3].model_copy(update={"error": {"none": 0.5, "bias": 0.4, "liar": 0.123, "least-squares": 0.1}})
    run, words = language_run().model_copy(update={"spec": SPEC, "sites": sites}), page.layers.inspector.words
    both, one = draw(page, View(site="layers.1.ffn"), run=run)[words], draw(page, View(site="layers.1.ffn"))[words]
    for word in ("Predicted", "<td>0.123</td>", "reads what the smaller model computes"):
        assert word in both
    assert "Measured" not in one
    assert "reads the dense model" not in one, "only two errors need an explanation"


def test_a_run_of_whole_layers_has_a_map_of_the_runs_that_were_tried(page: Page) -> None:
    run = run_of_layers()
    updates = draw(page, View(site="layers.12.ffn"), run=run)
    panel = page.layers
    assert set(updates) <= set(panel.outputs)
    assert "Error of every run of layers" in updates[panel.heading]
    assert "The mask is the same" not in updates[panel.heading]
    assert "Layers 13 to 18 went, and layer 12 replaces them" in updates[panel.sentence]
    assert list(updates[panel.plot].data[0].y) == [1, 2, 3, 4, 5, 6]
    assert updates[panel.table].count("<tr") == 1 + len(run.tried)
    assert updates[panel.table].index("layers 13 to 18") < updates[panel.table].index("layers 1 to 6")
    assert not updates[panel.inspector.body]["visible"], "no unit of a site was chosen"
    assert "36,864" in updates[panel.block]


def test_a_chain_has_the_errors_of_what_is_left_and_says_what_went(page: Page) -> None:
    run = run_of_chain()
    updates = draw(page, View(show="liar", site="layers.14.ffn"), run=run)
    panel = page.layers
    titles = " ".join(each.text for each in updates[panel.plot].layout.annotations)
    assert "of 27 of 30" not in titles
    assert updates[panel.table].count("gone") == 3 * 5, "five errors of three layers"
    assert "layers.14.ffn went with its layer" in updates[panel.inspector.hint]


# -- selection ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["clicks", "table"])
def test_a_click_selects_and_a_second_one_deselects(page: Page, source: str) -> None:
    component = getattr(page.layers, source)
    view = View(show="liar")
    selected = fire(page, component, "select", view, clicked(site="layers.1.ffn"), into=page.bus.view)
    assert selected == View(show="liar", site="layers.1.ffn")
    assert fire(page, component, "select", selected, clicked(site="layers.1.ffn"), into=page.bus.view) == view


@pytest.mark.parametrize("nonsense", ["<script>", "layers.1.ffn\n", None, 7, ["x"]])
def test_a_forged_click_changes_nothing(page: Page, nonsense: Any) -> None:
    assert fire(page, page.layers.table, "select", HERE, clicked(site=nonsense), into=page.bus.view) == HERE


def test_the_form_follows_the_view(page: Page, by_hand: ByHand) -> None:
    filled = by_hand.fill(SPEC, "layers.0.ffn")[by_hand.filled]
    updates = fire(
        page, page.bus.view, "change", SPEC, View(site="layers.1.ffn"), filled, *NOTHING, False, into=by_hand.filled
    )
    assert updates == by_hand.fill(SPEC, "layers.1.ffn")
    assert updates[by_hand.filled].edits == ("layers.1.ffn", "layers.1.ffn:ratio=0.25")
    unchanged = fire(page, page.bus.view, "change", SPEC, HERE, filled, *NOTHING, True, into=by_hand.filled)
    assert by_hand.filled not in unchanged


def test_a_control_changes_the_view_and_nothing_else(page: Page) -> None:
    view = View(tab="layers", layout="full", site="layers.1.ffn")
    for control in (page.layers.show_control, page.layers.scale, page.layers.weighting, page.layers.fit):
        changed = fire(page, control, "input", view, "bias-liar", "linear", "norm-aware", True, into=page.bus.view)
        expected = {"show": "bias-liar", "scale": "linear", "weighting": "norm-aware", "colours": "fit"}
        assert changed == view.model_copy(update=expected)


# -- edits by hand ------------------------------------------------------------------------------------------------------


def test_the_fields_hold_the_edits_of_the_selected_site(by_hand: ByHand) -> None:
    first, second = by_hand.fill(SPEC, "layers.0.ffn"), by_hand.fill(SPEC, "layers.1.ffn")
    lost = share_lost(SPEC, "layers.0.ffn")
    assert lost != SPEC.ratio, "the allocation spreads the ratio"
    assert (first[by_hand.own_ratio], first[by_hand.ratio], first[by_hand.keep]) == (False, lost, "1-2")
    assert (second[by_hand.own_ratio], second[by_hand.ratio], second[by_hand.keep]) == (True, 0.25, "")


def test_the_ratio_of_a_site_is_what_it_lost_until_the_visitor_decides_another(by_hand: ByHand) -> None:
    less = SPEC.model_copy(update={"ratio": 0.2})
    filled = by_hand.fill(SPEC, "layers.0.ffn")[by_hand.filled]
    followed = by_hand.follow(less, HERE, filled, *NOTHING, False)
    share = share_lost(less, "layers.0.ffn")
    assert followed.keys() == {by_hand.ratio, by_hand.filled}, "what is typed in the other fields stays"
    assert followed[by_hand.ratio] == share
    assert by_hand.ratio not in by_hand.follow(less, HERE, followed[by_hand.filled], *NOTHING, False)
    assert by_hand.ratio not in by_hand.follow(less, HERE, filled, *NOTHING, True)
    unknown = SPEC.model_copy(update={"targets": "heads", "ratio": 0.9})
    assert by_hand.fill(unknown, "layers.0.attention")[by_hand.ratio] == 0.9


def share_lost(spec: PruneSpec, name: str) -> float:
    report = next(found for found in forecast(spec, tiny_atlas(SPEC)).sites if found.name == name)
    return round(1 - report.kept / report.units, 2)


def test_what_is_decided_takes_the_place_of_the_site_s_edits(by_hand: ByHand) -> None:
    updates = by_hand.decide(*NOW, True, 0.3, " 0-2, 7 ", "9")
    assert updates[by_hand.field].splitlines() == [
        "layers.1.ffn:ratio=0.25",
        "layers.0.ffn:ratio=0.3",
        "layers.0.ffn:keep=0-2,7",
        "layers.0.ffn:remove=9",
    ]
    assert updates[by_hand.keep] == "0-2,7"


def test_a_site_is_kept_whole_or_left_to_the_recipe(by_hand: ByHand) -> None:
    whole = by_hand.decide(*NOW, own_ratio=True)
    assert whole[by_hand.field] == "layers.1.ffn:ratio=0.25\nlayers.0.ffn:ratio=0"
    assert whole[by_hand.ratio] == 0
    left = by_hand.decide(SPEC, View(site="layers.1.ffn"), *NOTHING, FIELD)
    assert left[by_hand.field] == "layers.0.ffn:keep=1-2"


@pytest.mark.parametrize(
    ("keep", "remove", "words"),
    [
        ("abc", "", "is no edit"),
        ("5-1", "", "is no range"),
        ("3", "3", "keep and remove 3"),
        ("60", "", "units 0 to 59"),
        ("", "0-59", "keep at least one"),
    ],
)
def test_what_cannot_be_done_is_a_sentence_and_no_edit(by_hand: ByHand, keep: str, remove: str, words: str) -> None:
    updates = by_hand.decide(*NOW, False, 0.5, keep, remove)
    assert by_hand.field not in updates
    assert words in updates[by_hand.message]
    assert 'role="alert"' in updates[by_hand.message]


@pytest.mark.parametrize("unit", [-1, 10**9, None, "3", 1.5, [0]])
def test_a_forged_click_on_a_unit_changes_nothing(by_hand: ByHand, unit: Any) -> None:
    updates = by_hand.flip(*NOW, clicked(unit=unit))
    assert by_hand.field not in updates


def test_a_click_on_a_unit_keeps_the_other_edits(by_hand: ByHand) -> None:
    updates = by_hand.flip(*NOW, clicked(unit=1))
    assert updates[by_hand.field] == "layers.1.ffn:ratio=0.25\nlayers.0.ffn:keep=2\nlayers.0.ffn:remove=1"
    assert updates[by_hand.undo]["visible"]
    assert "layers.0.ffn:remove=1" in updates[by_hand.message]


def test_a_click_before_the_field_shows_the_last_one_keeps_both(by_hand: ByHand) -> None:
    """The field of the browser may be two clicks behind, and the recipe one."""
    first = by_hand.flip(*NOW, clicked(unit=7))
    second = by_hand.flip(SPEC, HERE, first[by_hand.decided], "", FIELD, clicked(unit=8))
    drawn = SPEC.model_copy(update={"edits": second[by_hand.decided].edits})
    last, taken = second[by_hand.decided], second[by_hand.decided].name
    for text in (FIELD, first[by_hand.field], second[by_hand.field]):
        third = by_hand.flip(drawn, HERE, last, taken, text, clicked(unit=9))
        assert {7, 8, 9} <= _touched(third[by_hand.decided].edits)


def test_what_is_typed_again_counts_after_a_decision(by_hand: ByHand) -> None:
    decided = by_hand.flip(*NOW, clicked(unit=7))[by_hand.decided]
    updates = by_hand.flip(SPEC, HERE, decided, decided.name, FIELD, clicked(unit=8))
    assert 7 not in _touched(updates[by_hand.decided].edits)


def test_an_older_recipe_leaves_what_was_just_decided(by_hand: ByHand) -> None:
    updates = by_hand.flip(*NOW, clicked(unit=7))
    followed = by_hand.follow(SPEC, HERE, updates[by_hand.filled], updates[by_hand.decided], "", False)
    assert not {by_hand.keep, by_hand.filled, by_hand.undo} & followed.keys()


def _touched(edits: tuple[str, ...]) -> set[int]:
    edit = merge(edits)["layers.0.ffn"]
    return {*edit.keep, *edit.remove}
