"""Accuracy of a classifier, batch by batch."""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Iterator, Sequence

import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy
from transformers import PreTrainedTokenizerBase

from liar.data.batching import by_length, encode, pad
from liar.data.tasks import LabelledText
from liar.models.adapter import execution_device

DEFAULT_LIMIT = 1_200
"""Items of a test set that are taken when nobody says how many."""

_BATCH_SIZE = 32


def class_logits(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], sequence_length: int
) -> Iterator[tuple[list[int], Tensor]]:
    """Positions in ``texts`` and their logits (positions, classes), fp32 on the CPU, one batch at a time."""
    rows = encode(texts, tokenizer, sequence_length)
    device = execution_device(model)
    batches = list(by_length(rows, _BATCH_SIZE))
    random.Random(0).shuffle(batches)  # short and long ones mixed, so that half of the batches take half of the time
    for positions in batches:
        batch = pad([rows[position] for position in positions], tokenizer)
        with torch.no_grad():
            logits = model(**{name: tensor.to(device) for name, tensor in batch.items()}).logits
        yield positions, logits.float().cpu()


def answer_steps(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    items: LabelledText,
    classes: Sequence[int],
    sequence_length: int,
) -> Generator[tuple[int, int], None, Tensor]:
    """Yield (items done, items in all); return the label that the model gives to each item, (items,) int64 on the CPU.

    ``classes[label]`` is the model's class for a label of ``items``; classes that no label means are never the answer.
    """
    answers = torch.empty(len(items), dtype=torch.long)
    done = 0
    for positions, logits in class_logits(model, tokenizer, items.texts, sequence_length):
        answers[positions] = logits[:, list(classes)].argmax(dim=1)
        done += len(positions)
        yield done, len(items)
    return answers


def accuracy_of(answers: Tensor, items: LabelledText) -> tuple[float, float]:
    """Share of the right ``answers`` (items,), in 0..1, and its binomial standard error."""
    metric = MulticlassAccuracy(num_classes=len(items.label_names), average="micro")
    accuracy = float(metric(answers, torch.tensor(items.labels)))
    return accuracy, math.sqrt(accuracy * (1 - accuracy) / len(items))


def accuracy_steps(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    items: LabelledText,
    classes: Sequence[int],
    sequence_length: int,
) -> Generator[tuple[int, int], None, tuple[float, float]]:
    """:func:`answer_steps`, and :func:`accuracy_of` in the end."""
    answers = yield from answer_steps(model, tokenizer, items, classes, sequence_length)
    return accuracy_of(answers, items)
