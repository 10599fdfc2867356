"""A link opens what it describes; invalid parts of it give a valid page and an error sentence."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from components.address import read_address
from components.rail.recipe import default_of, default_spec, measured_on_its_task
from liar.report.view import View, query_of
from liar.spec import PruneSpec
from tests.components.test_recipe import FULL

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
    assert spec.targets == ("both" if model == "demo/minilm-sentiment" else "ffn")
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
