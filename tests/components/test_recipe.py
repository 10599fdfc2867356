"""The recipe's controls read and write specs without loss; a public page refuses values that it does not offer."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from components.rail.glossary import TERMS
from components.rail.recipe import Recipe, default_spec, measured_on_its_task, of_layout
from components.shared.lookup import Known
from liar.errors import InvalidSpecError
from liar.report.view import NAMED, PARTS
from liar.spec import ALLOCATIONS, CHECKED, CRITERIA, RECONSTRUCTIONS, PruneSpec
from server.profile import LOCAL, PUBLIC

FULL = PruneSpec.create(
    model="demo/minilm-topic",
    targets="both",
    criterion="wanda",
    ratio=0.25,
    allocation="global",
    reconstruction="liar",
    schedule="one-shot",
    calibration="wiki",
    tokens=4096,
    separator="newline",
    evaluate_length=64,
    multiple=16,
    layers=0.2,
    vocabulary="8000",
    intercept=False,
    seed=3,
    edits=("layers.0.ffn:ratio=0.2", "layers.1.attention:keep=1"),
    device="cpu",
    dtype="float32",
    sequence_length=128,
    evaluate=("topic", "sentiment"),
    evaluate_limit=5,
    data="texts.csv",
    quantize="int8",
)
"""Nothing in it is a default."""


@pytest.fixture
def rail() -> Recipe:
    with gr.Blocks():
        return Recipe(Known(default_spec(), None), LOCAL)


def read(rail: Recipe, base: PruneSpec, **moved: Any) -> PruneSpec:
    """Spec read from the controls after ``base`` was filled in and the controls in ``moved`` were changed."""
    filled = {**rail.fill(base), **{rail.controls[name]: value for name, value in moved.items()}}
    return rail.read(base, *(filled[control] for control in rail.controls.values()))


def test_what_is_filled_in_is_read_back(rail: Recipe) -> None:
    assert all(getattr(FULL, name) != getattr(PruneSpec(), name) for name in PruneSpec.model_fields)
    assert read(rail, FULL) == FULL
    assert set(rail.fill(FULL)) == set(rail.controls.values())


def test_a_choice_that_no_menu_offers_is_filled_in_by_name(rail: Recipe) -> None:
    custom = FULL.model_copy(update={"criterion": "custom:mine"})
    filled = rail.fill(custom)[rail.criterion]
    assert filled["value"] == "custom:mine"
    assert filled["choices"] == [*CRITERIA, "custom:mine"]
    assert read(rail, custom, criterion="custom:mine") == custom
    former = rail.fill(FULL.model_copy(update={"allocation": CHECKED}))[rail.allocation]
    assert (former["value"], former["choices"][-1]) == (CHECKED, CHECKED)


def test_a_text_of_ones_own_takes_the_place_of_the_automatic_one(rail: Recipe) -> None:
    spec = default_spec()
    moved = read(rail, spec, calibration=["auto", "train.csv"])
    assert moved.calibration == "train.csv"
    shown = rail.settled(spec, moved)[rail.calibration]
    assert shown["value"] == ["train.csv"]
    assert "train.csv" in shown["choices"]
    assert read(rail, moved, calibration=["train.csv", "auto"]).calibration == "train.csv + auto", "asked for after it"
    mixed = spec.model_copy(update={"calibration": "auto + train.csv"})
    assert read(rail, mixed, calibration=["auto", "train.csv"]).calibration == "auto + train.csv", "as a link has it"
    assert read(rail, spec, calibration=["auto", "self"]).calibration == "auto + self"
    assert read(rail, spec, calibration=["wiki", "train.csv"]).calibration == "wiki + train.csv"
    assert rail.settled(spec, spec) == {}


def test_it_opens_with_what_it_was_given() -> None:
    with gr.Blocks():
        rail = Recipe(Known(FULL, None), LOCAL)
    assert rail.read(FULL, *(control.value for control in rail.controls.values())) == FULL


def test_a_default_number_is_a_zero_that_its_field_allows(rail: Recipe) -> None:
    """An empty field of numbers arrives as 0, and Gradio refuses numbers below its minimum."""
    for field, name, default in ((rail.evaluate_length, "evaluate_length", None), (rail.tokens, "tokens", "auto")):
        assert field.value == field.preprocess(0) == rail.fill(default_spec())[field] == 0
        for empty in (0, None):
            assert getattr(read(rail, FULL, **{name: empty}), name) == default


def test_edits_are_one_a_line(rail: Recipe) -> None:
    typed = "\n layers.0.ffn:ratio=0.20 \n\nlayers.1.ffn:keep=3,1,2\nlayers.0.ffn:ratio=0.2\n"
    assert read(rail, default_spec(), edits=typed).edits == ("layers.1.ffn:keep=1-3", "layers.0.ffn:ratio=0.2")
    assert read(rail, FULL, edits="").edits == ()


def test_another_model_drops_what_belonged_to_the_last_one_and_takes_what_came_with_it(rail: Recipe) -> None:
    moved = read(rail, FULL, model="demo/minilm-sentiment")
    assert (moved.evaluate, moved.evaluate_limit, moved.calibration, moved.edits) == (("sentiment",), None, "auto", ())
    assert moved.evaluate_length is None
    assert (moved.device, moved.dtype, moved.sequence_length, moved.ratio) == ("cpu", "float32", 128, 0.25)
    edit = "layers.5.ffn:ratio=0.1"  # a program that calls the page's API sets all controls at once
    moved = read(rail, FULL, model="demo/minilm-sentiment", calibration=["topic"], edits=edit)
    assert (moved.calibration, moved.edits) == ("topic", (edit,))


def test_the_task_of_an_unknown_model_is_known_once_it_is_loaded(rail: Recipe) -> None:
    assert read(rail, default_spec(), model="somebody/else").evaluate == ()
    assert measured_on_its_task(PruneSpec(model="demo/minilm")).evaluate[0] == "wiki-search"
    assert measured_on_its_task(FULL) == FULL


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (default_spec(), ("perplexity", "out-of-domain", "own")),
        (PruneSpec(model="demo/minilm-topic", evaluate=("topic",)), ("topic", "own")),
        (PruneSpec(model="somebody/else"), ()),  # its tasks are known once it is loaded
    ],
    ids=["language model", "classifier", "unknown"],
)
def test_data_of_ones_own_are_measured_beside_the_rest(
    rail: Recipe, before: PruneSpec, after: tuple[str, ...], tmp_path: Path
) -> None:
    with_data = read(rail, before, data="mine.csv")
    assert with_data.evaluate == after
    assert read(rail, with_data, data="other.csv").evaluate == after
    assert read(rail, with_data, data=" ").evaluate == before.evaluate
    assert read(rail, with_data, evaluate=["topic"]).evaluate == ("topic",), "a choice of the user's stays"
    assert read(rail, before, data=str(tmp_path)).evaluate == before.evaluate, "a folder with copies of datasets"
    link = PruneSpec(model=before.model, data="mine.csv")
    assert measured_on_its_task(link).evaluate == after


def test_several_calibration_texts_are_one_mix(rail: Recipe) -> None:
    mixed = read(rail, FULL, calibration=["wiki", "films"])
    assert mixed.calibration == "wiki + films"
    assert rail.fill(mixed)[rail.calibration] == ["wiki", "films"]
    assert read(rail, FULL, calibration=[]).calibration == "auto"
    uneven = FULL.model_copy(update={"calibration": "2 wiki + films"})
    filled = rail.fill(uneven)[rail.calibration]
    assert filled["value"] == ["2 wiki", "films"]
    assert "2 wiki" in filled["choices"]
    assert read(rail, uneven, calibration=filled["value"]) == uneven


def test_all_wrong_fields_are_named_at_once(rail: Recipe) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        read(rail, default_spec(), seed=-1, multiple=5000, tokens=-3, edits="layers.0:gone", calibration=["a", "a"])
    message = str(caught.value)
    assert message.count("the other fields stay as they are") == 1
    for words in (
        "Seed: set",
        "Multiple of: set",
        "Calibration tokens: set",
        "is no edit",
        "a text twice",
    ):
        assert words in message


@pytest.mark.parametrize(
    ("name", "value"), [("ratio", 99), ("criterion", "luck"), ("edits", "layers.0.ffn:ratio=0\n" * 300 + "x")]
)
def test_what_a_client_sends_past_the_controls_is_checked(rail: Recipe, name: str, value: float | str) -> None:
    with pytest.raises(InvalidSpecError):
        read(rail, default_spec(), **{name: value})


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("tokens", -1, "Calibration tokens: set a whole number from 1 to 10,000,000, not -1;"),
        ("multiple", 7777, "Multiple of: set a whole number from 1 to 1,024, not 7,777;"),
        ("seed", -1, "Seed: set a whole number from 0 to 2,147,483,647, not -1;"),
        ("seed", None, "Seed: give it a value, the field is empty;"),
        ("evaluate_length", 1, "Length measured at: set a whole number from 2 to 131,072, not 1;"),
    ],
)
def test_a_number_out_of_range_is_a_sentence_with_field_and_range(
    rail: Recipe, name: str, value: int | None, sentence: str
) -> None:
    control = rail.controls[name]
    assert control.preprocess(value) == value, "Gradio would refuse the whole event without naming the field"
    with pytest.raises(InvalidSpecError, match=f"^{sentence}"):
        read(rail, default_spec(), **{name: value})


def test_a_public_page_offers_only_what_it_takes(rail: Recipe) -> None:
    with gr.Blocks():
        public = Recipe(Known(default_spec(), None), PUBLIC)
    assert read(public, default_spec()) == default_spec()
    choices: tuple[dict[str, Any], ...] = ({"model": "some/folder"}, {"calibration": ["/etc/hostname"]})
    for choice in choices:
        assert read(rail, default_spec(), **choice)
        with pytest.raises(InvalidSpecError, match="at home"):
            read(public, default_spec(), **choice)
    assert [id for _, id in public.model.choices] == list(PUBLIC.models)
    assert not public.model.allow_custom_value
    assert not public.calibration.allow_custom_value


# -- labels and explanations --------------------------------------------------------------------------------------------


def test_every_control_is_explained(rail: Recipe) -> None:
    assert {*rail.controls, "need"} == set(TERMS)
    assert {name.replace("_", "-") for name in TERMS} == set(NAMED) - set(PARTS)
    assert all(escape(term.help) in term.markup() for term in TERMS.values())


@pytest.mark.parametrize(
    ("name", "choices"), [("criterion", CRITERIA), ("allocation", ALLOCATIONS), ("reconstruction", RECONSTRUCTIONS)]
)
def test_every_choice_is_explained(rail: Recipe, name: str, choices: tuple[str, ...]) -> None:
    assert tuple(TERMS[name].choices) == choices
    offered = of_layout("full", CRITERIA[0])["choices"] if name == "criterion" else rail.controls[name].choices
    assert tuple(value for _, value in offered) == choices
    assert all(f"<dt>{choice}</dt>" in TERMS[name].markup() for choice in choices)
