"""Conversion of a quantized GGUF file to an ordinary checkpoint folder of transformers."""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from liar.runtime.quiet import quiet_transformers


def convert_gguf(source: Path, target: Path) -> None:
    """Write fp32 safetensors, config, generation config and tokenizer with its chat template to ``target``.

    ``source`` is a GGUF of a family that transformers can read; its quantized weights are only expanded to fp32.
    """
    folder, name = str(source.parent), source.name
    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
        with redirect_stderr(io.StringIO()):  # no setting of transformers turns off the progress bar of its GGUF reader
            model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
        # The weights are no longer quantized, but with these attributes save_pretrained would refuse.
        del model.config.quantization_config
        del model.hf_quantizer
        tokenizer.model_max_length = model.config.max_position_embeddings  # a GGUF tokenizer has no length limit
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)
