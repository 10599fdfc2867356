"""Tiny random models with a tokenizer of one-letter words, in the form that load_model returns, and texts for them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from liar import stream
from liar.data import text_reader
from liar.data.corpora import text_steps
from liar.evaluate.task_readers import Request, held_out_windows
from liar.events import Finished
from liar.jobs import estimates
from liar.models.embedder import Embedder
from liar.models.families import adapt
from liar.models.heads import head_of, task_for
from liar.models.loaded import LoadedModel
from liar.progress import finish
from liar.results import CalibrationText
from liar.runtime.devices import Batch
from liar.spec import AUTO, PruneSpec, Separator
from liar.tasks.demo import PERPLEXITY
from liar.tasks.registry import TASKS
from liar.tasks.samples import Sample
from liar.tasks.splits import Split

LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]
_SIZES = {
    "vocab_size": len(_SPECIAL) + len(LETTERS),
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
}


def word_tokenizer(vocabulary: Iterable[str], begin: str, end: str, **choices: Any) -> PreTrainedTokenizerFast:
    """One token a word; ``begin`` and ``end`` around a text and ``end`` after a pair when special tokens are asked for."""
    numbers = {word: index for index, word in enumerate(vocabulary)}
    words = Tokenizer(WordLevel(numbers, unk_token=choices["unk_token"]))
    words.pre_tokenizer = Whitespace()
    words.post_processor = TemplateProcessing(
        single=f"{begin} $A {end}",
        pair=f"{begin} $A {end} $B:1 {end}:1",
        special_tokens=[(begin, numbers[begin]), (end, numbers[end])],
    )
    return PreTrainedTokenizerFast(tokenizer_object=words, **choices)


def tokenizer(positions: int) -> PreTrainedTokenizerFast:
    """One token a letter."""
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    return word_tokenizer([*_SPECIAL, *LETTERS], "<s>", "</s>", model_max_length=positions, **names)


def language_model(positions: int = 512, layers: int = 2, kv_heads: int = 2) -> LoadedModel:
    torch.manual_seed(0)
    sizes = {**_SIZES, "num_hidden_layers": layers}
    config = LlamaConfig(
        **sizes, num_key_value_heads=kv_heads, max_position_embeddings=positions, initializer_range=0.2
    )
    return _loaded("tiny/llama", LlamaForCausalLM(config), positions)


def classifier(labels: tuple[str, ...] = ("negative", "positive"), positions: int = 64) -> LoadedModel:
    torch.manual_seed(0)
    config = BertConfig(
        **_SIZES,
        max_position_embeddings=positions,
        initializer_range=0.5,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )
    return _loaded("tiny/bert", BertForSequenceClassification(config), positions)


def pair_classifier() -> LoadedModel:
    """A classifier whose tokenizer marks the second text of a pair by its token type, as BERT's does."""
    loaded = classifier()
    loaded.tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    return loaded


def encoder(positions: int = 64) -> LoadedModel:
    torch.manual_seed(0)
    loaded = _loaded("tiny/encoder", BertModel(BertConfig(**_SIZES, max_position_embeddings=positions)), positions)
    loaded.embedder = Embedder()
    return loaded


def mute(positions: int = 64) -> LoadedModel:
    """A model whose head answers nothing that is asked here."""
    torch.manual_seed(0)
    config = BertConfig(**_SIZES, max_position_embeddings=positions)
    return _loaded("tiny/mute", BertForMaskedLM(config), positions)


def _loaded(name: str, model: PreTrainedModel, positions: int) -> LoadedModel:
    model.eval().requires_grad_(False)
    bundled = [task for task in TASKS if task.is_bundled]
    task = task_for(head_of([type(model).__name__]), model.config, bundled)
    return LoadedModel(name, model, tokenizer(positions), adapt(model), None if task is None else task.name)


def letters_file(folder: Path) -> str:
    """A file with 26 texts, each of all letters."""
    path = folder / "letters.txt"
    path.write_text("\n\n".join(" ".join(LETTERS[start:] + LETTERS[:start]) for start in range(26)))
    return str(path)


def finished(spec: PruneSpec, loaded: LoadedModel | None = None, **options: Any) -> tuple[Finished, LoadedModel]:
    """The last event of a run, and its model."""
    *_, last = stream(spec, loaded, **options)
    assert isinstance(last, Finished)
    assert last.model is not None
    return last, last.model


def labelled_letters(length: int) -> list[Sample]:
    """60 texts of ``length`` random letters with random labels, always the same ones."""
    generator = torch.Generator().manual_seed(2)
    letters = [torch.randint(0, 26, (length,), generator=generator).tolist() for _ in range(60)]
    labels = torch.randint(0, 2, (60,), generator=generator).tolist()
    return [
        Sample(" ".join(LETTERS[letter] for letter in drawn), ("negative", "positive")[label])
        for drawn, label in zip(letters, labels, strict=True)
    ]


def replace_demo_samples(monkeypatch: pytest.MonkeyPatch, samples: list[Sample]) -> None:
    """Let every demo task have ``samples``, in each of its parts."""
    for module in (text_reader, estimates):
        monkeypatch.setattr(module, "demo_samples", lambda *_: samples)


def windows(
    loaded: LoadedModel,
    data: str | None = None,
    limit: int = 20,
    length: int = 256,
    *,
    split: Split = "test",
    separator: Separator = AUTO,
) -> torch.Tensor:
    """Held-out windows for perplexity (windows, length), of ``data`` or else of Wikipedia leads."""
    return held_out_windows(Request(loaded, PERPLEXITY, split, limit, data, length, separator))[0]


def calibration_text(
    source: str,
    loaded: LoadedModel,
    tokens: int | Literal["auto"],
    length: int,
    seed: int,
    separator: Separator = AUTO,
    *,
    data: str | None = None,
) -> tuple[list[Batch], CalibrationText]:
    """Batches of the text of a recipe, which may be too small to be valid, and their description."""
    chosen = {"calibration": source, "tokens": tokens, "sequence_length": length, "seed": seed, "separator": separator}
    spec = PruneSpec(data=data).model_copy(update=chosen)
    batches, _, text = finish(text_steps(spec, loaded))
    return batches, text
