"""Answers of a model that reads one text or one pair of texts at a time: classes, or numbers for a regression."""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from liar.data.batching import Row, by_length, encode, pad
from liar.evaluate.outcome import Outcome, Steps, items_of_classes, items_of_numbers
from liar.runtime.devices import execution_device
from liar.tasks.samples import Sample

_BATCH_SIZE = 32


def logits_steps(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row]
) -> Generator[tuple[int, int], None, Tensor]:
    """Yield (rows done, rows in all) after each batch; return the logits (rows, outputs), fp32 on the CPU."""
    device = execution_device(model)
    batches = list(by_length(rows, _BATCH_SIZE))
    random.Random(0).shuffle(batches)  # mixes short and long ones, so that time grows evenly with the batches
    found: list[Tensor] = []
    done = 0
    for positions in batches:
        batch = pad([rows[position] for position in positions], tokenizer)
        with torch.no_grad():
            found.append(model(**{name: tensor.to(device) for name, tensor in batch.items()}).logits.float().cpu())
        done += len(positions)
        yield done, len(rows)
    places = [position for positions in batches for position in positions]
    return torch.cat(found)[torch.tensor(places).argsort()]


def classify_steps(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    samples: Sequence[Sample],
    label_names: Sequence[str],
    classes: Sequence[int],
    sequence_length: int,
) -> Steps:
    """Classify each sample, whose label is one of ``label_names``.

    ``classes[i]`` is the model's class for ``label_names[i]``; the model's other classes are ignored.
    """
    rows = encode(samples, tokenizer, sequence_length, model.config)
    logits = yield from logits_steps(model, tokenizer, rows)
    answers = [label_names[label] for label in logits[:, list(classes)].argmax(dim=1).tolist()]
    labels = [sample.label or "" for sample in samples]
    return Outcome(
        samples=samples,
        items=items_of_classes(samples, labels, answers, label_names),
        answers=answers,
        labels=labels,
        right=[answer == label for answer, label in zip(answers, labels, strict=True)],
        cut=sum(row.cut for row in rows),
    )


def rate_steps(
    model: Any, tokenizer: PreTrainedTokenizerBase, samples: Sequence[Sample], sequence_length: int
) -> Steps:
    """Predict the number of each sample with a model of one output."""
    rows = encode(samples, tokenizer, sequence_length, model.config)
    logits = yield from logits_steps(model, tokenizer, rows)
    predicted = logits[:, 0]
    wanted = [sample.label or "" for sample in samples]
    return Outcome(
        samples=samples,
        items=items_of_numbers(samples, wanted, predicted),
        answers=[f"{number:.2f}" for number in predicted.tolist()],
        labels=wanted,
        right=None,
        cut=sum(row.cut for row in rows),
    )
