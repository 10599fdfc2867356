"""A link opens what it describes: run, recipe and view; invalid parts of it give a valid page and an error sentence."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl

import gradio as gr
import pytest

from components.address import first_run, read_address
from components.rail.recipe import default_of, default_spec, measured_on_its_task
from components.shared.job_bodies import preset_prompts
from components.shared.studio import Studio
from components.simple_or_full import mark
from liar.report.view import View, query_of
from liar.spec import PruneSpec
from server.profile import PUBLIC
from tests.components.test_recipe import FULL
from tests.components.visitor import Page, opened, visit
from tests.fake_atlas import tiny_atlas
from tests.fakes import classifier_run, language_run

SEEN = View(
    tab="accuracy", layout="full", show="bias-liar", scale="linear", weighting="norm-aware", site="layers.3.ffn"
)


@pytest.mark.parametrize(
    ("query", "spec", "view"),
    [
        ("", None, View()),
        ("__theme=dark", None, View()),
        (query_of(FULL, SEEN), FULL, SEEN),
        (SEEN.to_query(), None, SEEN),
        (query_of(FULL, View()), FULL, View()),
    ],
)
def test_a_link_holds_recipe_and_view_or_one_of_them(query: str, spec: PruneSpec | None, view: View) -> None:
    assert read_address(parse_qsl(query)) == (spec, view, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ratio", "99"),
        ("ratio", "nan"),
        ("criterion", "<script>alert(1)</script>"),
        ("seed", "-1"),
        ("nonsense", "1"),
        ("v", "7"),
        ("model", "x" * 10_000),
        ("edits", "layers.0.ffn:keep=" + "1," * 9_000),
        ("tab", "everything"),
        ("site", "layers.0.ffn<script>"),
    ],
)
def test_an_invalid_choice_is_skipped_with_a_sentence(name: str, value: str) -> None:
    spec, view, complaint = read_address([("targets", "heads"), (name, value), ("scale", "linear")])
    assert spec == PruneSpec.from_query("targets=heads")
    assert view == View(scale="linear")
    assert complaint
    assert complaint.startswith("Part of the link was left out.")
    assert len(complaint) < 400


@pytest.mark.parametrize("model", [PruneSpec().model, "demo/minilm-sentiment", "demo/minilm", "somebody/else"])
def test_what_a_link_leaves_out_is_the_default_of_its_model(model: str) -> None:
    spec, _, complaint = read_address([("model", model), ("ratio", "0.3")])
    assert complaint is None
    assert spec is not None
    assert measured_on_its_task(spec) == default_of(model).model_copy(update={"ratio": 0.3})
    assert spec.targets == ("both" if model.startswith("demo/minilm") else "ffn")
    assert (spec.criterion, spec.schedule) == ("kfac", "corrective")


def test_a_link_without_a_model_is_of_the_page_s_own() -> None:
    for pair in (("ratio", "0.5"), ("seed", "0"), ("v", "2")):
        spec, _, _ = read_address([pair])
        assert spec is not None
        assert measured_on_its_task(spec) == default_spec()


def test_a_written_link_of_neurons_keeps_to_them() -> None:
    """The default of its model is heads and neurons, so a link of this version omits the choice."""
    spec = default_of("demo/minilm-topic").model_copy(update={"targets": "ffn"})
    assert read_address(parse_qsl(spec.to_query()))[0] == spec


def test_every_invalid_part_is_named() -> None:
    pairs = [("ratio", "9"), ("seed", "-1"), ("hide", "criterion,nothing"), ("tab", "x"), ("lesson", "3"), ("foo", "1")]
    spec, view, complaint = read_address([*pairs, ("targets", "heads")])
    assert (spec, view) == (PruneSpec.from_query("targets=heads"), View())
    assert complaint is not None
    for words in (
        "The ratio must be",
        "seed must be",
        "heatmap, not 'nothing'.",
        "tab should be",
        "called 'lesson' or 'foo'",
    ):
        assert words in complaint


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([("ratio", "99")], "Part of the link was left out."),
        ([("edits", f"layers.{layer}.ffn:ratio=0") for layer in range(201)], "The link was not followed."),
    ],
    ids=["nothing valid", "not together"],
)
def test_a_link_without_a_recipe_that_can_be_is_a_sentence(pairs: list[tuple[str, str]], words: str) -> None:
    spec, view, complaint = read_address(pairs)
    assert (spec, view) == (None, View())
    assert complaint is not None
    assert complaint.startswith(words)


# -- what a link opens -----------------------------------------------------------------------------------------------


@pytest.fixture
def page(studio: Studio) -> Page:
    """The page of a server that has the default run and an atlas."""
    studio.store.save(language_run())
    studio.atlases.save(tiny_atlas(default_spec()))
    return Page(studio)


def test_the_first_screen_prefers_the_default_run(studio: Studio) -> None:
    assert first_run(studio.store, default_spec()) is None
    studio.store.save(classifier_run())
    assert first_run(studio.store, default_spec()) == classifier_run()
    studio.store.save(language_run())
    assert first_run(studio.store, default_spec()) == language_run()


@pytest.mark.parametrize("query", ["", "__theme=dark"])
def test_a_bare_address_changes_nothing_even_if_its_answer_is_late(page: Page, query: str) -> None:
    updates = page.opening.follow(parse_qsl(query))
    assert [update for update in updates.values() if update != gr.skip()] == []


def test_a_bare_address_of_a_page_without_runs_shows_a_forecast(studio: Studio) -> None:
    studio.atlases.save(tiny_atlas(default_spec()))
    page, visitor = opened(studio)
    assert "Predicted" in visitor.sees(page.verdict.text)


def test_the_layout_of_the_last_visit_is_remembered_unless_the_link_names_one(page: Page) -> None:
    for named, remembered, layout in (
        ("", "full", "full"),
        ("layout=simple", "full", "simple"),
        ("", "<script>", "simple"),
    ):
        updates = page.opening.follow(parse_qsl(named), remembered)
        shown = updates.get(page.bus.view, View()).layout
        assert shown == updates.get(page.opening.layout, "simple") == layout


def test_a_link_opens_its_stored_run(page: Page) -> None:
    run = classifier_run()
    page.studio.store.save(run)
    visitor = visit(page, run.spec.to_query())
    assert visitor.sees(page.recipe.model) == run.spec.model
    assert "sentiment accuracy" in visitor.sees(page.verdict.text)
    assert "sentiment" in visitor.sees(page.accuracy.table)
    assert visitor.state(page.bus.shown) == run.spec.key
    assert "another" not in visitor.sees(page.provenance)


def test_a_link_without_a_stored_run_fills_the_recipe_and_shows_its_forecast(page: Page) -> None:
    visitor = visit(page, "ratio=0.3")
    assert visitor.sees(page.recipe.ratio) == 0.3
    assert "Predicted" in visitor.sees(page.verdict.text)
    assert "another recipe" in visitor.sees(page.provenance)
    assert visitor.state(page.bus.spec) == PruneSpec.from_query("ratio=0.3&evaluate=perplexity&evaluate=out-of-domain")
    assert visitor.state(page.bus.shown) == language_run().spec.key


def test_the_history_returns_to_a_recipe_and_to_the_one_of_a_bare_address(page: Page) -> None:
    visitor = visit(page)
    visitor.does(page.address, "select", {"query": "?model=demo/minilm-topic"})
    assert visitor.sees(page.generations.prompt) == preset_prompts("demo/minilm-topic")[0]
    visitor.does(page.address, "select", {"query": "?ratio=0.3&layout=full&tab=accuracy"})
    assert visitor.state(page.bus.spec) == default_spec().model_copy(update={"ratio": 0.3})
    assert visitor.sees(page.recipe.model) == default_spec().model
    assert visitor.sees(page.opening.layout) == "full"
    assert visitor.prop(page.opening.tabs, "selected") == "accuracy"
    visitor.does(page.address, "select", {"query": ""})
    assert visitor.state(page.bus.spec) == language_run().spec
    assert visitor.state(page.bus.shown) == language_run().spec.key
    assert visitor.state(page.bus.view) == View()
    assert "Measured" in visitor.sees(page.verdict.text)


def test_a_link_may_name_a_choice_more_than_once(page: Page) -> None:
    edits = ("layers.0.ffn:ratio=0.2", "layers.1.ffn:keep=1")
    visitor = visit(page, PruneSpec(edits=edits, evaluate=("perplexity", "topic")).to_query())
    assert visitor.state(page.bus.spec).edits == edits
    assert visitor.state(page.bus.spec).evaluate == ("perplexity", "topic")
    assert visitor.sees(page.recipe.edits) == "\n".join(edits)


def test_a_link_opens_a_tab_and_a_site_of_the_run_shown(studio: Studio) -> None:
    run = classifier_run()
    studio.store.save(run)
    page, visitor = opened(studio, "tab=accuracy&layout=full&site=layers.2.ffn&scale=linear")
    assert visitor.prop(page.opening.tabs, "selected") == "accuracy"
    assert visitor.sees(page.opening.marker) == mark(View(tab="accuracy", layout="full"))
    assert visitor.state(page.bus.view).site == "layers.2.ffn"
    assert "Layer 2 FFN" in visitor.sees(page.layers.inspector.words)
    assert visitor.sees(page.layers.scale) == "linear"
    assert visitor.state(page.bus.spec) == run.spec, "not that of a run that is not there"


def test_an_invalid_part_of_a_link_is_a_sentence_and_the_rest_is_followed(page: Page) -> None:
    visitor = visit(page, "ratio=99&seed=7&tab=nonsense&hide=foot&beside=nolesson&__theme=dark")
    assert visitor.sees(page.recipe.seed) == 7
    for words in ("ratio", "tab should be", "foot", "nolesson"):
        assert words in visitor.sees(page.line)
    assert visitor.state(page.bus.spec).ratio == PruneSpec().ratio


def test_a_public_page_keeps_to_its_models(studio: Studio) -> None:
    studio.store.save(language_run())
    page, visitor = opened(replace(studio, profile=PUBLIC), "model=/etc")
    assert "does not offer" in visitor.sees(page.line)
    assert visitor.sees(page.recipe.model) == PruneSpec().model
    assert "Measured" in visitor.sees(page.verdict.text)
