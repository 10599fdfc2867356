"""RunResult: the versioned schema of a finished run. Everything a table, a figure or a report shows is in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from liar.spec import BASELINE, Criterion, PruneSpec, Reconstruction, Separator, SiteKind, Task

SCHEMA_VERSION = 1

Variant = Literal["dense", "pruned", "reconstructed"]
VARIANTS: tuple[Variant, ...] = ("dense", "pruned", "reconstructed")

Work = Literal["prompt", "decoding", "text", "batch"]
"""What a model is timed at: a language model reads a prompt and writes, any other reads one text, or many at once."""
Measured = Literal["dense", "dense-int8", "pruned", "reconstructed", "reconstructed-int8"]
"""What can be measured: a variant, or its copy with weights of eight bits."""
MEASURED: tuple[Measured, ...] = get_args(Measured)
ROUNDED: dict[Variant, Measured] = {"dense": "dense-int8", "reconstructed": "reconstructed-int8"}
DENSE: tuple[Measured, ...] = ("dense", "dense-int8")
"""What pruning does not change."""


RATIOS = tuple(percent / 100 for percent in range(101))
"""Where curves are read: the share of a site's units removed."""

Shared = Literal["calibration", "dense"]
"""What runs of one model can share: a calibration, and evaluations of the dense model."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelInfo(_Record):
    """``parameters`` counts every distinct parameter of the dense model, shared ones once."""

    id: str
    family: str
    layers: int
    parameters: int


class CalibrationText(_Record):
    """What a run was calibrated on: ``tokens`` in ``sequences`` of the part ``split`` of ``source``; a file has no parts.

    ``cut`` of the sequences are the beginning of a longer text; None for windows, into which texts are packed.
    """

    source: str
    split: str | None
    tokens: int
    sequences: int
    cut: int | None = None


class Unrounded(_Record):
    """What a site would have kept without ``PruneSpec.multiple``, and the error of the spec's reconstruction there."""

    kept: int
    error: float


class SiteReport(_Record):
    """What happened at one site. ``units`` and ``kept`` count neurons, or query heads for attention.

    ``error`` is E|Y'-Y|^2 / E|Y|^2 of the consumer's output (without its bias) for each reconstruction, on the moments
    of the chosen schedule; ``norm_aware_error`` weighs each token by one over the squared norm of its residual stream. A run
    knows all of them; a forecast lacks those that nothing at hand tells of units chosen by hand.
    """

    name: str
    layer: int
    kind: SiteKind
    units: int
    kept: int
    kept_units: list[int]
    error: dict[Reconstruction, float]
    norm_aware_error: dict[Reconstruction, float]
    unrounded: Unrounded | None = None


class Totals(_Record):
    """Parameters before and after surgery, of the whole model and of its transformer blocks alone."""

    parameters_before: int
    parameters_after: int
    block_parameters_before: int
    block_parameters_after: int


class Items(_Record):
    """What an evaluation found for each of its items, in their order; an equal ``digest`` names the same items.

    Of labelled texts ``right`` says whether the answer was, the lowest n bits of a hexadecimal number, the first text in the
    highest of them; of windows ``nll`` is the mean negative log likelihood of each, in nats.
    """

    digest: str
    right: str | None = Field(None, pattern="^[0-9a-f]+$")
    nll: list[float] | None = None


class Evaluation(_Record):
    """One metric of one variant. Accuracy is in 0..1; perplexity's ``stderr`` comes by the delta method over windows.

    ``n`` counts windows of ``sequence_length`` tokens with ``separator`` between two texts, or a classifier's texts, cut at
    ``sequence_length`` tokens; None where an older file does not say.
    ``items`` allow a comparison in pairs (:func:`liar.report.compare.difference`); files of earlier versions lack them.

    ``n`` items were read of the ``available`` ones in part ``split`` of ``source`` (a file has no parts), and ``cut`` of them
    were longer than ``sequence_length`` tokens; None is what is not known.
    """

    task: Task
    metric: Literal["perplexity", "accuracy"]
    variant: Measured
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


class Token(_Record):
    """A piece of generated text and how likely the dense model held it at that place (0..1)."""

    text: str
    probability: float | None = None


class Generation(_Record):
    """What a language model wrote after ``prompt``, or what a classifier said of it (label -> probability).

    ``tokens`` are the pieces of ``text`` in order, ``seconds`` the time of decoding them, and ``dense_perplexity`` that
    of the answer under the dense model, given the prompt; empty or None where no dense model was at hand.
    """

    prompt: str
    variant: Variant
    text: str | None = None
    probabilities: dict[str, float] | None = None
    tokens: list[Token] = []
    seconds: float | None = None
    dense_perplexity: float | None = None


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
"""The kinds of changed test items that matter to a reader, with a title and its meaning."""

MOST_CHANGES = 12
"""Changed items of each group that a result keeps for a task, the first of the test set."""


class Change(_Record):
    """A test item on which the variants disagree: the true ``label`` and each variant's answer, by label name."""

    task: Task
    text: str
    label: str
    answers: dict[Variant, str]

    @property
    def groups(self) -> list[ChangeGroup]:
        """The groups that this item is in: often two; none if every variant is wrong in its own way."""
        if not self.answers.keys() >= set(VARIANTS):
            return []
        return change_groups(*(self.answers[variant] == self.label for variant in VARIANTS))


def change_groups(dense: bool, pruned: bool, reconstructed: bool) -> list[ChangeGroup]:
    """The groups of an item, by which of the variants are right."""
    found: dict[ChangeGroup, bool] = {
        "broken": dense and not pruned,
        "mended": reconstructed and not pruned,
        "lost": (dense or pruned) and not reconstructed,
    }
    return [group for group, holds in found.items() if holds]


class Quartiles(_Record):
    """The middle of some timings, and the quartiles around it."""

    lower: float
    median: float
    upper: float


class Speed(_Record):
    """Median seconds of reading ``tokens`` tokens on the run's device, with the quartiles' distance as spread.

    Two of them were not necessarily taken at the same time: which model is faster is what :class:`SpeedGain` tells.
    """

    variant: Measured
    seconds: float
    spread: float
    tokens: int
    repeats: int


class SpeedGain(_Record):
    """How many times as fast as ``than`` one ``variant`` was at the same work, in ``repeats`` turns that both took.

    ``gain`` divides the two times of each turn, so a machine that became slower between the turns changes nothing. One
    sequence of ``tokens`` tokens is read in a turn.
    """

    variant: Measured
    than: Measured
    work: Work
    tokens: int
    repeats: int
    gain: Quartiles


class StoredRun(BaseModel):
    """What was written as JSON by this or an older version: choices that a file does not name are as they were then."""

    @model_validator(mode="before")
    @classmethod
    def _as_it_was(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        data = dict(data)
        if isinstance(data.get("spec"), dict):
            data["spec"] = {**BASELINE, **data["spec"]}
        if isinstance(data.get("evaluations"), list):
            data["evaluations"] = [_with_separator(item) for item in data["evaluations"]]
        return data


def _with_separator(evaluation: Any) -> Any:
    if isinstance(evaluation, Mapping) and evaluation.get("metric") == "perplexity":
        return {"separator": BASELINE["separator"], **evaluation}
    return evaluation


class RunResult(StoredRun, _Record):
    """A finished run; ``model_dump_json`` is what ``liar prune --json`` writes.

    ``gains`` compare the speed of the reconstructed model with that of the dense one, and of each int8 copy with that of the
    model it was made of; a run of an earlier version has none, and its ``speeds`` tell of no gain. ``weight_bytes`` is
    what the weights of each measured variant take in memory, shared ones once. ``shared`` names what another run had computed
    and this one was handed, so that its ``timings`` lack that.
    """

    schema_version: int = SCHEMA_VERSION
    spec: PruneSpec
    model: ModelInfo
    sites: list[SiteReport]
    totals: Totals
    calibration: CalibrationText | None = None
    evaluations: list[Evaluation] = []
    generations: list[Generation] = []
    changes: list[Change] = []
    speeds: list[Speed] = []
    gains: list[SpeedGain] = []
    weight_bytes: dict[Measured, int] = {}
    warnings: list[str] = []
    timings: dict[str, float] = {}
    shared: list[Shared] = []
    environment: dict[str, str] = {}


class MaskCell(_Record):
    """Masks of ``criterion`` under ``reconstruction``: the mean ``error`` of the sites, and the metric if one was measured.

    ``stderr`` is the metric's standard error over ``n`` items.
    """

    criterion: Criterion
    reconstruction: Reconstruction
    error: float
    task: Task | None = None
    value: float | None = None
    stderr: float | None = None
    n: int | None = None


class MaskTable(StoredRun, _Record):
    """Masks of some criteria under the repairs of some reconstructions, as far as they are computed.

    Of ``spec`` criterion, schedule and quantisation say nothing: a row has its own criterion, and every mask is of one
    one-shot calibration. ``dense`` is the metric of the dense model.
    """

    schema_version: int = SCHEMA_VERSION
    spec: PruneSpec
    dense: Evaluation | None = None
    cells: list[MaskCell] = []
    environment: dict[str, str] = {}

    def beside(self, older: MaskTable | None) -> MaskTable:
        """This table with the cells of an ``older`` one that it lacks, unless that is of another recipe or another machine."""
        if older is None or (older.spec, older.environment) != (self.spec, self.environment):
            return self
        known = {(cell.criterion, cell.reconstruction) for cell in self.cells}
        kept = [cell for cell in older.cells if (cell.criterion, cell.reconstruction) not in known]
        return self.model_copy(update={"dense": self.dense or older.dense, "cells": [*kept, *self.cells]})


class Costs(_Record):
    """What a model costs before anybody runs it.

    ``macs_per_token`` are multiply-accumulates, see :func:`liar.evaluate.size_and_speed.macs_per_token`. ``bytes_in_memory``
    are those of its parameters and buffers, ``bytes_on_disk`` those of its safetensors, None for a model that was never
    saved. ``widths`` are the different numbers of channels of its sites, ascending; ``rounded`` says that its weights have
    eight bits.
    """

    model: ModelInfo
    embedding_parameters: int
    macs_per_token: int
    bytes_in_memory: int
    bytes_on_disk: int | None = None
    widths: list[int]
    rounded: bool = False


class SpeedComparison(_Record):
    """Tokens a second of two models at the same work, taken in turns.

    ``sequences`` of ``tokens`` tokens each are read at once (for "decoding": written after the prompt, one by one). ``gain``
    is how many times as fast the pruned model was in each turn, so that a slow spell of the machine hits both sides of it.
    """

    work: Work
    sequences: int
    tokens: int
    dense: Quartiles
    pruned: Quartiles
    gain: Quartiles


class CostsResult(_Record):
    """What ``liar measure --json`` writes. ``context`` is the number of tokens that a counted token sees, itself included."""

    schema_version: int = SCHEMA_VERSION
    dense: Costs
    pruned: Costs
    context: int
    speeds: list[SpeedComparison]
    repeats: int
    timings: dict[str, float] = {}
    environment: dict[str, str] = {}


class SiteCurves(_Record):
    """Error of one site over the ratio for each reconstruction: entry i belongs to ``kept[i]`` units kept.

    The curve of least-squares (and of liar inside the row space) bounds the true error from above, by about a percent.
    """

    name: str
    layer: int
    kind: SiteKind
    units: int
    criterion: Criterion
    kept: list[int]
    error: dict[Reconstruction, list[float]]
    seconds: dict[str, float] = {}


class CurvesResult(_Record):
    """What ``liar curves --json`` writes; ``ratios`` are shares of a site's units removed."""

    schema_version: int = SCHEMA_VERSION
    model: ModelInfo
    ratios: list[float]
    sites: list[SiteCurves]
    timings: dict[str, float] = {}
    environment: dict[str, str] = {}


class EvaluationResult(_Record):
    """What ``liar evaluate --json`` writes."""

    schema_version: int = SCHEMA_VERSION
    model: ModelInfo
    evaluations: list[Evaluation]
    timings: dict[str, float] = {}
    environment: dict[str, str] = {}
