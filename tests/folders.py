"""Folders of tiny random models, each saved with a tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import BertTokenizer, PreTrainedModel

BERT = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 12}
LLAMA = {**BERT, "num_key_value_heads": 1, "max_position_embeddings": 64}


def save(model: PreTrainedModel, folder: Path) -> str:
    """Save a model with a tiny tokenizer; returns the folder as a model name."""
    model.save_pretrained(folder)
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefg"]))
    tokenizer = BertTokenizer(str(vocabulary))
    tokenizer.eos_token = "[SEP]"
    tokenizer.save_pretrained(folder)
    return str(folder)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def change(file: Path, **values: Any) -> None:
    """Replace ``values`` in a file of JSON."""
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
