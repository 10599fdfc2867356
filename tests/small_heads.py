"""Small random models with each kind of head, in the form that load_model returns, and their tokenizer of a few words."""

from __future__ import annotations

import torch
from transformers import (
    BertConfig,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from liar.models.embedder import Embedder
from liar.models.families import adapt
from liar.models.loaded import LoadedModel
from liar.tasks.registry import task_named
from tests.tiny import word_tokenizer

SPECIAL = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3}
WORDS = ["red", "green", "blue", "é", "x", "longer"]
SIZES = {
    "vocab_size": len(SPECIAL) + len(WORDS),
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
}
"""Sizes of a tiny model for :data:`TOKENIZER`."""


def tokenizer() -> PreTrainedTokenizerFast:
    """A word a token, as a BERT would pack a pair."""
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    read = ["input_ids", "token_type_ids", "attention_mask"]
    return word_tokenizer([*SPECIAL, *WORDS], "[CLS]", "[SEP]", model_input_names=read, **names)


TOKENIZER = tokenizer()

POSITIONS = SIZES["max_position_embeddings"]


def classifier(labels: tuple[str, ...]) -> LoadedModel:
    """A classifier with these names of classes."""
    return _loaded(BertForSequenceClassification(_config(labels)))


def regressor() -> LoadedModel:
    """A model of one output."""
    return _loaded(BertForSequenceClassification(_config(("score",))))


def marker() -> LoadedModel:
    """A model that marks an answer."""
    return _loaded(BertForQuestionAnswering(_config(("LABEL_0", "LABEL_1"))))


def embedder(made: Embedder | None = None) -> LoadedModel:
    """A model without a head, by default with mean pooling."""
    loaded = _loaded(BertModel(_config(("LABEL_0", "LABEL_1"))))
    loaded.embedder = made or Embedder()
    return loaded


def reader() -> LoadedModel:
    """A causal language model."""
    torch.manual_seed(0)
    return _loaded(LlamaForCausalLM(LlamaConfig(**SIZES, num_hidden_layers=1, pad_token_id=0)))


def head_for(task: str) -> LoadedModel:
    """A model for a task of GLUE or for SQuAD."""
    record = task_named(task)
    if record.head == "span":
        return marker()
    return regressor() if record.head == "regression" else classifier(record.labels)


def predicted_class(loaded: LoadedModel, *texts: str) -> int:
    """The model's class for one text or pair, read alone."""
    return int(loaded.model(**loaded.tokenizer(*texts, return_tensors="pt")).logits[0].argmax())


def _config(labels: tuple[str, ...]) -> BertConfig:
    torch.manual_seed(0)
    return BertConfig(
        **SIZES,
        num_hidden_layers=2,
        initializer_range=0.8,
        pad_token_id=0,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )


def _loaded(model: PreTrainedModel) -> LoadedModel:
    model.eval().requires_grad_(False)
    return LoadedModel(f"small/{model.config.model_type}", model, TOKENIZER, adapt(model), None)
