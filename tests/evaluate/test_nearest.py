"""What an embedder finds of some hundred leads."""

from __future__ import annotations

import pytest
import torch

from components.measured.answer_markup import live_answers
from liar.errors import InvalidSpecError
from liar.evaluate.answering import nearest
from liar.evaluate.answering.reply import reply
from liar.results import Found, Generation
from liar.tasks.samples import Article
from tests.small_heads import embedder

LEADS = tuple(
    Article(word, f"{word} {word} x", "", "") for word in ("red", "green", "blue", "é", "longer", "x", "red blue")
)


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "leads", lambda: LEADS)


def test_the_most_similar_leads_come_first() -> None:
    loaded = embedder()
    found = reply(loaded, "green green x", "dense").found
    assert found is not None
    assert len(found) == nearest.NEAREST
    assert found[0].title == "green"
    assert found[0].similarity == pytest.approx(1, abs=1e-4)
    assert [item.similarity for item in found] == sorted((item.similarity for item in found), reverse=True)


def test_each_variant_of_one_model_has_its_own_vectors() -> None:
    """The pruned and the reconstructed model are one object, whose weights are exchanged."""
    loaded = embedder()
    before = reply(loaded, "red x", "pruned").found
    with torch.no_grad():
        loaded.model.encoder.layer[0].output.dense.weight.mul_(-3)
    assert reply(loaded, "red x", "reconstructed").found != before


@pytest.mark.parametrize(("prompt", "message"), [(" ", "is empty"), ("red " * 200, "shorten it")])
def test_a_prompt_that_cannot_be_read_is_one_sentence(prompt: str, message: str) -> None:
    with pytest.raises(InvalidSpecError, match=message):
        reply(embedder(), prompt, "dense")


def test_what_moved_is_marked_and_texts_are_escaped() -> None:
    def answer(variant: str, *titles: str) -> Generation:
        found = [Found(title=title, text="<i>", similarity=0.5) for title in titles]
        return Generation(prompt="p", variant=variant, found=found)  # type: ignore[arg-type]

    markup = live_answers("p", [answer("dense", "a", "b", "<c>"), answer("pruned", "b", "a", "d")])
    dense, pruned = markup.split('class="variant pruned"')
    assert "<i>" not in markup
    assert "&lt;c&gt;" in dense
    assert "was" not in dense
    assert pruned.count("was") == 2
    assert pruned.count(" new.") == 1
    assert "No longer found: &lt;c&gt;." in pruned
