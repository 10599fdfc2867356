"""Fewer tokens: text of tokens that stay is read as before, by every kind of tokenizer, and gives the same logits."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from liar import load_model
from liar.errors import InvalidSpecError, UnsupportedModelError
from liar.models.families import adapt
from liar.models.loaded import LoadedModel, parameter_count
from liar.models.vocabulary.token_model import token_model
from liar.models.vocabulary.vocabulary import check_vocabulary, closed, with_vocabulary

TEXT = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
LINES = [line for line in TEXT.splitlines() if line.strip()]
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]
NAMES = dict(zip(("pad_token", "unk_token", "bos_token", "eos_token"), SPECIAL, strict=True))


def word_piece() -> Tokenizer:
    made = Tokenizer(models.WordPiece(unk_token="<unk>"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.train_from_iterator(
        LINES, trainers.WordPieceTrainer(vocab_size=900, special_tokens=SPECIAL, show_progress=False)
    )
    ends = [(name, made.token_to_id(name)) for name in ("<s>", "</s>")]
    made.post_processor = processors.BertProcessing(ends[1], ends[0])
    return made


def byte_pairs() -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(LINES, trainer)
    template = [("<s>", made.token_to_id("<s>"))]
    made.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing("<s> $A", "<s> $A $B", template)]
    )
    return made


def sentence_pairs() -> Tokenizer:
    """As of LLaMA 2: words begin with a bar, and what no token has is read as bytes."""
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=1_100, special_tokens=[*SPECIAL, *bytes_], show_progress=False)
    made.train_from_iterator(LINES, trainer)
    return made


def unigrams() -> Tokenizer:
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=600, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    made.train_from_iterator(LINES, trainer)
    return made


KINDS: list[Callable[[], Tokenizer]] = [word_piece, byte_pairs, sentence_pairs, unigrams]


@cache
def loaded(make: Callable[[], Tokenizer], *, tied: bool = False) -> LoadedModel:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=make(), **NAMES)
    torch.manual_seed(0)
    sizes = {"vocab_size": len(tokenizer) + 3, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    ids = {"num_attention_heads": 2, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": [3, 2]}
    if make is word_piece:
        model = BertForSequenceClassification(BertConfig(**sizes, **ids | {"eos_token_id": 3}))
    else:
        model = LlamaForCausalLM(LlamaConfig(**sizes, **ids, tie_word_embeddings=tied))
    model.eval()
    return LoadedModel("tiny/words", model, tokenizer, adapt(model), None)


def tokens(model: LoadedModel, text: str) -> list[int]:
    found: list[int] = model.tokenizer(text)["input_ids"]
    return found


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
@settings(max_examples=25, deadline=None)
@given(chosen=st.sets(st.integers(0, len(LINES) - 1), min_size=1, max_size=12))
def test_text_of_tokens_that_stay_is_read_as_before(make: Callable[[], Tokenizer], chosen: set[int]) -> None:
    dense = loaded(make)
    lines = [LINES[index] for index in sorted(chosen)]
    kept = closed(dense, [id for line in lines for id in tokens(dense, line)])
    short = with_vocabulary(dense, kept)
    stay = set(kept)
    for line in LINES:
        before = tokens(dense, line)
        if stay.issuperset(before):
            assert [kept[id] for id in tokens(short, line)] == before
    assert all(stay.issuperset(tokens(dense, line)) for line in lines)
    assert len(short.tokenizer) <= len(kept) <= len(dense.tokenizer)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_logits_are_those_of_the_dense_model_and_the_folder_loads_elsewhere(
    make: Callable[[], Tokenizer], tied: bool, tmp_path: Path
) -> None:
    dense = loaded(make, tied=tied)
    line = LINES[3]
    kept = closed(dense, tokens(dense, line))
    short = with_vocabulary(dense, kept)
    read = dense.tokenizer(line, return_tensors="pt")
    with torch.no_grad():
        wanted = dense.model(**read).logits
        found = short.model(**short.tokenizer(line, return_tensors="pt")).logits
    torch.testing.assert_close(found, wanted if make is word_piece else wanted[..., kept], rtol=0, atol=1e-6)
    assert parameter_count(short.model) < parameter_count(dense.model)
    short.model.save_pretrained(tmp_path)
    short.tokenizer.save_pretrained(tmp_path)
    load = AutoModelForSequenceClassification if make is word_piece else AutoModelForCausalLM
    elsewhere, tokenizer = load.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    assert elsewhere.config.vocab_size == len(kept)
    assert tokenizer(line)["input_ids"] == tokens(short, line)
    with torch.no_grad():
        assert torch.equal(elsewhere(**tokenizer(line, return_tensors="pt")).logits, found)
    for name in NAMES:
        assert kept[getattr(tokenizer, f"{name}_id")] == getattr(dense.tokenizer, f"{name}_id")
    assert kept[elsewhere.config.pad_token_id] == dense.model.config.pad_token_id
    if make is not word_piece:
        assert [kept[id] for id in elsewhere.config.eos_token_id] == [3, 2]
        assert (short.model.lm_head.weight is short.model.model.embed_tokens.weight) == tied


@pytest.mark.parametrize("make", [byte_pairs, sentence_pairs], ids=lambda make: make.__name__)
def test_other_text_falls_into_pieces_and_nothing_is_lost(make: Callable[[], Tokenizer]) -> None:
    dense = loaded(make)
    short = with_vocabulary(dense, closed(dense, []))
    assert short.vocabulary is not None
    text = "Prune a model, repair it: naïve 漢字 😀"
    assert short.tokenizer.decode(tokens(short, text), skip_special_tokens=True).strip() == (
        dense.tokenizer.decode(tokens(dense, text), skip_special_tokens=True).strip()
    )
    own, whole = tokens(short, text), tokens(dense, text)
    assert len(own) > len(whole)
    pieces = short.vocabulary.of_dense(whole)
    assert [id for row in pieces for id in row] == own
    assert short.vocabulary.to_dense(own) == [short.vocabulary.kept[id] for id in own]


@pytest.mark.demo
@pytest.mark.parametrize("model", ["demo/minilm-sentiment", "demo/smollm2-135m"])
def test_a_demo_model_answers_as_before(model: str) -> None:
    dense = load_model(model, "cpu", "float32")
    kept = closed(dense, [id for line in LINES for id in tokens(dense, line)])
    short = with_vocabulary(dense, kept)
    assert len(kept) < len(dense.tokenizer) / 2
    for line in LINES[:20]:
        assert [kept[id] for id in tokens(short, line)] == tokens(dense, line)
    with torch.no_grad():  # in double precision: products of other shapes round otherwise
        wanted, found = (
            each.model.double()(**each.tokenizer(LINES[3], return_tensors="pt")).logits for each in (dense, short)
        )
    wanted = wanted[..., kept] if dense.is_language_model else wanted
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)


def test_the_most_wanted_stay_within_a_number() -> None:
    dense = loaded(byte_pairs)
    least = len(closed(dense, []))
    wanted = tokens(dense, TEXT)
    for most in (least, least + 10, least + 100):
        kept = closed(dense, wanted, most)
        assert len(kept) <= most
        assert set(closed(dense, [])) <= set(kept)
    with pytest.raises(InvalidSpecError, match=f"{least} tokens of this vocabulary always stay"):
        closed(dense, wanted, least - 1)


def test_what_has_no_list_of_tokens_is_one_sentence() -> None:
    class Alone:
        """A tokenizer in Python."""

    with pytest.raises(UnsupportedModelError, match=r"no tokenizer\.json"):
        token_model(Alone())  # type: ignore[arg-type]
    dense = with_vocabulary(loaded(byte_pairs), closed(loaded(byte_pairs), []))
    dense.model.register_parameter("beside", torch.nn.Parameter(torch.zeros(len(dense.vocabulary.kept), 2)))
    with pytest.raises(UnsupportedModelError, match="beside has a row for each token"):
        check_vocabulary(dense)
