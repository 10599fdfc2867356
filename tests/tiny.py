"""Tiny random models with a tokenizer of one-letter words, in the form that load_model returns."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from liar.models.catalog import LoadedModel
from liar.models.families import adapt
from liar.models.heads import task_of_labels

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


def tokenizer(positions: int) -> PreTrainedTokenizerFast:
    """One token a letter; <s> and </s> around a text when special tokens are asked for."""
    vocabulary = {word: index for index, word in enumerate([*_SPECIAL, *LETTERS])}
    words = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = Whitespace()
    words.post_processor = TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=[("<s>", 2), ("</s>", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=positions,
    )


def language_model(positions: int = 512) -> LoadedModel:
    torch.manual_seed(0)
    config = LlamaConfig(**_SIZES, num_key_value_heads=2, max_position_embeddings=positions, initializer_range=0.2)
    return _loaded("tiny/llama", LlamaForCausalLM(config), positions, is_language_model=True)


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
    return _loaded("tiny/encoder", BertModel(BertConfig(**_SIZES, max_position_embeddings=positions)), positions)


def _loaded(name: str, model: PreTrainedModel, positions: int, is_language_model: bool = False) -> LoadedModel:
    model.eval().requires_grad_(False)
    has_head = isinstance(model, BertForSequenceClassification)
    task = task_of_labels(model.config.id2label.values()) if has_head else None
    return LoadedModel(name, model, tokenizer(positions), adapt(model), "perplexity" if is_language_model else task)
