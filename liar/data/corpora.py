"""Batches of calibration text: windows of running text for language models, single texts or pairs for other models."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from liar.data.batching import Row, Side, by_length, encode, pad
from liar.data.columns import check_answers
from liar.data.packing import check_length
from liar.data.question_windows import NO_ANSWER, Window, marks_of, windows_of
from liar.data.text_reader import Samples, read_samples
from liar.data.text_windows import calibration_windows_steps, check_amount, check_beside, divided, sequences_of
from liar.errors import AmbiguousLabelsError, InvalidSpecError
from liar.models.heads import classes_of, is_classifier, number_of, problem_of
from liar.results import CalibrationPart, CalibrationText
from liar.runtime.devices import Batch
from liar.runtime.memory import BATCH
from liar.spec import AUTO, AUTO_TOKENS, AUTO_TOKENS_OF_A_MIX, PruneSpec
from liar.tasks.mixes import OWN_TEXT, RUNNING_TEXT, Share, name_of, reduced, replaced, shares_of
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
    half a sequence; else the task of the model's head, else Wikipedia), "self" (:mod:`liar.data.own_text`, language models
    only) or as in :func:`liar.data.text_reader.read_samples`; or a mix of them (:mod:`liar.tasks.mixes`). Raises
    :class:`CalibrationError` for text that is missing or holds fewer than ``tokens`` tokens or than is wanted beside them,
    :class:`InvalidSpecError` if ``sequence_length`` exceeds the model's positions or the model cannot write.
    """
    check_length(spec.sequence_length, loaded)
    shares: Sequence[Share] = _settled(spec.calibration, loaded)
    tokens = settled_tokens(spec.calibration, spec.tokens, loaded)
    if loaded.is_language_model:
        if spec.calibration == AUTO:
            numbers = divided(sequences_of(tokens, spec.sequence_length), shares)
            shares = reduced(share for share, number in zip(shares, numbers, strict=True) if number)
        windows, others, parts, digests = yield from calibration_windows_steps(
            spec, shares, loaded, tokens, beside, copies_of(spec)
        )
        text = _description(shares, parts, digests, windows.numel(), len(windows))
        return _unpadded(windows), _unpadded(others), text
    if any(share.source == OWN_TEXT for share in shares):
        raise InvalidSpecError(
            f"{OWN_TEXT} is text that a language model writes, and {loaded.id} writes none; name another calibration text."
        )
    return _texts(spec, shares, loaded, tokens, beside)


def settled_tokens(source: str, tokens: int | Literal["auto"], loaded: LoadedModel) -> int:
    """``tokens`` of the text ``source``; for "auto" as many for each channel of the widest site as one text or a mix needs."""
    if tokens != AUTO:
        return tokens
    return (AUTO_TOKENS_OF_A_MIX if len(_settled(source, loaded)) > 1 else AUTO_TOKENS) * loaded.adapter.widest


def settled_source(source: str, loaded: LoadedModel) -> str:
    """The name of the text ``source`` with what "auto" is for the model."""
    return name_of(_settled(source, loaded))


def _settled(source: str, loaded: LoadedModel) -> tuple[Share, ...]:
    automatic = RUNNING_TEXT if loaded.is_language_model else loaded.task or WIKI.id
    return replaced(shares_of(source), AUTO, automatic)


def _unpadded(windows: Tensor) -> list[Batch]:
    """Batches of windows (windows, length) of a language model."""
    return [
        {"input_ids": part, "attention_mask": torch.ones_like(part)} for part in windows.split(BATCH) if len(part) > 0
    ]


def _texts(
    spec: PruneSpec, shares: Sequence[Share], loaded: LoadedModel, tokens: int, beside: int
) -> tuple[list[Batch], list[Batch], CalibrationText]:
    """Batches of single texts or pairs, those of ``beside`` other texts, and the description."""
    chosen: list[Sample] = []
    rows: list[Row] = []
    others: list[Row] = []
    labels: list[Tensor | None] = []
    parts: list[CalibrationPart] = []
    digests: set[int] = set()
    for share, number, more in zip(shares, divided(tokens, shares), divided(beside, shares), strict=True):
        samples = read_samples(share.source, "train", spec.seed, data=copies_of(spec))
        its_samples, its_rows = _texts_of(samples, loaded, number, spec.sequence_length)
        check_amount(share.source, sum(map(len, its_rows)), number, whole=tokens)
        if loaded.head == _MARKING:
            check_answers(its_samples, share.source)
        labels.append(_labels(its_samples, loaded, samples))
        parts.append(CalibrationPart(source=share.source, split=samples.split))
        digests |= samples.digests
        chosen += its_samples
        rows += its_rows
        its_others = list(islice(samples, more))
        check_beside(share.source, len(its_others), more, "texts")
        others += [row for sample in its_others for row in _rows_of(sample, loaded, spec.sequence_length)]
    known = [part for part in labels if part is not None]
    targets = {"labels": torch.cat(known)} if len(known) == len(labels) else _marks(chosen, rows)
    text = _description(shares, parts, digests, sum(map(len, rows)), len(rows), sum(row.cut for row in rows))
    return _batches(rows, targets, loaded), _batches(others, {}, loaded), text


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


def _description(
    shares: Sequence[Share],
    parts: list[CalibrationPart],
    digests: set[int],
    tokens: int,
    sequences: int,
    cut: int | None = None,
) -> CalibrationText:
    is_mixed = len(parts) > 1
    return CalibrationText(
        source=name_of(shares),
        split=None if is_mixed else parts[0].split,
        tokens=tokens,
        sequences=sequences,
        cut=cut,
        mixed=parts if is_mixed else [],
        digests=frozenset(digests),
    )


def _rows_of(sample: Sample, loaded: LoadedModel, sequence_length: int) -> Sequence[Row]:
    """One row; or, if the model marks answers and the sample has one, the windows that hold it, else the first window."""
    if loaded.head == _MARKING and sample.answers:
        windows = windows_of([sample], loaded.tokenizer, sequence_length, config=loaded.model.config)
        return [window for window in windows if marks_of(window, sample) != NO_ANSWER] or windows[:1]
    return encode([sample], loaded.tokenizer, sequence_length, loaded.model.config)


def _marks(samples: list[Sample], rows: list[Row]) -> dict[str, Tensor]:
    """Positions of the first and the last token of each row's answer, (rows,) each; empty if a row is no window."""
    marks = [marks_of(row, sample) for sample, row in zip(samples, rows, strict=True) if isinstance(row, Window)]
    if len(marks) < len(rows):
        return {}
    starts, ends = torch.tensor(marks).unbind(dim=1)
    return {"start_positions": starts, "end_positions": ends}


def _texts_of(
    samples: Iterable[Sample], loaded: LoadedModel, tokens: int, sequence_length: int
) -> tuple[list[Sample], list[Row]]:
    """The rows of the first ``samples`` that together hold at least ``tokens`` tokens, and the sample of each row."""
    chosen: list[Sample] = []
    rows: list[Row] = []
    count = 0
    for sample in samples:
        own = _rows_of(sample, loaded, sequence_length)
        rows += own
        chosen += [sample] * len(own)
        count += sum(map(len, own))
        if count >= tokens:
            break
    return chosen, rows


def _labels(samples: list[Sample], loaded: LoadedModel, read: Samples) -> Tensor | None:
    """Classes of the model for all samples (samples,), or numbers for a regression.

    None if a sample has no usable label, or if the labels can be read both as names and as numbers of classes.
    """
    if loaded.head == "sequence-classification" and problem_of(loaded.model.config) == "regression":
        numbers = [number for sample in samples if (number := number_of(sample.label)) is not None]
        return torch.tensor(numbers) if len(numbers) == len(samples) else None
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
