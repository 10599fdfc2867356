"""The rows of named models and texts agree with the pins of the demo bundle and with the list of third parties."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from liar.files import ASSETS
from liar.presets import DEMO, MINILM, PRESETS, Preset, preset_of, split_revision
from liar.tasks.registry import TASKS, credits_of, task_named
from liar.tasks.texts import TEXTS

DEMOS = [preset for preset in PRESETS if preset.id.startswith(DEMO)]
PINS = dict(line.split(" ")[0].split("==") for line in (ASSETS / "demo-wheels.txt").read_text().splitlines() if line)
LONG_FORM = (Path(__file__).resolve().parent.parent / "THIRD_PARTY.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("preset", DEMOS, ids=lambda preset: preset.id)
def test_a_demo_model_has_the_revision_of_its_pin_and_its_adapter(preset: Preset) -> None:
    assert preset.weights is not None
    assert PINS[preset.weights.package] == preset.revision
    assert preset.is_pinned
    assert preset.adapter is None or (ASSETS / "adapters" / preset.adapter / "adapter_config.json").is_file()
    is_trained = preset.task is not None and task_named(preset.task).training is not None
    assert preset.adapter == (preset.task if is_trained else None)
    assert preset_of(preset.id) is preset


def test_a_menu_names_what_a_model_does_and_what_must_be_fetched() -> None:
    labels = {preset.id: preset.label for preset in PRESETS}
    assert labels["demo/smollm2-135m"] == "Writing: SmolLM2 135M Instruct"
    assert labels["demo/minilm-topic"] == "Topic: MiniLM, Wikipedia topics"
    assert labels["demo/minilm"] == "Searching: MiniLM"
    assert all(("hub" in label) != id.startswith(DEMO) for id, label in labels.items())


def test_every_pinned_package_is_of_a_model_or_a_text() -> None:
    weights = {preset.weights.package for preset in PRESETS if preset.weights is not None}
    assert set(PINS) == weights | {text.source.package for text in TEXTS}


def test_only_demo_models_come_from_the_bundle() -> None:
    assert [preset for preset in PRESETS if preset.weights is not None] == DEMOS
    assert all(preset.origin == preset.id for preset in PRESETS if preset not in DEMOS)
    assert preset_of("somebody/else") is None


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a/b@refs/pr/3", ("a/b", "refs/pr/3")),
        ("b@v1.0", ("b", "v1.0")),
        ("a/b", ("a/b", None)),
        ("a/b@", ("a/b@", None)),
        ("a/b@x/../y", ("a/b@x/../y", None)),
        ("/home/me@work/b", ("/home/me@work/b", None)),
        ("./a@b", ("./a@b", None)),
    ],
)
def test_a_revision_is_split_from_an_id_only(name: str, parts: tuple[str, str | None]) -> None:
    assert split_revision(name) == parts


def test_a_preset_at_another_revision_keeps_all_that_is_known_of_it() -> None:
    preset = preset_of("Qwen/Qwen3-0.6B")
    assert preset is not None
    assert preset_of("Qwen/Qwen3-0.6B@refs/pr/3") == replace(preset, revision="refs/pr/3")
    assert preset_of("demo/minilm@0.0.9") is None


def test_every_trained_task_has_a_demo_model_and_every_demo_model_its_task() -> None:
    adapted = {preset.task for preset in DEMOS if preset.weights is MINILM}
    assert adapted == {"wiki-search", *(task.name for task in TASKS if task.training is not None)}
    assert all(task_named(preset.task).is_bundled for preset in DEMOS if preset.task is not None)


def test_an_attribution_is_given_once() -> None:
    found = credits_of(["topic", "sentiment", "perplexity", "rating"])
    assert [credit.licence for credit in found] == ["CC BY-SA 4.0", "MIT"]
    assert credits_of(["mnli", "piqa", "own"]) == []
    for text in TEXTS:
        credit = text.source.credit
        assert credit.sentence.endswith(credit.link)
        assert credit.licence in credit.sentence


def test_the_list_of_third_parties_has_every_demo_model_and_text() -> None:
    rows = [line for line in LONG_FORM.splitlines() if line.startswith("|")]
    for preset in DEMOS:
        assert preset.weights is not None
        package = f"{preset.weights.package} {preset.revision}"
        assert any(package in row and preset.licence in row and preset.weights.origin in row for row in rows)
    for text in TEXTS:
        package = f"{text.source.package} {PINS[text.source.package]}"
        assert any(package in row and text.source.credit.licence in row for row in rows)
        assert text.source.credit.link in LONG_FORM
