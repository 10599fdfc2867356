"""A quantised GGUF file becomes an ordinary folder of transformers."""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from liar.models.quiet import quiet_transformers


def convert_gguf(source: Path, target: Path) -> None:
    """Write fp32 safetensors, config, generation config and tokenizer with its chat template to ``target``.

    ``source`` is a GGUF of a family that transformers can read; the quantised weights are expanded as they are.
    """
    folder, name = str(source.parent), source.name
    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
        with redirect_stderr(io.StringIO()):  # the reader of GGUF draws a bar that no setting of transformers stops
            model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
        # The weights are plain now, but save_pretrained still asks the quantiser, which refuses.
        del model.config.quantization_config
        del model.hf_quantizer
        tokenizer.model_max_length = model.config.max_position_embeddings  # a GGUF tokenizer knows no limit
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)
