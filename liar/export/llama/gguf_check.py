"""What llama.cpp answers beside torch, where llama-cpp-python is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from liar.errors import LiarError
from liar.export.parity import PERPLEXITY, TEXTS, finite, texts_for
from liar.models.loaded import LoadedModel
from liar.report.exported import Check, Weights

MOST_DIFFERENCE = 1e-2
"""Of logits, with weights, keys and values in fp32."""
NOT_INSTALLED = (
    "Not compared with torch, for want of llama-cpp-python (`pip install llama-cpp-python` compiles llama.cpp)."
)
_PROMPTS = ("The capital of France is", "Once upon a time, in 1897,", "def mean(values):\n    return", "Water boils at")
_TOKENS = 24
_LONGEST = 96


def checks(loaded: LoadedModel, path: Path, weights: Weights, threads: int) -> list[Check] | None:
    """Token ids and, of fp32, greedy tokens and logits; of rounded weights the perplexity. None without llama-cpp-python.

    Raises :class:`LiarError` if ids, or logits of fp32, are others than torch's.
    """
    try:
        from llama_cpp import Llama
    except ImportError:
        return None
    # Keys and values in fp32 instead of llama.cpp's default, half precision, and no faster attention in it.
    engine = Llama(str(path), n_ctx=4 * _LONGEST, n_threads=threads, logits_all=True, verbose=False, type_k=0, type_v=0)
    texts = [sample.joined for sample in texts_for(loaded, TEXTS)]
    found = [_same_ids(loaded, engine, [*_PROMPTS, *texts])]
    rows = [loaded.tokenizer(text)["input_ids"][:_LONGEST] for text in texts]
    answers = [(_torch_logits(loaded, ids), logits(engine, ids)) for ids in rows]
    if weights != "fp32":
        ours, theirs = (
            np.mean([loss(pair[side], ids) for pair, ids in zip(answers, rows, strict=True)]) for side in (0, 1)
        )
        return [*found, finite(Check(name=PERPLEXITY, value=float(np.exp(theirs - ours)), n=len(rows)))]
    difference = max(float(np.abs(ours - theirs).max()) for ours, theirs in answers)
    close = Check(name="Largest difference of a logit to torch", value=difference, n=len(rows), most=MOST_DIFFERENCE)
    found += [close, _same_tokens(loaded, engine)]
    if not all(check.holds for check in found):
        raise LiarError(
            f"llama.cpp answers otherwise than torch ({' '.join(check.sentence for check in found)}) and the file was not "
            "kept; export it to onnx instead, and report this with the folder's config.json."
        )
    return found


def _same_ids(loaded: LoadedModel, engine: Any, texts: list[str]) -> Check:
    adds_begin = loaded.tokenizer("a")["input_ids"][0] == loaded.tokenizer.bos_token_id
    equal = [
        engine.tokenize(text.encode(), add_bos=adds_begin) == list(loaded.tokenizer(text)["input_ids"])
        for text in texts
    ]
    check = Check(
        name="Share of texts with the token ids of torch", value=float(np.mean(equal)), n=len(texts), least=1.0
    )
    if not check.holds:
        raise LiarError(
            "llama.cpp splits text into other tokens than this model's tokenizer, so the file was not kept; convert a stock "
            "folder by llama.cpp's own convert_hf_to_gguf.py, or export to onnx."
        )
    return check


def _same_tokens(loaded: LoadedModel, engine: Any) -> Check:
    """Share of prompts that both continue with the same greedy tokens."""
    equal = []
    for prompt in _PROMPTS:
        ids = list(loaded.tokenizer(prompt)["input_ids"])
        theirs = list(ids)
        for _ in range(_TOKENS):
            theirs.append(int(logits(engine, theirs)[-1].argmax()))
        given = torch.tensor([ids])
        with torch.no_grad():
            ours = cast(Any, loaded.model).generate(
                given,
                attention_mask=torch.ones_like(given),
                max_new_tokens=_TOKENS,
                min_new_tokens=_TOKENS,
                do_sample=False,
                eos_token_id=None,
            )
        equal.append(ours[0].tolist() == theirs)
    return Check(
        name=f"Share of prompts continued with the same {_TOKENS} tokens",
        value=float(np.mean(equal)),
        n=len(equal),
        least=1.0,
    )


def logits(engine: Any, ids: list[int]) -> NDArray[np.float32]:
    engine.reset()
    engine.eval(ids)
    return np.array(engine.scores[: len(ids)], dtype=np.float32)


def _torch_logits(loaded: LoadedModel, ids: list[int]) -> NDArray[np.float32]:
    with torch.no_grad():
        found = loaded.model(torch.tensor([ids]), use_cache=False).logits[0]
    return np.asarray(found.float().numpy(), dtype=np.float32)


def loss(logits: NDArray[np.float32], ids: list[int]) -> float:
    """Mean loss of the next token."""
    return float(torch.nn.functional.cross_entropy(torch.tensor(logits[:-1]), torch.tensor(ids[1:])))
