"""The rail reads and writes specs without loss; a public page refuses what it does not offer."""

from __future__ import annotations

import gradio as gr
import pytest

from components import recipe
from components.prompts import preset_prompts, read_prompts
from components.recipe import Recipe, default_spec, refusal
from liar.errors import InvalidSpecError
from liar.spec import PruneSpec


@pytest.fixture
def rail() -> Recipe:
    with gr.Blocks():
        return Recipe(default_spec(), None)


def test_what_is_filled_in_is_read_back(rail: Recipe) -> None:
    spec = PruneSpec.create(targets="both", criterion="wanda", ratio=0.25, seed=3, device="cpu", evaluate_limit=5)
    updates = rail.fill(spec)
    read, prompts = rail.read(*(updates[component] for component in rail.inputs))
    assert read == spec
    assert len(prompts) == 3


def test_another_model_drops_the_text_and_tasks_of_the_last_one(rail: Recipe) -> None:
    base = PruneSpec.create(calibration="topic", evaluate=("perplexity",), evaluate_limit=5, device="cpu")
    updates = {**rail.fill(base), rail.model: "demo/minilm-sentiment"}
    read, _ = rail.read(*(updates[component] for component in rail.inputs))
    assert (read.calibration, read.evaluate, read.evaluate_limit, read.device) == ("auto", (), None, "cpu")


@pytest.mark.parametrize("prompts", ["a\nb\nc\nd", "x" * 100_000])
def test_prompts_that_do_not_fit_are_a_sentence(rail: Recipe, prompts: str) -> None:
    updates = {**rail.fill(default_spec()), rail.prompts: prompts}
    with pytest.raises(InvalidSpecError):
        rail.read(*(updates[component] for component in rail.inputs))


def test_an_empty_field_is_a_sentence(rail: Recipe) -> None:
    updates = {**rail.fill(default_spec()), rail.seed: None}
    with pytest.raises(InvalidSpecError, match="seed"):
        rail.read(*(updates[component] for component in rail.inputs))


@pytest.mark.parametrize(("name", "value"), [("ratio", 99), ("tokens", 0), ("seed", -1), ("criterion", "luck")])
def test_what_a_client_sends_past_the_controls_is_checked(rail: Recipe, name: str, value: float | str) -> None:
    updates = {**rail.fill(default_spec()), rail.controls[name]: value}
    with pytest.raises(InvalidSpecError):
        rail.read(*(updates[component] for component in rail.inputs))


@pytest.mark.parametrize("model", [*recipe.OFFERED, "somebody/else"])
def test_the_prompts_offered_are_prompts_allowed(model: str) -> None:
    assert read_prompts("\n".join(preset_prompts(model))) == preset_prompts(model)


@pytest.mark.parametrize("choice", [{"model": "some/folder"}, {"calibration": "/etc/hostname"}])
def test_a_public_page_reads_nothing_that_a_link_names(choice: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    spec = PruneSpec.create(**choice)
    assert refusal(spec) is None
    monkeypatch.setattr(recipe, "ANY_MODEL", False)
    monkeypatch.setattr(recipe, "OFFERED", {PruneSpec().model: recipe.OFFERED[PruneSpec().model]})
    assert refusal(spec)
    assert refusal(default_spec()) is None
