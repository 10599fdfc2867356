"""Answers of tiny models, step by step, and of the demo models."""

from __future__ import annotations

import pytest
import torch

from liar.errors import InvalidSpecError
from liar.generate import generate
from liar.models.catalog import load_model
from tests.tiny import classifier, encoder, language_model


def test_greedy_answers_take_the_likeliest_token_each_time() -> None:
    loaded = language_model()
    loaded.model.generation_config.eos_token_id = None
    tokens = loaded.tokenizer("a b c", return_tensors="pt")["input_ids"]
    length = tokens.shape[1]
    for _ in range(12):
        following = loaded.model(tokens, use_cache=False).logits[0, -1].argmax()
        tokens = torch.cat([tokens, following.view(1, 1)], dim=1)
    expected = loaded.tokenizer.decode(tokens[0, length:], skip_special_tokens=True).strip()
    answer = generate(loaded, "a b c", "pruned", max_new_tokens=12)
    assert answer.text == expected
    assert (answer.prompt, answer.variant, answer.probabilities) == ("a b c", "pruned", None)


def test_the_models_own_sampling_settings_do_not_leak_in() -> None:
    loaded = language_model()
    expected = generate(loaded, "a b c")
    loaded.model.generation_config.update(do_sample=True, temperature=5.0, top_k=2)
    assert generate(loaded, "a b c") == expected


def test_sampling_follows_its_seed_and_leaves_torch_alone() -> None:
    loaded = language_model()
    torch.manual_seed(7)
    state = torch.get_rng_state()
    answers = [generate(loaded, "a b c", temperature=1.5, seed=seed).text for seed in (1, 1, 2)]
    assert answers[0] == answers[1] != answers[2]
    assert torch.equal(torch.get_rng_state(), state)


def test_a_chat_model_is_spoken_to_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = language_model()
    seen: list[list[int]] = []
    original = loaded.model.generate

    def watch(**options: torch.Tensor) -> torch.Tensor:
        seen.append(options["input_ids"][0].tolist())
        return original(**options)

    monkeypatch.setattr(loaded.model, "generate", watch)
    loaded.tokenizer.chat_template = (
        "{% for m in messages %}u {{ m.content }} {% endfor %}{% if add_generation_prompt %}z{% endif %}"
    )
    generate(loaded, "a b", max_new_tokens=1)
    assert loaded.tokenizer.convert_ids_to_tokens(seen[0]) == ["u", "a", "b", "z"]


def test_a_classifier_gives_every_label_its_probability() -> None:
    loaded = classifier(("bad", "fair", "good"))
    answer = generate(loaded, "a b c")
    logits = loaded.model(**loaded.tokenizer("a b c", return_tensors="pt")).logits[0]
    assert answer.text is None
    assert answer.probabilities == pytest.approx(
        dict(zip(("bad", "fair", "good"), logits.softmax(0).tolist(), strict=True))
    )


@pytest.mark.parametrize("prompt", ["", "  \n\t"])
def test_an_empty_prompt_is_refused(prompt: str) -> None:
    for loaded in (language_model(), classifier()):
        with pytest.raises(InvalidSpecError, match="empty"):
            generate(loaded, prompt)


def test_a_prompt_beyond_the_models_positions_is_refused() -> None:
    long = " ".join("a" * 60)
    assert generate(language_model(positions=64), long, max_new_tokens=2).text is not None
    with pytest.raises(InvalidSpecError, match="64 positions"):
        generate(language_model(positions=64), long, max_new_tokens=3)
    with pytest.raises(InvalidSpecError, match="64 positions"):
        generate(classifier(positions=64), long + " a b c")


def test_a_model_without_a_head_says_so() -> None:
    with pytest.raises(InvalidSpecError, match="neither"):
        generate(encoder(), "a b c")


@pytest.mark.parametrize("choices", [{"temperature": -0.1}, {"max_new_tokens": 0}])
def test_impossible_choices_are_refused(choices: dict[str, float]) -> None:
    with pytest.raises(InvalidSpecError):
        generate(language_model(), "a", **choices)  # type: ignore[arg-type]


@pytest.mark.demo
def test_the_demo_model_answers_a_question() -> None:
    assert "Paris" in (generate(load_model("demo/smollm2-135m"), "What is the capital of France?").text or "")


@pytest.mark.demo
def test_the_demo_classifier_tells_praise_from_scorn() -> None:
    loaded = load_model("demo/minilm-sentiment")
    praise = generate(loaded, "A warm, funny and deeply moving film.").probabilities or {}
    scorn = generate(loaded, "A tedious, lifeless mess of a film.").probabilities or {}
    assert praise["positive"] > 0.8
    assert scorn["negative"] > 0.8
