"""Answers of tiny models, token by token, and of the demo models."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerFast

from liar.errors import InvalidSpecError
from liar.evaluate.answering import generate as writing
from liar.evaluate.answering.generate import generate, stream_tokens
from liar.loading.catalog import load_model
from liar.models.loaded import LoadedModel
from tests.tiny import classifier, language_model, mute


def greedy(loaded: LoadedModel, prompt: str, count: int) -> list[int]:
    """Token ids that greedy ``generate`` of transformers adds to the prompt."""
    encoded = loaded.tokenizer(prompt, return_tensors="pt")
    output = loaded.model.generate(**encoded, do_sample=False, max_new_tokens=count)
    return output[0, encoded["input_ids"].shape[1] :].tolist()


def unending(loaded: LoadedModel) -> LoadedModel:
    loaded.model.generation_config.eos_token_id = None
    return loaded


def test_greedy_answers_are_those_of_transformers() -> None:
    loaded = unending(language_model())
    expected = greedy(loaded, "a b c", 24)
    pieces = list(stream_tokens(loaded, "a b c", max_new_tokens=24))
    assert [piece.token for piece in pieces] == expected
    answer = generate(loaded, "a b c", "pruned", max_new_tokens=24)
    assert answer.text == loaded.tokenizer.decode(expected, skip_special_tokens=True)
    assert answer.text == "".join(piece.text for piece in pieces)
    assert [token.text for token in answer.tokens] == [piece.text for piece in pieces]
    assert (answer.prompt, answer.variant, answer.probabilities) == ("a b c", "pruned", None)
    assert answer.dense_perplexity is None
    assert answer.tokens[0].probability is None


@pytest.mark.parametrize("several", [False, True])
def test_an_answer_stops_where_the_model_ends_it(several: bool) -> None:
    loaded = unending(language_model())
    first, *rest = greedy(loaded, "a b c", 24)
    end = next(token for token in rest if token != first)
    loaded.model.generation_config.eos_token_id = [end, 1] if several else end
    pieces = list(stream_tokens(loaded, "a b c", max_new_tokens=24))
    assert pieces[0].token == first
    assert [piece.token for piece in pieces] == [first, *rest][: rest.index(end) + 1]


def test_an_answer_can_be_left_at_any_moment() -> None:
    loaded = unending(language_model())
    with closing(stream_tokens(loaded, "a b c", max_new_tokens=400)) as pieces:  # type: ignore[type-var]
        first = [next(pieces).token, next(pieces).token]
    assert first == greedy(loaded, "a b c", 2)
    assert next(pieces, None) is None


def test_a_character_of_several_tokens_arrives_with_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = language_model()
    alphabet = sorted(ByteLevel.alphabet())
    letters = Tokenizer(BPE({letter: index for index, letter in enumerate(alphabet)}, []))
    letters.pre_tokenizer, letters.decoder = ByteLevel(add_prefix_space=False), ByteLevelDecoder()
    loaded.tokenizer = PreTrainedTokenizerFast(tokenizer_object=letters, model_max_length=512)
    written = "é €😀a"
    tokens = letters.encode(written).ids[:-1]
    cut_short = [*tokens, letters.encode("€").ids[0]]
    monkeypatch.setattr(writing, "new_tokens", lambda *_: iter(cut_short))
    pieces = list(stream_tokens(loaded, "a"))
    assert [piece.token for piece in pieces] == cut_short
    assert "|".join(piece.text for piece in pieces) == "|é| |||€||||😀|\N{REPLACEMENT CHARACTER}"


def test_the_dense_model_scores_an_answer_in_one_forward() -> None:
    loaded, dense = unending(language_model()), unending(language_model())
    torch.manual_seed(3)
    for parameter in loaded.model.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.1)
    calls: list[int] = []
    hook = dense.model.register_forward_pre_hook(lambda *_: calls.append(1))
    answer = generate(loaded, "a b c", max_new_tokens=9, dense=dense)
    hook.remove()
    assert len(calls) == 1

    tokens = dense.tokenizer("a b c")["input_ids"]
    expected: list[float] = []
    for piece in stream_tokens(loaded, "a b c", max_new_tokens=9):
        logits = dense.model(torch.tensor([tokens]), use_cache=False).logits[0, -1]
        expected.append(float(logits.softmax(0)[piece.token]))
        tokens.append(piece.token)
    assert [token.probability for token in answer.tokens] == pytest.approx(expected, rel=1e-4)
    mean = sum(math.log(probability) for probability in expected) / len(expected)
    assert answer.dense_perplexity == pytest.approx(math.exp(-mean), rel=1e-4)


def test_an_answer_without_tokens_has_no_perplexity() -> None:
    loaded = language_model()
    loaded.model.generation_config.eos_token_id = greedy(unending(loaded), "a b c", 1)
    answer = generate(loaded, "a b c", dense=language_model())
    assert (answer.text, answer.tokens, answer.dense_perplexity) == ("", [], None)


def test_the_models_own_sampling_settings_do_not_leak_in() -> None:
    loaded = language_model()
    expected = generate(loaded, "a b c").tokens
    loaded.model.generation_config.update(do_sample=True, temperature=5.0, top_k=2)
    assert generate(loaded, "a b c").tokens == expected


def test_a_temperature_near_zero_is_greedy() -> None:
    loaded = unending(language_model())
    drawn = stream_tokens(loaded, "a b c", max_new_tokens=12, temperature=1e-300, seed=5)
    assert [piece.token for piece in drawn] == greedy(loaded, "a b c", 12)


def test_sampling_follows_its_seed_and_leaves_torch_alone() -> None:
    loaded = language_model()
    torch.manual_seed(7)
    state = torch.get_rng_state()
    answers = [generate(loaded, "a b c", temperature=1.5, seed=seed).text for seed in (1, 1, 2)]
    assert answers[0] == answers[1] != answers[2]
    assert torch.equal(torch.get_rng_state(), state)


def test_a_chat_model_gets_its_template() -> None:
    loaded = language_model()
    seen: list[Any] = []
    loaded.model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0].tolist()))
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


LONG = " ".join("a" * 60)


def test_a_prompt_and_its_answer_may_fill_the_positions() -> None:
    assert generate(language_model(positions=64), LONG, max_new_tokens=2).text is not None


@pytest.mark.parametrize(
    ("build", "prompt", "choices", "words"),
    [
        (language_model, "", {}, "empty"),
        (language_model, "  \n\t", {}, "empty"),
        (classifier, "", {}, "empty"),
        (partial(language_model, positions=64), LONG, {"max_new_tokens": 3}, "64 positions"),
        (partial(classifier, positions=64), LONG + " a b c", {}, "64 positions"),
        (mute, "a b c", {}, "no head that writes"),
        (language_model, "a", {"temperature": -0.1}, "A temperature is at least 0"),
        (language_model, "a", {"max_new_tokens": 0}, "at least one new token"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    build: Callable[[], LoadedModel], prompt: str, choices: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidSpecError, match=words):
        generate(build(), prompt, **choices)


@pytest.mark.demo
def test_the_demo_model_answers_a_question() -> None:
    assert "Paris" in (generate(load_model("demo/smollm2-135m"), "What is the capital of France?").text or "")


@pytest.mark.demo
def test_the_demo_classifier_separates_praise_from_scorn() -> None:
    loaded = load_model("demo/minilm-sentiment")
    praise = generate(loaded, "A warm, funny and deeply moving film.").probabilities or {}
    scorn = generate(loaded, "A tedious, lifeless mess of a film.").probabilities or {}
    assert praise["positive"] > 0.8
    assert scorn["negative"] > 0.8
