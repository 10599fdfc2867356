"""Answers of a model that reads one text or one pair of texts at a time: classes, or numbers for a regression."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from liar.data.batching import Row, Side, by_length, encode, pad
from liar.evaluate.outcome import Outcome, Steps, digest_of_samples
from liar.results import Items
from liar.runtime.devices import execution_device
from liar.statistics.paired import packed
from liar.tasks.samples import Sample

_BATCH_SIZE = 32


def output_steps(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row],
    read: Callable[[Any, Tensor], Tensor],
    batch_size: int = _BATCH_SIZE,
    side: Side | None = None,
) -> Generator[tuple[int, int], None, list[Tensor]]:
    """Yield (rows done, rows in all) after each batch; return what ``read`` takes for each row from the output and the mask of
    the batch.

    It is fp32 on the CPU. Batches are padded on this ``side``, see :func:`liar.data.batching.pad`.
    """
    device = execution_device(model)
    batches = list(by_length(rows, batch_size))
    random.Random(0).shuffle(batches)  # mixes short and long ones, so that time grows evenly with the batches
    found: dict[int, Tensor] = {}
    for positions in batches:
        batch = pad([rows[position] for position in positions], tokenizer, side)
        inputs = {name: tensor.to(device) for name, tensor in batch.items()}
        with torch.no_grad():
            output = read(model(**inputs), inputs["attention_mask"])
        found |= zip(positions, output.float().cpu(), strict=True)
        yield len(found), len(rows)
    return [found[position] for position in range(len(rows))]


def logits_steps(
    model: Any, tokenizer: PreTrainedTokenizerBase, samples: Sequence[Sample], sequence_length: int
) -> Generator[tuple[int, int], None, tuple[Tensor, int]]:
    """Yield (samples done, samples in all) after each batch; return the logits (samples, outputs), fp32 on the CPU, and
    how many samples were cut at ``sequence_length`` tokens.
    """
    rows = encode(samples, tokenizer, sequence_length, model.config)
    logits = yield from output_steps(model, tokenizer, rows, lambda output, _: output.logits)
    return torch.stack(logits), sum(row.cut for row in rows)


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
    logits, cut = yield from logits_steps(model, tokenizer, samples, sequence_length)
    answers = [label_names[label] for label in logits[:, list(classes)].argmax(dim=1).tolist()]
    labels = [sample.label or "" for sample in samples]
    right = [answer == label for answer, label in zip(answers, labels, strict=True)]
    items = Items(
        digest=digest_of_samples(samples, labels),
        right=packed(right),
        positive=packed([label == label_names[1] for label in labels]) if len(label_names) == 2 else None,
    )
    return Outcome(samples, items, answers, labels, right, cut=cut)


def rate_steps(
    model: Any, tokenizer: PreTrainedTokenizerBase, samples: Sequence[Sample], sequence_length: int
) -> Steps:
    """Predict the number of each sample with a model of one output."""
    logits, cut = yield from logits_steps(model, tokenizer, samples, sequence_length)
    predicted = logits[:, 0]
    wanted = [sample.label or "" for sample in samples]
    items = Items(
        digest=digest_of_samples(samples, wanted),
        predicted=[float(str(value)) for value in predicted.numpy()],  # the shortest decimals that give the same fp32
        wanted=[float(number) for number in wanted],
    )
    answers = [f"{number:.2f}" for number in predicted.tolist()]
    return Outcome(samples, items, answers, wanted, None, cut=cut)
