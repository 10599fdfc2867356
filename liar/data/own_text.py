"""Text that a language model writes itself, to calibrate it on everything it knows instead of one kind of text.

Windows are sampled at temperature 1, so they follow the model's own distribution (Williams et al., arXiv 2410.17170). They
begin as a document; if the tokenizer has a chat template, every second one as a user's turn instead, so that the model
writes question and answer (Xu et al., arXiv 2406.08464). An end token ends nothing: the model begins a new text.

A model writes equal windows for an equal seed; they are kept in the cache, under a fingerprint of the weights.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from liar.data.packing import DOCUMENTS, token_between
from liar.errors import StorageError
from liar.files import cache_folder, keep_in
from liar.models.decode import last_logits
from liar.runtime.devices import execution_device
from liar.runtime.offload import fingerprint

if TYPE_CHECKING:
    from liar.models.loaded import LoadedModel

_AT_ONCE = 32
"""Windows that are written together: each step reads all weights once for all of them."""

_MOST_KEPT = 64
"""Texts in the cache; visitors of a public page choose seeds and lengths."""

_TURN = "\N{OBJECT REPLACEMENT CHARACTER}"
"""Stands for the user's words in the chat template."""

Steps = Generator[tuple[int, int], None, Tensor]
"""Generator of (tokens written, tokens in all) that returns windows (count, length) int64."""


def own_text_steps(loaded: LoadedModel, count: int, length: int, seed: int) -> Steps:
    """Sample ``count`` windows of ``length`` tokens, or read them from the cache."""
    weights = hashlib.sha256(f"{loaded.id} {fingerprint(loaded.model)}".encode()).hexdigest()[:16]
    name = f"{weights}-{count}x{length}-{seed}.npy"
    cache = cache_folder() / "own_text"
    if (kept := _kept(cache / name, (count, length))) is not None:
        return kept
    generator = torch.Generator().manual_seed(seed)
    beginnings = _beginnings(loaded.tokenizer)
    found: list[Tensor] = []
    for start in range(0, count, _AT_ONCE):
        rows = [beginnings[row % len(beginnings)] for row in range(start, min(start + _AT_ONCE, count))]
        for written in _written(loaded.model, rows, length, generator):
            yield start * length + written.numel(), count * length
        found.append(written)
    windows = torch.cat(found)
    file = io.BytesIO()
    np.save(file, windows.numpy().astype(np.int32))
    with suppress(StorageError, OSError):  # a full disk costs the cache, not the run
        keep_in(cache, name, file.getvalue())
        for old in sorted(cache.glob("*.npy"), key=lambda path: path.stat().st_mtime)[:-_MOST_KEPT]:
            old.unlink(missing_ok=True)
    return windows


def _kept(path: Path, shape: tuple[int, int]) -> Tensor | None:
    """Windows from the cache; None if there are none of this ``shape``."""
    with suppress(OSError, ValueError, EOFError):
        if (windows := np.load(path)).shape == shape:
            return torch.from_numpy(windows).long()
    return None


def _written(
    model: PreTrainedModel, beginnings: list[list[int]], length: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """Yield the windows so far, (rows, tokens), after each token; each row continues its own beginning."""
    device = execution_device(model)
    cache = DynamicCache(config=model.config)
    written = unread = torch.tensor([beginning[:1] for beginning in beginnings])
    while written.shape[1] < length:
        logits = last_logits(model, unread.to(device), cache)
        unread = torch.multinomial(logits.float().softmax(dim=-1).cpu(), 1, generator=generator)
        for row, beginning in enumerate(beginnings):
            if written.shape[1] < len(beginning):
                unread[row] = beginning[written.shape[1]]
        written = torch.cat([written, unread], dim=1)
        yield written


def _beginnings(tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Tokens before a document, and before the words of a user's turn if the tokenizer has a chat template."""
    document = token_between(DOCUMENTS, tokenizer)
    if not document:
        document = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else [0]
    if not tokenizer.chat_template:
        return [document]
    turn = str(tokenizer.apply_chat_template([{"role": "user", "content": _TURN}], tokenize=False))
    before = turn.partition(_TURN)[0]
    return [document, tokenizer(before, add_special_tokens=False)["input_ids"] or document]
