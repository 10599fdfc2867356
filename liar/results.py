"""Results of runs, evaluations and mask tables, as versioned JSON: all that tables, figures and reports show.

>>> from liar.results import RunResult
>>> from liar.store import RunStore
>>> result = RunStore().shipped_of("demo/smollm2-135m")
>>> result.sites[0].name, result.sites[0].units
('layers.0.ffn', 1536)
>>> result == RunResult.model_validate_json(result.model_dump_json())
True
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from liar.choices import Criterion, Reconstruction
from liar.spec import BASELINE, PruneSpec, Separator, SiteKind
from liar.tasks.metrics import METRICS, MetricName

SCHEMA_VERSION = 1

Variant = Literal["dense", "pruned", "reconstructed"]
VARIANTS: tuple[Variant, ...] = ("dense", "pruned", "reconstructed")

Workload = Literal["prompt", "decoding", "text", "batch"]
"""Work that a model is timed at: prompt and decoding for a language model, one text or a batch for any other."""
MeasuredVariant = Literal["dense", "dense-int8", "pruned", "reconstructed", "reconstructed-int8"]
"""Models that can be measured: a variant, or its int8 copy."""
MEASURED: tuple[MeasuredVariant, ...] = get_args(MeasuredVariant)
QUANTIZED: dict[Variant, MeasuredVariant] = {"dense": "dense-int8", "reconstructed": "reconstructed-int8"}
DENSE: tuple[MeasuredVariant, ...] = ("dense", "dense-int8")
"""Models that pruning does not change."""

Shared = Literal["calibration", "dense"]
"""Results that runs of one model can share: a calibration, and evaluations of the dense model."""


class Record(BaseModel):
    """Base of all results: immutable, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelInfo(Record):
    """A model. ``parameters`` counts shared ones once; in a :class:`RunResult` they are those of the dense model."""

    id: str
    family: str
    layers: int
    parameters: int


class CalibrationPart(Record):
    """One text of a mix: part ``split`` of ``source``; a file has no parts."""

    source: str
    split: str | None


class CalibrationText(Record):
    """Calibration text of a run: ``tokens`` in ``sequences`` of part ``split`` of ``source``; a file has no parts.

    ``cut`` of the sequences are the beginning of a longer text; None for windows, into which texts are packed. ``mixed``
    are the texts of a mix, whose shares are in ``source``; empty for a single one. ``shared``: of a task that measures texts
    which were read here as well, their share of its texts. ``digests`` are those of the texts, and are not stored.
    """

    source: str
    split: str | None
    tokens: int
    sequences: int
    cut: int | None = None
    mixed: list[CalibrationPart] = []
    shared: dict[str, float] = {}
    digests: frozenset[int] = Field(frozenset(), exclude=True, repr=False)

    @property
    def parts(self) -> list[CalibrationPart]:
        """Every text that was read."""
        return self.mixed or [CalibrationPart(source=self.source, split=self.split)]


class TriedRun(Record):
    """A run of ``layers`` consecutive layers from ``first`` on that may go, and the error of its patch on a sample of text.

    The error is E[|y' - y|^2 / |y|^2] of the residual stream y behind the run. ``divergence`` is that of the output, on other
    text (:mod:`liar.calibration.divergence`); None of runs that are shorter, or whose error is far from the least.
    """

    first: int
    layers: int
    norm_aware_error: float
    divergence: float | None = None


class SiteReport(Record):
    """Result of one site. ``units`` and ``kept`` count neurons, or query heads for attention.

    ``error`` is E|Y'-Y|^2 / E|Y|^2 of the consumer's output (without its bias) for each reconstruction, on the moments
    of the chosen schedule; ``norm_aware_error`` weights each token by one over the squared norm of its residual stream.
    If whole layers went, the site before them has the errors of the residual stream behind them, and no other has any.
    The error of the spec's reconstruction is that of the weights installed, rounded to their dtype and, in a corrective run,
    with what is added to a repair for the sites before; ``uncorrected_error`` is that of the exact repair without it, None in
    files of earlier versions, whose ``error`` is this one.
    ``coherence``: of an embedder, by how much the means of texts count in the moments (:mod:`liar.calibration.coherence`).
    A run has all of its version; a forecast lacks those that the atlas does not have, for units chosen by hand above all.
    """

    name: str
    layer: int
    kind: SiteKind
    units: int
    kept: int
    kept_units: list[int]
    error: dict[Reconstruction, float]
    norm_aware_error: dict[Reconstruction, float]
    uncorrected_error: float | None = None
    coherence: float | None = None


def removed_layers(sites: Iterable[SiteReport]) -> list[int]:
    """Indices of the layers of which nothing is kept, ascending."""
    return sorted({site.layer for site in sites if site.kept == 0})


class VocabularyReport(Record):
    """``kept`` of the ``tokens`` of a vocabulary; ``split``: of the tokens of held-out texts, by source, the share that went,
    which fall into smaller pieces or become unknown.
    """

    tokens: int
    kept: int
    split: dict[str, float]


class Totals(Record):
    """Parameters before and after surgery, of the whole model and of its transformer blocks alone."""

    parameters_before: int
    parameters_after: int
    block_parameters_before: int
    block_parameters_after: int

    @property
    def blocks_removed(self) -> float:
        """Share of the blocks' parameters that went."""
        return 1 - self.block_parameters_after / self.block_parameters_before


class Items(Record):
    """Outcome of each item of an evaluation, in order; an equal ``digest`` means the same items.

    For items with a right answer the lowest n bits of ``right``, a hexadecimal number, are 1 for each right answer, the
    first item in the highest of them; ``positive`` has the bits of the items whose true class is the second of two. For
    windows ``nll`` is the mean negative log likelihood of each, in nats. ``scores`` are further scores of each item, from
    0 to 1; ``predicted`` and ``wanted`` are the numbers of a regression.
    """

    digest: str
    right: str | None = Field(None, pattern="^[0-9a-f]+$")
    positive: str | None = Field(None, pattern="^[0-9a-f]+$")
    nll: list[float] | None = None
    scores: list[float] | None = None
    each: dict[MetricName, list[float]] | None = None
    predicted: list[float] | None = None
    wanted: list[float] | None = None


class Figure(Record):
    """A further metric of the same items."""

    metric: MetricName
    value: float
    stderr: float


class Evaluation(Record):
    """One task of one variant: the main metric, and ``further`` ones of the same items.

    Shares are in 0..1; the ``stderr`` of perplexity is by the delta method over windows. ``n`` counts windows of
    ``sequence_length`` tokens with ``separator`` between two texts, or other items, cut at ``sequence_length`` tokens
    (``cut`` of them were longer). They are from the ``available`` ones in part ``split`` of ``source`` (a file has no
    parts). ``items`` allow a paired comparison (:func:`liar.statistics.compare.difference`). ``majority`` is the share of the
    most frequent label: the accuracy of an answer that never changes. ``note``: a sentence on how the answers were read.
    ``versions`` are those of a harness and its task. None means unknown, as in files of earlier versions.
    """

    task: str
    metric: MetricName
    variant: MeasuredVariant
    value: float
    n: int
    stderr: float
    sequence_length: int | None = None
    separator: Separator | None = None
    items: Items | None = None
    source: str | None = None
    split: str | None = None
    available: int | None = None
    cut: int | None = None
    further: list[Figure] = []
    majority: float | None = None
    note: str | None = None
    versions: dict[str, str] = {}

    @property
    def figures(self) -> list[Evaluation]:
        """One evaluation for each metric, the main one first."""
        return [self.model_copy(update={**figure, "further": []}) for figure in ({}, *map(dict, self.further))]


class Token(Record):
    """A piece of generated text and its probability (0..1) under the dense model."""

    text: str
    probability: float | None = None


class Found(Record):
    """A text that an embedder has found: the ``title`` and the beginning of an article, and its ``similarity`` to the
    prompt.
    """

    title: str
    text: str
    similarity: float


class Generation(Record):
    """Answer to ``prompt``: the ``text`` of a language model, the ``probabilities`` of a classifier by label, or what an
    embedder has ``found``, the nearest first.

    ``tokens`` are the pieces of ``text`` in order, ``seconds`` the time of decoding, and ``dense_perplexity`` that of
    the answer under the dense model, given the prompt; None, like their probabilities, if that was not in memory.
    """

    prompt: str
    variant: Variant
    text: str | None = None
    probabilities: dict[str, float] | None = None
    found: list[Found] | None = None
    tokens: list[Token] = []
    seconds: float | None = None
    dense_perplexity: float | None = None


class TextMap(Record):
    """Texts of a ``task`` in two dimensions, see :mod:`liar.evaluate.text_map`: the ``points`` of each variant on axes that
    hold this ``share`` of the variance of the dense vectors.
    """

    task: str
    texts: list[str]
    points: dict[Variant, list[tuple[float, float]]]
    share: float


ChangeGroup = Literal["broken", "mended", "lost"]
CHANGE_GROUPS: Mapping[ChangeGroup, tuple[str, str]] = {
    "broken": ("Broken by pruning", "The dense model is right, the pruned one is wrong."),
    "mended": ("Mended by the repair", "The pruned model is wrong, the reconstructed one is right."),
    "lost": (
        "Wrong after the repair",
        "The reconstructed model is wrong where the dense or the pruned one is right: "
        "the repair did not reach it, or broke it.",
    ),
}
"""Title and meaning of each group of changed test items."""

MOST_CHANGES = 12
"""Changed items that a result keeps of each group and task: the first of the test set."""


class Change(Record):
    """A test item on which the variants disagree: the right answer, the ``label``, and what each variant answered.

    ``pair`` is the second text of a pair, or the context of a question. ``right`` says who is right if more than one
    answer is; otherwise an answer is right if it is the label.
    """

    task: str
    text: str
    label: str
    answers: dict[Variant, str]
    pair: str | None = None
    right: dict[Variant, bool] | None = None

    def is_right(self, variant: Variant) -> bool:
        """Whether the answer of ``variant`` is right."""
        return self.answers[variant] == self.label if self.right is None else self.right[variant]

    @property
    def groups(self) -> list[ChangeGroup]:
        """Groups of this item: often two; none if all variants are wrong, or one did not answer."""
        if not self.answers.keys() >= set(VARIANTS):
            return []
        return change_groups(*(self.is_right(variant) for variant in VARIANTS))


def change_groups(dense: bool, pruned: bool, reconstructed: bool) -> list[ChangeGroup]:
    """Groups of an item, from which variants are right."""
    found: dict[ChangeGroup, bool] = {
        "broken": dense and not pruned,
        "mended": reconstructed and not pruned,
        "lost": (dense or pruned) and not reconstructed,
    }
    return [group for group, holds in found.items() if holds]


class Quartiles(Record):
    """Median and quartiles of some measurements."""

    lower: float
    median: float
    upper: float


class Speed(Record):
    """Median seconds of reading ``tokens`` tokens on the run's device; ``spread`` is the interquartile range.

    Two of them may come from different times; compare models by :class:`SpeedGain` instead.
    """

    variant: MeasuredVariant
    seconds: float
    spread: float
    tokens: int
    repeats: int


class SpeedGain(Record):
    """Speed of ``variant`` relative to that of ``than`` at the same work, over ``repeats`` turns of both.

    ``gain`` is the ratio of the two times within each turn, so a machine that slows down between turns does not change
    it. One sequence of ``tokens`` tokens is read in a turn.
    """

    variant: MeasuredVariant
    than: MeasuredVariant
    work: Workload
    tokens: int
    repeats: int
    gain: Quartiles


class StoredRun(BaseModel):
    """JSON written by this or an older version; choices that a file omits get the value they had then."""

    @model_validator(mode="before")
    @classmethod
    def _add_former_defaults(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        data = dict(data)
        if isinstance(data.get("spec"), dict):
            data["spec"] = {**BASELINE, **data["spec"]}
        data.pop("checked", None)  # what an allocation that is gone compared
        if isinstance(data.get("sites"), list):  # older ones have the error that units not rounded would have
            data["sites"] = [_without(site, "unrounded") for site in data["sites"]]
        if isinstance(data.get("evaluations"), list):
            data["evaluations"] = [_with_separator(item) for item in data["evaluations"]]
        return data


_OF_WINDOWS = frozenset(name for name, metric in METRICS.items() if metric.of_windows)


def _without(record: Any, name: str) -> Any:
    return {key: value for key, value in record.items() if key != name} if isinstance(record, Mapping) else record


def _with_separator(evaluation: Any) -> Any:
    if isinstance(evaluation, Mapping) and evaluation.get("metric") in _OF_WINDOWS:
        return {"separator": BASELINE["separator"], **evaluation}
    return evaluation


class RunResult(StoredRun, Record):
    """A finished run; ``liar prune --json`` writes its ``model_dump_json``.

    ``gains`` compare the speed of the reconstructed model with that of the dense one, and of each int8 copy with that
    of its original; a run of an earlier version has none, and none can be computed from its ``speeds``.
    ``weight_bytes`` is the memory of the weights of each measured variant, shared ones once. ``shared`` lists results
    taken from another run, whose time is missing in ``timings``.
    """

    schema_version: int = SCHEMA_VERSION
    spec: PruneSpec
    model: ModelInfo
    sites: list[SiteReport]
    totals: Totals
    vocabulary: VocabularyReport | None = None
    calibration: CalibrationText | None = None
    evaluations: list[Evaluation] = []
    generations: list[Generation] = []
    changes: list[Change] = []
    maps: list[TextMap] = []
    speeds: list[Speed] = []
    gains: list[SpeedGain] = []
    weight_bytes: dict[MeasuredVariant, int] = {}
    tried: list[TriedRun] = []
    """Runs of layers, if whole layers went, see :mod:`liar.jobs.stages.layer_removal` for which did."""
    attenuation: float | None = None
    """Factor of the last norm's gain in the reconstructed model, see :mod:`liar.maths.drift`; None for other schedules."""
    warnings: list[str] = []
    timings: dict[str, float] = {}
    shared: list[Shared] = []
    environment: dict[str, str] = {}


class MaskCell(Record):
    """Masks of ``criterion`` under ``reconstruction``: mean ``error`` over sites, and the metric if one was measured.

    ``stderr`` is the metric's standard error over ``n`` items.
    """

    criterion: Criterion
    reconstruction: Reconstruction
    error: float
    task: str | None = None
    metric: MetricName | None = None
    value: float | None = None
    stderr: float | None = None
    n: int | None = None


class MaskTable(StoredRun, Record):
    """Masks of several criteria under several reconstructions, as far as they are computed.

    Criterion, schedule and quantization of ``spec`` are ignored: a row has its own criterion, and all masks are from
    one one-shot calibration. ``dense`` is the metric of the dense model.
    """

    schema_version: int = SCHEMA_VERSION
    spec: PruneSpec
    dense: Evaluation | None = None
    cells: list[MaskCell] = []
    environment: dict[str, str] = {}

    def joined(self, older: MaskTable | None) -> MaskTable:
        """Add the cells that this table lacks from an ``older`` one, if that has the same spec and environment."""
        if older is None or (older.spec, older.environment) != (self.spec, self.environment):
            return self
        known = {(cell.criterion, cell.reconstruction) for cell in self.cells}
        kept = [cell for cell in older.cells if (cell.criterion, cell.reconstruction) not in known]
        return self.model_copy(update={"dense": self.dense or older.dense, "cells": [*kept, *self.cells]})


class EvaluationResult(Record):
    """Content of ``liar evaluate --json``."""

    schema_version: int = SCHEMA_VERSION
    model: ModelInfo
    evaluations: list[Evaluation]
    timings: dict[str, float] = {}
    environment: dict[str, str] = {}
