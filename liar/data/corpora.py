"""Batches of calibration text: windows of running text for language models, single texts or pairs for other models."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from liar.data.batching import Row, Side, by_length, encode, pad
from liar.data.columns import check_answers
from liar.data.packing import check_length
from liar.data.question_windows import NO_ANSWER, Window, marks_of, windows_of
from liar.data.text_reader import Samples, read_samples
from liar.data.text_windows import check_amount, check_beside, divided, windows_steps
from liar.errors import AmbiguousLabelsError, CalibrationError, InvalidSpecError
from liar.models.heads import classes_of, is_classifier, number_of, problem_of
from liar.results import CalibrationPart, CalibrationText
from liar.runtime.devices import Batch
from liar.runtime.memory import BATCH
from liar.spec import (
    AUTO,
    AUTO_TOKENS,
    AUTO_TOKENS_OF_A_MIX,
    AUTO_TOKENS_OF_AN_EMBEDDER,
    MOST_AUTO_TOKENS_OF_AN_EMBEDDER,
    PruneSpec,
)
from liar.tasks.mixes import EMBEDDED_TEXT, OWN_TEXT, RUNNING_TEXT, Share, name_of, reduced, replaced, shares_of
from liar.tasks.registry import task_named
from liar.tasks.samples import Sample
from liar.tasks.texts import WIKI

if TYPE_CHECKING:
    from liar.models.loaded import LoadedModel

_MARKING = "question-answering"


SCARCE = 4
UNSEEN = 12
"""A scarce text has one ``UNSEEN``-th as much beside it that no repair sees."""

TextSteps = Generator[tuple[int, int], None, tuple[list[Batch], list[Batch], CalibrationText]]
"""Generator of (done, total) that returns batches, batches of other text beside them, and the description of the first; most
texts are read in one step.
"""


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What is read of one text: the ``rows`` to calibrate on, with their ``targets`` (rows,) each, and the rows of each text
    or window beside them; ``split`` and ``digests`` are those of :class:`liar.data.text_reader.Samples`.
    """

    split: str | None
    rows: list[Row]
    others: Sequence[Sequence[Row]]
    targets: Mapping[str, Tensor]
    digests: set[int]


def unseen_tokens(spec: PruneSpec, loaded: LoadedModel) -> int:
    """Tokens to fit the attenuation of a corrective run to, beside its calibration text; 0 if that text serves as well.

    Repairs fit a text of fewer than :data:`SCARCE` tokens for each channel so closely that the last states are nearer to the
    dense ones on it than on any other.
    """
    attenuates = spec.walked == "corrective" and loaded.is_language_model and loaded.adapter.last_norm() is not None
    tokens = settled_tokens(spec.calibration, spec.tokens, loaded)
    return round(tokens / UNSEEN) if attenuates and tokens < SCARCE * loaded.adapter.widest else 0


def copies_of(spec: PruneSpec) -> str | None:
    """The folder of copies of datasets that a recipe names: its data, unless a task that it measures has them as texts."""
    return None if any(task_named(name).takes_texts for name in spec.evaluate) else spec.data


def text_steps(spec: PruneSpec, loaded: LoadedModel, beside: int = 0) -> TextSteps:
    """The calibration text of a recipe: batches with at least ``tokens`` real tokens of the training part of its source, on the
    CPU; batches of ``beside`` other tokens of it (texts, for a model that is no language model); and a description.

    Equal seeds give equal batches. Language models: ceil(tokens / sequence_length) windows of exactly
    ``sequence_length`` tokens without padding, with ``separator`` between two texts, packed from shuffled texts or
    drawn from a running text (:mod:`liar.data.packing`). Other models: single texts or pairs with their special tokens,
    cut at ``sequence_length``, in batches of similar length with padding. Their ``labels`` (sequences,), int64 classes
    or fp32 numbers for a regression, are included if every text has one that is unambiguous for the model's head.
    Models that mark answers: of a question with an accepted answer the windows that hold all of it, else the first one
    (:mod:`liar.data.question_windows`), with ``start_positions`` and ``end_positions`` (sequences,) int64 if every text has
    one.

    The source is "auto" (of a language model :data:`liar.tasks.mixes.RUNNING_TEXT`, without a text whose share is less than
    half a sequence; of an embedder :data:`liar.tasks.mixes.EMBEDDED_TEXT`; else the task of the model's head, else Wikipedia),
    "self" (:mod:`liar.data.own_text`, language models only) or as in :func:`liar.data.text_reader.read_samples`; or a mix of
    them (:mod:`liar.tasks.mixes`). Raises :class:`CalibrationError` for text that is missing or holds fewer than ``tokens``
    tokens or than is wanted beside them, :class:`InvalidSpecError` if ``sequence_length`` exceeds the model's positions or the
    model cannot write.
    """
    check_length(spec.sequence_length, loaded)
    shares: Sequence[Share] = settled_shares(spec.calibration, loaded)
    tokens = settled_tokens(spec.calibration, spec.tokens, loaded)
    is_packed = loaded.is_language_model
    if not is_packed and any(share.source == OWN_TEXT for share in shares):
        raise InvalidSpecError(
            f"{OWN_TEXT} is text that a language model writes, and {loaded.id} writes none; name another calibration text."
        )
    unit = spec.sequence_length if is_packed else 1
    count = math.ceil(tokens / unit)
    if spec.calibration == AUTO:
        shares = reduced(share for share, number in zip(shares, divided(count, shares), strict=True) if number)
    numbers = divided(count, shares)
    if is_packed and not all(numbers):
        raise CalibrationError(
            f"{tokens:,} tokens are {count} sequences, too few for a mix of {len(shares)} texts; take more tokens or shorter "
            "sequences."
        )
    drawn: list[_Drawn] = []
    for share, number, more in zip(shares, numbers, divided(math.ceil(beside / unit), shares), strict=True):
        if is_packed:
            found, rest, read = yield from windows_steps(spec, share.source, loaded, number, more, copies_of(spec))
            windows, others = [Row(ids) for ids in found.tolist()], [[Row(ids)] for ids in rest.tolist()]
            each = _Drawn(read.split, windows, others, {}, read.digests)
        else:
            each = _texts(spec, share.source, loaded, number, more)
        check_amount(share.source, sum(map(len, each.rows)), min(number * unit, tokens), whole=tokens)
        check_beside(share.source, len(each.others) * unit, more * unit, "tokens" if is_packed else "texts")
        drawn.append(each)
    rows = [row for each in drawn for row in each.rows]
    if is_packed and len(shares) > 1:  # any part of the windows is such a mix too
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(spec.seed))
        rows = [rows[place] for place in order.tolist()]
    known = [name for name in drawn[0].targets if all(name in each.targets for each in drawn)]
    targets = {name: torch.cat([each.targets[name] for each in drawn]) for name in known}
    parts = [CalibrationPart(source=share.source, split=each.split) for share, each in zip(shares, drawn, strict=True)]
    text = CalibrationText(
        source=name_of(shares),
        split=None if len(parts) > 1 else parts[0].split,
        tokens=sum(map(len, rows)),
        sequences=len(rows),
        cut=None if is_packed else sum(row.cut for row in rows),
        mixed=parts if len(parts) > 1 else [],
        digests=frozenset().union(*(each.digests for each in drawn)),
    )
    beside_them = [row for each in drawn for rest in each.others for row in rest]
    return _batches(rows, targets, loaded), _batches(beside_them, {}, loaded), text


def settled_tokens(source: str, tokens: int | Literal["auto"], loaded: LoadedModel) -> int:
    """``tokens`` of the text ``source``; for "auto" as many for each channel of the widest site as one text, a mix or an
    embedder takes.
    """
    if tokens != AUTO:
        return tokens
    if loaded.embedder is not None:
        return min(AUTO_TOKENS_OF_AN_EMBEDDER * loaded.adapter.widest, MOST_AUTO_TOKENS_OF_AN_EMBEDDER)
    return (AUTO_TOKENS_OF_A_MIX if len(settled_shares(source, loaded)) > 1 else AUTO_TOKENS) * loaded.adapter.widest


def settled_source(source: str, loaded: LoadedModel) -> str:
    """The name of the text ``source`` with what "auto" is for the model."""
    return name_of(settled_shares(source, loaded))


def settled_shares(source: str, loaded: LoadedModel) -> tuple[Share, ...]:
    """The texts of ``source``, without "auto", for this model."""
    automatic = RUNNING_TEXT if loaded.is_language_model else loaded.task or WIKI.id
    if loaded.embedder is not None:
        automatic = EMBEDDED_TEXT
    return replaced(shares_of(source), AUTO, automatic)


def _texts(spec: PruneSpec, source: str, loaded: LoadedModel, tokens: int, more: int) -> _Drawn:
    """The first texts of ``source`` that together hold at least ``tokens`` tokens, and at most ``more`` others."""
    read = read_samples(source, "train", spec.seed, data=copies_of(spec))
    samples: list[Sample] = []
    rows: list[Row] = []
    for sample in read:
        own = _rows_of(sample, loaded, spec.sequence_length)
        rows += own
        samples += [sample] * len(own)
        tokens -= sum(map(len, own))
        if tokens <= 0:
            break
    if loaded.head == _MARKING:
        check_answers(samples, source)
    labels, digests = _labels(samples, loaded, read), set(read.digests)
    others = [_rows_of(sample, loaded, spec.sequence_length) for sample in islice(read, more)]
    return _Drawn(read.split, rows, others, _marks(samples, rows) if labels is None else {"labels": labels}, digests)


def _batches(rows: Sequence[Row], targets: Mapping[str, Tensor], loaded: LoadedModel) -> list[Batch]:
    """Padded batches of ``rows`` by their length, with what each row is to answer."""
    side: Side | None = "right" if loaded.head == _MARKING else None
    return [
        {
            **pad([rows[position] for position in positions], loaded.tokenizer, side),
            **{name: values[positions] for name, values in targets.items()},
        }
        for positions in by_length(rows, BATCH)
    ]


def _rows_of(sample: Sample, loaded: LoadedModel, sequence_length: int) -> Sequence[Row]:
    """One row; of an embedder one for each of the two texts of a pair; or, if the model marks answers and the sample has one,
    the windows that hold it, else the first window.
    """
    if (embedder := loaded.embedder) is not None:
        first = embedder.prompt if sample.pair is None else embedder.prompt_of("query")
        texts = [first + sample.text, *([] if sample.pair is None else [embedder.prompt_of("document") + sample.pair])]
        return encode([Sample(text) for text in texts], loaded.tokenizer, sequence_length, loaded.model.config)
    if loaded.head == _MARKING and sample.answers:
        windows = windows_of([sample], loaded.tokenizer, sequence_length, config=loaded.model.config)
        return [window for window in windows if marks_of(window, sample) != NO_ANSWER] or windows[:1]
    return encode([sample], loaded.tokenizer, sequence_length, loaded.model.config)


def _marks(samples: list[Sample], rows: list[Row]) -> dict[str, Tensor]:
    """Positions of the first and the last token of each row's answer, (rows,) each; empty if a row is no window."""
    marks = [marks_of(row, sample) for sample, row in zip(samples, rows, strict=True) if isinstance(row, Window)]
    if not marks or len(marks) < len(rows):
        return {}
    starts, ends = torch.tensor(marks).unbind(dim=1)
    return {"start_positions": starts, "end_positions": ends}


def _labels(samples: list[Sample], loaded: LoadedModel, read: Samples) -> Tensor | None:
    """Classes of the model for all samples (samples,), or numbers for a regression.

    None if a sample has no usable label, or if the labels can be read both as names and as numbers of classes.
    """
    if loaded.head == "sequence-classification" and problem_of(loaded.model.config) == "regression":
        found: Sequence[float | None] = [number_of(sample.label) for sample in samples]
    else:
        labels = [sample.label for sample in samples if sample.label is not None]
        if not is_classifier(loaded.model) or len(labels) < len(samples):
            return None
        if (order := loaded.label_orders.get(read.source)) is not None:
            classes: dict[str, int] = dict(zip(task_named(read.source).labels, order.classes, strict=True))
            found = [classes.get(label) for label in labels]
        else:
            try:
                found = classes_of(labels, loaded.model.config, possible=read.label_names)
            except AmbiguousLabelsError:
                return None
    known = [label for label in found if label is not None]
    return torch.tensor(known) if len(known) == len(found) else None
