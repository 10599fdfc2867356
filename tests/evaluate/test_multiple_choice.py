"""Likelihoods of endings equal those of lm-evaluation-harness, whose own forward reads each ending with its context."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import disk_offload
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import ByT5Tokenizer, PreTrainedTokenizerBase

from liar.errors import CalibrationError
from liar.evaluate import branches
from liar.evaluate.branches import score_steps
from liar.evaluate.multiple_choice import answers_by_length, choice_steps
from liar.models.quantize import quantized
from liar.progress import finish
from liar.tasks.samples import Sample
from tests.subwords import POSITIONS, WORDS, loaded, network, subwords
from tests.tiny import LETTERS, tokenizer

TOKENIZERS = {
    "begin and end around a text": lambda: tokenizer(POSITIONS),
    "bytes and an end": ByT5Tokenizer,
    "subwords": lambda: subwords(begin=False),
    "subwords after a begin": lambda: subwords(begin=True),
}


def items(count: int = 12) -> list[Sample]:
    """Items whose number of endings differs, and two whose last token begins in the context's last space."""
    draw = random.Random(1)

    def text(most: int) -> str:
        return " ".join(draw.choices([*WORDS, *LETTERS], k=draw.randint(1, most)))

    contexts = [text(14) for _ in range(count)]
    contexts[1] += "  "
    endings = [tuple(f" {text(6)}" for _ in range(draw.randint(2, 5))) for _ in range(count)]
    endings[2] = (" a", " b", " the")
    return [Sample(text, endings=each) for text, each in zip(contexts, endings, strict=True)]


def by_harness(network: Any, words: PreTrainedTokenizerBase, choices: list[Sample]) -> list[list[float]]:
    harness = HFLM(pretrained=network, tokenizer=words, backend="causal", batch_size=3)
    found = []
    for each in choices:
        asked = [Instance("loglikelihood", {}, (each.text, ending), 0) for ending in each.endings]
        found.append([value for value, _ in harness.loglikelihood(asked, disable_tqdm=True)])
    return found


def check_equal(network: Any, words: PreTrainedTokenizerBase, choices: list[Sample]) -> None:
    expected = by_harness(network, words, choices)
    found = finish(choice_steps(network, words, choices))
    by_length = []
    for row, values, each in zip(found, expected, choices, strict=True):
        assert row.dtype == torch.float64
        assert row.tolist() == pytest.approx(values, abs=1e-4)
        by_length.append([value / (len(ending) - 1) for value, ending in zip(values, each.endings, strict=True)])
    assert [int(row.argmax()) for row in found] == [row.index(max(row)) for row in expected]
    assert answers_by_length(found, choices) == [row.index(max(row)) for row in by_length]


@pytest.fixture(params=TOKENIZERS)
def words(request: pytest.FixtureRequest) -> PreTrainedTokenizerBase:
    return TOKENIZERS[request.param]()


def test_likelihoods_and_answers_equal_the_harness(words: PreTrainedTokenizerBase) -> None:
    check_equal(network(), words, items())


def test_an_empty_context_and_one_that_begins_with_the_begin_token(words: PreTrainedTokenizerBase) -> None:
    begin = words.bos_token or words.eos_token
    rows = [("", (" a c", " b d e")), (f"{begin}a b", (" c", " d e")), ("", (f"{begin} a", " b d"))]
    check_equal(network(), words, [Sample(text, endings=endings) for text, endings in rows])


def test_what_exceeds_the_positions_is_cut_from_the_context(words: PreTrainedTokenizerBase) -> None:
    long = " ".join(LETTERS * 5)
    rows = [(long, (" a b c", " d")), ("a b", (" e", " f g")), (long, (" h i", " j k"))]
    check_equal(network(), words, [Sample(text, endings=endings) for text, endings in rows])


def test_batches_do_not_change_the_likelihoods(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny, words = network(), subwords(begin=True)
    together = finish(choice_steps(tiny, words, items()))
    monkeypatch.setattr(branches, "_TOKENS", 40)
    progress: list[tuple[int, int]] = []
    alone = finish(choice_steps(tiny, words, items()), progress.append)
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-5)
    done = [count for count, _ in progress]
    assert done == sorted(done)
    assert len(done) > 3
    assert progress[-1] == (12, 12)


def test_the_head_sees_only_positions_before_a_token_of_an_ending() -> None:
    tiny = network()
    rows = []
    tiny.get_output_embeddings().register_forward_hook(lambda module, read, out: rows.append(read[0].shape[0]))
    context = list(range(40))
    finish(score_steps(tiny, [("", context, [1, 2, 3]), ("", context, [4]), ("", [7], [8, 9])], POSITIONS))
    assert sum(rows) == 3 + 1 + 2


def test_greedy_endings_are_those_of_the_highest_logits() -> None:
    tiny, start = network(), [5, 6, 7]
    tokens = list(start)
    for _ in range(3):
        tokens.append(int(tiny(torch.tensor([tokens])).logits[0, -1].argmax()))
    best = tokens[3:]
    other = [*best[:2], (best[2] + 1) % 384]
    greedy, not_greedy = finish(score_steps(tiny, [("", start, best), ("", start, other)], POSITIONS))
    assert greedy[1]
    assert not not_greedy[1]


def test_low_precision_int8_and_streamed_models(tmp_path: Path) -> None:
    choices, words, tiny = items(4), subwords(begin=True), network()
    exact = torch.cat(finish(choice_steps(tiny, words, choices)))
    coarse = torch.cat(finish(choice_steps(network(torch.bfloat16), words, choices)))
    assert torch.isfinite(coarse).all()
    int8 = quantized(loaded()).model
    check_equal(int8, words, choices)
    disk_offload(tiny, str(tmp_path), execution_device=torch.device("cpu"))
    assert torch.cat(finish(choice_steps(tiny, words, choices))).equal(exact)


@pytest.mark.parametrize("ending", ["", " a" * (POSITIONS + 1)])
def test_an_ending_without_tokens_or_with_too_many_is_refused(ending: str) -> None:
    choices = [Sample("a b", endings=(" a", " b")), Sample("c", endings=(" d", ending))]
    with pytest.raises(CalibrationError, match=r"has (0|97) tokens of its own"):
        next(choice_steps(network(), subwords(begin=True), choices))


def test_an_empty_context_needs_a_token_in_its_place() -> None:
    words = subwords(begin=False)
    words.eos_token = None
    with pytest.raises(CalibrationError, match="context of ' a' is empty"):
        next(choice_steps(network(), words, [Sample("", endings=(" a", " b"))]))
