"""PruneSpec: all choices of a run in one frozen object, with its URL, JSON and key forms.

>>> from liar.spec import PruneSpec
>>> spec = PruneSpec(criterion="wanda", ratio=0.3)
>>> spec.to_query()
'v=2&criterion=wanda&ratio=0.3'
>>> PruneSpec.from_query("v=2&criterion=wanda&ratio=0.3") == spec
True
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from functools import lru_cache
from itertools import product
from math import prod
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, Self, get_args
from urllib.parse import parse_qsl, urlencode

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from liar.choices import IMPORTANCE, Criterion, Importance, Reconstruction
from liar.edits import MAX_EDITS, canonical
from liar.errors import InvalidSpecError
from liar.tasks.mixes import canonical as canonical_mix
from liar.tasks.mixes import sources_of
from liar.tasks.registry import OWN, task_named

Targets = Literal["ffn", "heads", "both", "layers"]
"""What is removed: neurons, heads, both, or whole layers."""
StageName = Literal["depth", "width"]
"""Kinds of removal: whole layers, and heads or neurons of layers."""
Allocation = Literal["uniform", "global", "error-curve", "loss-curve"]
Schedule = Literal["one-shot", "sequential", "corrective"]
Quantize = Literal["none", "int8"]
Separator = Literal["auto", "document", "newline", "blank-line", "end"]
SiteKind = Literal["ffn", "attention"]
LEFT_OUT: Mapping[Targets, SiteKind] = {"ffn": "attention", "heads": "ffn"}
"""Sites that a target does not include; the others include both kinds."""

SEPARATORS: tuple[Separator, ...] = get_args(Separator)
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
ALLOCATIONS: tuple[Allocation, ...] = get_args(Allocation)
RECONSTRUCTIONS: tuple[Reconstruction, ...] = get_args(Reconstruction)
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)
TARGETS: tuple[Targets, ...] = get_args(Targets)
CURVE_ALLOCATIONS: frozenset[Allocation] = frozenset({"error-curve", "loss-curve"})
CHECKED: Final = "checked"
"""An allocation of earlier versions, which compared several by a measurement: its runs can be read, and none started."""

CUSTOM = "custom:"
CUSTOM_WITH_GRADIENTS = "custom-gradients:"
"""Prefixes of the name under which a run records a criterion that was passed to it as a function."""
_CUSTOM_NAME = re.compile(rf"({CUSTOM}|{CUSTOM_WITH_GRADIENTS})[A-Za-z_][A-Za-z0-9_.]{{0,99}}")

MAX_RATIO = 0.95
MAX_TASKS = 16
_MOST_NAMED = 8  # unknown names in one message, which a link of any length may have
EVALUATION_LENGTH = 256
"""Tokens of one sequence of an evaluation, if the spec sets no length and the model has enough positions."""
AUTO: Final = "auto"

AUTO_TOKENS = 8
"""Calibration tokens of one text for each channel of the widest site, if a spec sets none: 12,288 for SmolLM2-135M. A quarter
of them gives most of a repair, and more gain little (docs/results/defaults.md)."""
AUTO_TOKENS_OF_A_MIX = 16
"""The same for several texts at once, which have more to describe: 24,576 for SmolLM2-135M, 176,128 for LLaMA-7B."""
AUTO_TOKENS_OF_AN_EMBEDDER = 64
MOST_AUTO_TOKENS_OF_AN_EMBEDDER = 131_072
"""The same for an embedder, whose vectors are of texts and not of tokens, and the most of it: 98,304 for MiniLM
(docs/results/embedders.md)."""

_LISTS = ("evaluate", "edits")
"""Choices that may occur more than once in a query."""

BASELINE: Mapping[str, Any] = MappingProxyType(
    {
        "model": "demo/smollm2-135m",
        "targets": "ffn",
        "criterion": "obs",
        "ratio": 0.5,
        "allocation": "loss-curve",
        "reconstruction": "least-squares",
        "schedule": "sequential",
        "calibration": "auto",
        "tokens": 12_288,
        "sequence_length": 256,
        "separator": "end",
        "multiple": 1,
        "seed": 0,
        "device": "auto",
        "dtype": "auto",
        "evaluate": [],
        "evaluate_limit": None,
        "evaluate_length": None,
        "data": None,
        "edits": [],
        "quantize": "none",
        "intercept": True,
        "layers": 0.0,
        "vocabulary": None,
    }
)
"""Values, in JSON types, of the choices that a key or a stored file omits.

Defaults may change; a line here never does, so that keys and files keep their meaning. A choice added later gets a line
with the behaviour of earlier runs. Lists are empty and optional values are None: a query can express neither.
"""

VERSION: Final = "v"
"""Name of the version in a link; no choice and no part of a view has it."""

LINKED: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "1": MappingProxyType({**BASELINE, "separator": AUTO, "tokens": AUTO}),
        "2": MappingProxyType(
            {**BASELINE, "criterion": "kfac", "schedule": "corrective", "separator": AUTO, "tokens": AUTO}
        ),
    }
)
"""Values of the choices that a link of each version omits. The last version is the one that is written, and holds the
defaults of today; another default is a new version, so that links keep their meaning. A link without a version, as
typed by hand, takes the defaults of the day it is opened. "1" are the links that were written without a version.
"""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a calibration holds beside plain moments: gradients of ``masks`` on the bundles, second moments of the gradients at
    ``outputs``, the ``sensitivity`` of the loss to errors of each site, and ``norm_aware`` moments of the dense model, which
    take as much memory as the plain ones.
    """

    masks: bool = False
    outputs: bool = False
    sensitivity: bool = False
    norm_aware: bool = True

    @classmethod
    def of(cls, *specs: PruneSpec) -> Needs:
        """What any of ``specs`` needs."""
        return cls(*(any(each) for each in zip(*(astuple(spec.needs) for spec in specs), strict=True)))

    def of_model(self, *, embeds: bool) -> Needs:
        """What the moments of the model take besides: of an embedder the coherence of its gradients, which comes with the
        sensitivities (:mod:`liar.calibration.coherence`).
        """
        return replace(self, sensitivity=True) if embeds else self

    @property
    def gradients(self) -> bool:
        """Whether it takes a backward pass, which is impossible for a streamed model."""
        return self.masks or self.signs

    @property
    def signs(self) -> bool:
        """Whether it takes the backward pass of random signs, see :mod:`liar.calibration.gradients`."""
        return self.outputs or self.sensitivity


def _known(name: str, choices: tuple[str, ...], *, besides: re.Pattern[str]) -> AfterValidator:
    """One of ``choices`` or, which the message does not say, a name of the form ``besides``."""

    def check(value: str) -> str:
        if value not in choices and not besides.fullmatch(value):
            *others, last = map(repr, choices)
            raise ValueError(f"{name} should be {', '.join(others)} or {last}, not {value[:80]!r}.")
        return value

    return AfterValidator(check)


def _known_tasks(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        task_named(name)
    return names


def _tokens_or_text(value: str) -> str:
    """A number without signs between its digits, or the name of a text."""
    number = re.sub(r"[,_ ]", "", value)
    return str(int(number)) if number.isdecimal() and number.isascii() else value.strip()


def _canonical_edits(edits: tuple[str, ...]) -> tuple[str, ...]:
    """Canonical spellings; the last of equal edits stays, since a later ratio replaces an earlier one."""
    return tuple(dict.fromkeys(canonical(edit) for edit in reversed(edits)))[::-1]


class PruneSpec(BaseModel):
    """Everything that decides the outcome of a run.

    Equal specs give equal results, bit for bit on CPU. ``calibration="auto"`` uses the text that the model's task was
    trained on, for a language model three parts of Wikipedia leads and one of film reviews; ``tokens="auto"`` as many as its
    channels need; ``device`` and ``dtype`` ``"auto"`` use the best available; ``evaluate_limit=None`` means each task's
    default number of windows or items, and ``evaluate_length=None`` the default length of each task, or all positions of a
    smaller model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field("demo/smollm2-135m", min_length=1, max_length=512)
    targets: Targets = "ffn"
    criterion: Annotated[str, _known("criterion", CRITERIA, besides=_CUSTOM_NAME)] = Field(
        "kfac", json_schema_extra={"enum": list(CRITERIA)}
    )
    """One of :data:`CRITERIA`, or the name of a function, see :func:`is_custom`."""
    ratio: float = Field(0.5, ge=0.0, le=MAX_RATIO, allow_inf_nan=False)
    """Share of the targeted units that goes; of heads and neurons those in the layers that are left."""
    layers: float = Field(0.0, ge=0.0, le=MAX_RATIO, allow_inf_nan=False)
    """Share of the layers that goes before heads or neurons; alone it is spelled as the targets "layers", whose ratio it is."""
    vocabulary: Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_tokens_or_text)] | None = None
    """Tokens that stay: a number of them, the most frequent ones of the calibration text, or the name of a text that needs them
    (:mod:`liar.data.needed_tokens`); None: all."""
    allocation: Annotated[str, _known("allocation", ALLOCATIONS, besides=re.compile(CHECKED))] = Field(
        "loss-curve", json_schema_extra={"enum": list(ALLOCATIONS)}
    )
    """How the ratio is spread over the sites: one of :data:`ALLOCATIONS`; :data:`CHECKED` in stored runs alone."""
    reconstruction: Reconstruction = "least-squares"
    schedule: Schedule = "corrective"
    calibration: Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(canonical_mix)] = AUTO
    """A text, or several and the share of each, see :mod:`liar.tasks.mixes`."""
    tokens: Annotated[int, Field(ge=1, le=10_000_000)] | Literal["auto"] = AUTO
    """Calibration tokens; "auto": :data:`AUTO_TOKENS` for each channel of the widest site, for a mix
    :data:`AUTO_TOKENS_OF_A_MIX`, for an embedder :data:`AUTO_TOKENS_OF_AN_EMBEDDER`."""
    sequence_length: int = Field(256, ge=2, le=131_072)
    separator: Separator = "auto"
    """Text or token between two texts in one window, see :mod:`liar.data.packing`; only for language models."""
    multiple: int = Field(1, ge=1, le=1024)
    """Kept neurons of each site are rounded to a multiple of this, for kernels that are faster at such widths; their sum is at
    most that without rounding, unless every site is down to one multiple."""
    seed: int = Field(0, ge=0, le=2**31 - 1)
    device: str = Field(AUTO, pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    evaluate: Annotated[tuple[str, ...], Field(max_length=MAX_TASKS), AfterValidator(_known_tasks)] = ()
    """Names of tasks, see :mod:`liar.tasks.registry`."""
    evaluate_limit: int | None = Field(None, ge=1, le=1_000_000)
    evaluate_length: int | None = Field(None, ge=2, le=131_072)
    """Tokens of a window of perplexity, and the most that is read of an item."""
    data: str | None = Field(None, min_length=1, max_length=4096)
    """Texts for the task ``own``, or, if that is not measured, in place of the demo bundle's, see
    :func:`liar.data.text_reader.read_samples`; for tasks of the hub a folder with copies of their datasets, see
    :mod:`liar.data.hub`, for those of the harness see :mod:`liar.evaluate.harness.steps`."""
    edits: Annotated[tuple[str, ...], Field(max_length=MAX_EDITS), AfterValidator(_canonical_edits)] = ()
    """Choices made by hand, see :mod:`liar.edits`."""
    quantize: Quantize = "none"
    """Measure quantized copies as well, see :mod:`liar.models.quantize`."""
    intercept: bool = True
    """Whether a repair may change biases; without, least-squares is solved for a weight alone."""

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, choices: Any) -> Any:
        """Layers without heads and neurons are the targets ``layers``, so that one recipe has one key."""
        alone = isinstance(choices, dict) and choices.get("targets") != "layers" and not choices.get("edits")
        with suppress(TypeError, ValueError):  # which the fields complain of
            if alone and float(choices.get("layers", 0)) > 0 == float(choices.get("ratio", 1)):
                return {**choices, "targets": "layers", "ratio": choices["layers"], "layers": 0.0}
        return choices

    @model_validator(mode="after")
    def _layers_once(self) -> Self:
        if self.targets == "layers" and self.layers:
            raise ValueError(
                "With layers as the targets the ratio is the share of layers that goes; leave out the share of layers before."
            )
        return self

    @classmethod
    def create(cls, /, **choices: Any) -> Self:
        """Validate ``choices``; raises :class:`InvalidSpecError` with a sentence for each invalid one."""
        try:
            return cls(**choices)
        except ValidationError as error:
            raise InvalidSpecError(_sentences(error)) from None

    def at(self, ratio: float) -> Self:
        """The same at another ratio."""
        return type(self)(**self.model_dump() | {"ratio": ratio})

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the calibration texts, without their shares."""
        return sources_of(self.calibration)

    def data_of(self, task: str) -> str | None:
        """Data for one task: those of the recipe, which belong to the task ``own`` alone if it is measured."""
        return self.data if task == OWN.name or OWN.name not in self.evaluate else None

    @property
    def stages(self) -> tuple[StageName, ...]:
        """The kinds of removal, in their order. Criterion, allocation, rounding and edits are choices of the width alone."""
        if self.targets == "layers":
            return ("depth",)
        return ("depth", "width") if self.layers else ("width",)

    @property
    def depth(self) -> float:
        """Share of the layers that goes."""
        return self.ratio if self.targets == "layers" else self.layers

    @property
    def cuts_width(self) -> bool:
        """Whether heads or neurons go."""
        return "width" in self.stages

    @property
    def reads_dense(self) -> bool:
        """Whether heads and neurons are chosen in the dense model, whose calibration and curves know them."""
        return self.stages[0] == "width" and self.vocabulary is None

    @property
    def importance(self) -> Importance:
        """What the scores of the criterion take."""
        if is_custom(self.criterion):
            reads = self.criterion.startswith(CUSTOM_WITH_GRADIENTS)
            return Importance("A function of one's own.", gradients="masks" if reads else None)
        return IMPORTANCE[self.criterion]  # type: ignore[index]

    @property
    def needs(self) -> Needs:
        """What its calibration holds: what the criterion reads, what the allocation weights the errors of sites with, and
        norm-aware moments to allocate, or to report (one-shot only).
        """
        gradients = self.importance.gradients if self.cuts_width else None
        return Needs(
            masks=gradients == "masks",
            outputs=gradients == "outputs",
            sensitivity=self.allocation == "loss-curve" and self.cuts_width,
            norm_aware=self.allocation == "error-curve" or self.schedule == "one-shot",
        )

    @property
    def walked(self) -> Schedule:
        """The schedule as it is done: corrective is sequential with any repair but least-squares, which alone corrects.

        Whole layers go at once.
        """
        if not self.cuts_width:
            return "one-shot"
        corrects = self.reconstruction == "least-squares"
        return "sequential" if self.schedule == "corrective" and not corrects else self.schedule

    @property
    def repairs_by_survey(self) -> bool:
        """Whether the moments of the dense model, by which units are chosen, repair as well."""
        return self.schedule == "one-shot" and self.cuts_width

    @property
    def key(self) -> str:
        """Name of a run in a store: sha256 of the choices that differ from :data:`BASELINE`."""
        chosen = json.dumps(self._other_than(BASELINE), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(chosen.encode()).hexdigest()

    def to_query(self) -> str:
        """URL query: the newest version of :data:`LINKED`, and the choices that differ from it."""
        *_, (version, omitted) = LINKED.items()
        pairs = [(VERSION, version)]
        for name, value in self._other_than(omitted).items():
            pairs += [(name, str(item)) for item in (value if isinstance(value, list) else [value])]
        return urlencode(pairs)

    def _other_than(self, table: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in self.model_dump(mode="json").items() if value != table[name]}

    @classmethod
    def from_query(cls, query: str) -> Self:
        """Inverse of :meth:`to_query`; raises :class:`InvalidSpecError` for unknown names or bad values.

        A query takes the choices that it omits from :data:`LINKED`, one without a version from the defaults.
        """
        choices: dict[str, Any] = {}
        omitted: Mapping[str, Any] = {}
        for name, value in parse_qsl(query.lstrip("?")):
            if name == VERSION:
                if value not in LINKED:
                    raise InvalidSpecError(f"Links have version {' or '.join(LINKED)}, not {value[:80]!r}.")
                omitted = LINKED[value]
            elif name in _LISTS:
                choices.setdefault(name, []).append(value)
            else:
                choices[name] = value
        return cls.create(**{**omitted, **choices})


MAX_RATIOS = 20
MAX_RUNS = 40

Ratio = Annotated[float, Field(ge=0.0, le=MAX_RATIO, allow_inf_nan=False)]
_EACH_ONCE = AfterValidator(lambda values: tuple(dict.fromkeys(values)))


class SweepSpec(BaseModel):
    """Runs of ``base`` at every ratio, with each of ``reconstructions`` and ``criteria`` if any are given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: PruneSpec
    ratios: Annotated[tuple[Ratio, ...], Field(min_length=1, max_length=MAX_RATIOS), _EACH_ONCE]
    reconstructions: Annotated[tuple[Reconstruction, ...], _EACH_ONCE] = ()
    criteria: Annotated[tuple[Criterion, ...], _EACH_ONCE] = ()

    @model_validator(mode="after")
    def _not_too_many(self) -> Self:
        number = prod(len(values) or 1 for values in (self.ratios, self.reconstructions, self.criteria))
        if number > MAX_RUNS:
            raise ValueError(f"That makes {number} runs, and {MAX_RUNS} is the most at once; take fewer ratios.")
        return self

    @classmethod
    def create(cls, **choices: Any) -> Self:
        """Validate ``choices``; raises :class:`InvalidSpecError` with one readable sentence."""
        try:
            return cls(**choices)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            if first["type"] == "value_error":
                raise InvalidSpecError(str(first["ctx"]["error"])) from None
            raise InvalidSpecError(
                f"A sweep takes 1 to {MAX_RATIOS} ratios from 0 to {MAX_RATIO} and known names to compare; "
                f"{'.'.join(map(str, first['loc']))} is not that."
            ) from None

    @property
    def key(self) -> str:
        """Name of this sweep among jobs: sha256 of the keys of its runs."""
        return hashlib.sha256("".join(spec.key for spec in self.specs).encode()).hexdigest()

    @property
    def specs(self) -> list[PruneSpec]:
        """Runs in the order of the ratios, so that all lines of the figure grow together."""
        choices = product(
            self.ratios, self.criteria or (self.base.criterion,), self.reconstructions or (self.base.reconstruction,)
        )
        return [
            self.base.model_copy(update={"ratio": ratio, "criterion": criterion, "reconstruction": reconstruction})
            for ratio, criterion, reconstruction in choices
        ]


def ratios_between(first: float, last: float, number: int) -> tuple[float, ...]:
    """``number`` evenly spaced ratios, in whole percent so that single runs and links can have the same ones."""
    if number < 2:
        return (round(first, 2),)
    step = (last - first) / (number - 1)
    return tuple(dict.fromkeys(round(first + step * index, 2) for index in range(number)))


def is_custom(criterion: str) -> bool:
    """Whether ``criterion`` names a function that was passed to a run; only the program that has it can repeat the run."""
    return _CUSTOM_NAME.fullmatch(criterion) is not None


@lru_cache
def bounds_of(name: str) -> tuple[float, float] | None:
    """Least and greatest value of the numeric choice ``name``; None for any other name."""
    choice = PruneSpec.model_json_schema()["properties"].get(name, {})
    kinds = [kind for kind in (choice, *choice.get("anyOf", ())) if "maximum" in kind]
    return (kinds[0]["minimum"], kinds[0]["maximum"]) if kinds else None


def range_words(name: str) -> str:
    """Bounds in words: ``a whole number from 1 to 1,024``; raises ``KeyError`` if :func:`bounds_of` returns None."""
    bounds = bounds_of(name)
    if bounds is None:
        raise KeyError(name)
    kind = "a number" if PruneSpec.model_fields[name].annotation is float else "a whole number"
    return f"{kind} from {bounds[0]:,.15g} to {bounds[1]:,.15g}"


def _sentences(error: ValidationError) -> str:
    """All errors of pydantic's report, one sentence for each choice."""
    errors = error.errors(include_url=False)
    unknown = [str(each["loc"][0])[:80] for each in errors if each["type"] == "extra_forbidden"]
    found = [_sentence(each) for each in errors if each["type"] != "extra_forbidden"]
    if unknown:
        names = " or ".join(map(repr, unknown[:_MOST_NAMED]))
        found.append(f"There is no choice called {names}; the choices are {', '.join(PruneSpec.model_fields)}.")
    return " ".join(dict.fromkeys(found))


def _sentence(error: ErrorDetails) -> str:
    name = ".".join(str(part) for part in error["loc"]) or "spec"
    name = str(error["loc"][0]) if error["loc"] and bounds_of(str(error["loc"][0])) else name  # the kinds of a union
    if bounds_of(name) is not None:
        automatic = f" or {AUTO!r}" if PruneSpec.model_fields[name].default == AUTO else ""
        named = "The ratio" if name == "ratio" else name
        return f"{named} must be {range_words(name)}{automatic}, not {str(error['input'])[:80]!r}."
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    message = error["msg"].removeprefix("Input should be ").rstrip(".")
    return f"{name} should be {message}, not {str(error['input'])[:80]!r}."
