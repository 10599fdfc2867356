"""The model card: base model, licence and notices, figures, and credits of quoted texts."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from liar.loading import demo_bundle as demo
from liar.presets import preset_of
from liar.save.checkpoint import CARD_FILE, save_model
from liar.save.model_card import model_card
from liar.tasks.texts import FILMS
from tests import tiny
from tests.fakes import classifier_run, language_run


@pytest.mark.parametrize("trust", [False, True])
def test_the_model_card_describes_the_model_and_how_to_load_it(trust: bool) -> None:
    run = language_run(ratio=0.5)
    card = ModelCard(model_card(run, "AutoModelForCausalLM", trust=trust))
    assert card.data.base_model == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert (card.data.license, card.data.pipeline_tag) == ("apache-2.0", "text-generation")
    assert (card.data.library_name, card.data.tags) == ("transformers", ["pruned", "liar"])
    (measured,) = card.data.eval_results
    assert (measured.task_type, measured.metric_type, measured.metric_value) == ("text-generation", "perplexity", 42.4)
    assert ("trust_remote_code=True" in card.text) == trust
    for words in ("110.7", "42.4", "liar prune demo/smollm2-135m", "fewer parameters", "Apache-2.0"):
        assert words in card.text
    unmeasured = run.model_copy(update={"evaluations": [], "spec": run.spec.model_copy(update={"model": "a/folder"})})
    card = ModelCard(model_card(unmeasured, "AutoModel", trust=False))
    assert (card.data.license, card.data.pipeline_tag, card.data.base_model) == (None, None, "a/folder")
    assert "model-index" not in card.content
    assert "| n |" not in card.text


@pytest.mark.parametrize("model", ["somebody/model", "Qwen/Qwen3-0.6B"])
def test_the_base_model_stands_without_its_revision(model: str) -> None:
    card = ModelCard(model_card(language_run(model=f"{model}@refs/pr/3"), "AutoModelForCausalLM", trust=False))
    assert card.data.base_model == model
    assert card.data.model_name == f"{model.split('/')[1]}, pruned and repaired"
    assert f"The base model is revision `refs/pr/3` of `{model}`." in card.text
    assert f"liar prune {model}@refs/pr/3" in card.text


@pytest.mark.parametrize("model", ["/home/somebody/model", "here", "here@main", "~/model", "a/b/c"])
def test_a_folder_is_no_base_model_on_the_hub(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Hub refuses metadata with a path as base model; its own validation would need the network."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "here@main").mkdir()
    card = ModelCard(model_card(language_run(model=model), "AutoModelForCausalLM", trust=False))
    assert card.data.base_model is None
    assert card.data.model_name == f"{Path(model).name}, pruned and repaired"


@pytest.mark.parametrize(
    ("model", "quantized", "relation"),
    [
        ("somebody/model", True, "quantized"),
        ("somebody/model", False, "finetune"),
        ("/home/somebody/model", True, None),
    ],
)
def test_the_relation_to_the_base_model_is_one_that_the_hub_knows(
    model: str, quantized: bool, relation: str | None
) -> None:
    card = ModelCard(model_card(language_run(model=model), "AutoModel", trust=False, quantized=quantized))
    assert card.data.get("base_model_relation") == relation


def test_a_saved_model_takes_along_the_licence_of_its_base(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "LICENSE.txt").write_text("terms")
    (base / "USE_POLICY.md").write_text("policy")
    (base / "notes.txt").write_text("private")
    loaded = tiny.language_model()
    loaded.id = str(base)
    saved = save_model(loaded, tmp_path / "saved", language_run(model=str(base)))
    assert (saved.folder / "LICENSE.txt").read_text() == "terms"
    assert (saved.folder / "USE_POLICY.md").read_text() == "policy"
    assert not (saved.folder / "notes.txt").exists()
    card = (saved.folder / CARD_FILE).read_text()
    assert "[LICENSE.txt](LICENSE.txt), [USE_POLICY.md](USE_POLICY.md)" in card
    loaded.id = str(saved.folder)
    again = save_model(loaded, tmp_path / "again")
    assert (again.folder / "LICENSE.txt").read_text() == "terms", "a copy of a copy has it too"


@pytest.mark.parametrize("fetched", [True, False])
def test_a_demo_model_has_its_licence_from_the_bundle(
    fetched: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIAR_CACHE", str(tmp_path / "cache"))
    run = language_run()
    preset = preset_of(run.spec.model)
    assert preset is not None
    assert preset.weights is not None
    if fetched:
        folder = demo.bundle_folder() / preset.weights.folder
        folder.mkdir(parents=True)
        (folder / "LICENSE").write_text("Apache")
    loaded = tiny.language_model()
    loaded.id = preset.id
    saved = save_model(loaded, tmp_path / "saved", run)
    assert (saved.folder / "LICENSE").exists() == fetched
    card = (saved.folder / CARD_FILE).read_text()
    assert "The base model is under Apache-2.0" in card
    assert ("[LICENSE](LICENSE)" in card) == fetched


def test_texts_saved_with_the_card_have_their_authors_and_licence() -> None:
    run = classifier_run()
    sentence = FILMS.source.credit.sentence
    assert sentence in model_card(run, "AutoModelForSequenceClassification", trust=False)
    silent = model_card(run.model_copy(update={"changes": []}), "AutoModelForSequenceClassification", trust=False)
    assert sentence not in silent
