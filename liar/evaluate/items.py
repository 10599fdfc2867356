"""Compact records of the answers to the items of an evaluation, to be stored with every run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from torch import Tensor

from liar.results import Items
from liar.statistics.paired import packed
from liar.tasks.samples import Sample

_DIGITS = 7
"""Decimals of a window's nats: a relative error of 1e-7 in perplexity, far below any difference that is compared."""


def items_of_classes(
    samples: Sequence[Sample], labels: Sequence[str], answers: Sequence[str], label_names: Sequence[str]
) -> Items:
    """Record of which ``answers`` are right, and, of two ``label_names``, which of the ``labels`` are the second one."""
    return Items(
        digest=digest_of_samples(samples, labels),
        right=packed([answer == label for answer, label in zip(answers, labels, strict=True)]),
        positive=packed([label == label_names[1] for label in labels]) if len(label_names) == 2 else None,
    )


def items_of_numbers(samples: Sequence[Sample], wanted: Sequence[str], predicted: Tensor) -> Items:
    """Record of the ``predicted`` (n,) and the ``wanted`` numbers; the shortest decimals that give the same fp32."""
    return Items(
        digest=digest_of_samples(samples, wanted),
        predicted=[float(str(value)) for value in predicted.float().cpu().numpy()],
        wanted=[float(number) for number in wanted],
    )


def items_of_windows(windows: Tensor, nll: Tensor) -> Items:
    """Record of ``nll`` (n,), the mean negative log likelihood of each of the token ``windows`` (n, length)."""
    named = f"{tuple(windows.shape)}".encode() + windows.cpu().numpy().tobytes()
    return Items(digest=_digest(named), nll=[round(value, _DIGITS) for value in nll.tolist()])


def digest_of_samples(samples: Sequence[Sample], labels: Sequence[str]) -> str:
    """Equal for equal texts, pairs and labels in the same order."""
    read: list[list[str]] = [[sample.text for sample in samples], [label.casefold() for label in labels]]
    if any(sample.pair is not None for sample in samples):
        read.append([sample.pair or "" for sample in samples])
    if any(sample.endings for sample in samples):
        read.append([ending for sample in samples for ending in sample.endings])
    return _digest(json.dumps(read).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
