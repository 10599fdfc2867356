"""Accuracy of a classifier, computed batch by batch."""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy
from transformers import PreTrainedTokenizerBase

from liar.data.batching import Row, by_length, encode, pad
from liar.data.tasks import LabelledText
from liar.models.adapter import execution_device

DEFAULT_LIMIT = 1_200
"""Default number of test items; all of a smaller test set."""

_BATCH_SIZE = 32


def rows_of(model: Any, tokenizer: PreTrainedTokenizerBase, items: LabelledText, sequence_length: int) -> list[Row]:
    """The model's input for each item, cut at ``sequence_length`` tokens."""
    return encode(items.texts, tokenizer, sequence_length, pairs=items.pairs, config=model.config)


def class_logits(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row]
) -> Iterator[tuple[list[int], Tensor]]:
    """Positions in ``rows`` and their logits (positions, classes), fp32 on the CPU, one batch at a time."""
    device = execution_device(model)
    batches = list(by_length(rows, _BATCH_SIZE))
    random.Random(0).shuffle(batches)  # mixes short and long ones, so that time grows evenly with the batches
    for positions in batches:
        batch = pad([rows[position] for position in positions], tokenizer)
        with torch.no_grad():
            logits = model(**{name: tensor.to(device) for name, tensor in batch.items()}).logits
        yield positions, logits.float().cpu()


def answer_steps(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row], classes: Sequence[int]
) -> Generator[tuple[int, int], None, Tensor]:
    """Yield (items done, items in all); return the label that the model gives to each row, (rows,) int64 on the CPU.

    ``classes[label]`` is the model's class for a label of the items; the model's other classes are ignored.
    """
    answers = torch.empty(len(rows), dtype=torch.long)
    done = 0
    for positions, logits in class_logits(model, tokenizer, rows):
        answers[positions] = logits[:, list(classes)].argmax(dim=1)
        done += len(positions)
        yield done, len(rows)
    return answers


def accuracy_of(answers: Tensor, items: LabelledText) -> tuple[float, float]:
    """Share (0..1) of the ``answers`` (items,) that are right, and its binomial standard error."""
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
    """Yield as :func:`answer_steps` does; return :func:`accuracy_of` the answers."""
    rows = rows_of(model, tokenizer, items, sequence_length)
    answers = yield from answer_steps(model, tokenizer, rows, classes)
    return accuracy_of(answers, items)
