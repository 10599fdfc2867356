"""Results of a variant for each item of an evaluation, compact enough to be stored with every run."""

from __future__ import annotations

import hashlib
import json

from torch import Tensor

from liar.data.tasks import LabelledText
from liar.results import Items

_DIGITS = 7
"""Decimals of a window's nats: a relative error of 1e-7 in perplexity, far below any difference that is compared."""


def items_of_texts(items: LabelledText, answers: Tensor) -> Items:
    """Compact record of which ``answers`` (items,), positions in ``items.label_names``, are right."""
    labels = [items.label_names[label].casefold() for label in items.labels]
    bits = "".join(
        "1" if answer == label else "0" for answer, label in zip(answers.tolist(), items.labels, strict=True)
    )
    read = [items.texts, labels] if items.pairs is None else [items.texts, labels, items.pairs]
    width = (len(bits) + 3) // 4
    return Items(digest=_digest(json.dumps(read).encode()), right=f"{int(bits, 2):0{width}x}")


def items_of_windows(windows: Tensor, nll: Tensor) -> Items:
    """Compact record of ``nll`` (n,), the mean negative log likelihood of each of the token ``windows`` (n, length)."""
    named = f"{tuple(windows.shape)}".encode() + windows.cpu().numpy().tobytes()
    return Items(digest=_digest(named), nll=[round(value, _DIGITS) for value in nll.tolist()])


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
