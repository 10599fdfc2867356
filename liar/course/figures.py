"""Figures of the lessons. A text holds no number of its own: it names a figure, and a figure is a path into a shipped result.

A path leads through attributes, keys, positions, ``name=value,...`` (the first such item), ``name(argument,...)`` (a method)
and ``*`` (every item of a list), and may end in ``mean``, ``smallest``, ``largest``, ``total`` or ``count``.

>>> from liar.course.figures import Figure, Shelf
>>> half = Figure(of="run", model="demo/minilm-sentiment", path="evaluations/variant=pruned/value", unit="%")
>>> figures = Shelf().figures({"half": half})
>>> 0.5 < figures["half"].value < 1, figures["half"].words[-1]
(True, '%')
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import sqrt
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from liar.errors import InvalidSpecError, StorageError
from liar.explore.atlas import Atlas
from liar.explore.atlas_store import AtlasStore
from liar.explore.forecast import Forecast, divergence, forecast
from liar.report.compare import Difference, difference, right_answers
from liar.results import RunResult, Totals
from liar.spec import PruneSpec
from liar.store import RunStore

_STDERRS = {"value": "stderr", "ratio": "ratio_stderr", "majority": "n"}
"""What stands beside a value in a run, by which its standard error is known."""

Unit = Literal["", "%", "x", "points", "nats"]


class Figure(BaseModel):
    """A number, or several in a row (a curve, a matrix), at ``path`` in the shipped run, atlas or forecast of a model.

    ``choices`` differ from those of the run that the page opens with. ``unit`` "%" and "points" show shares times 100.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    of: Literal["run", "atlas", "forecast"]
    model: str
    choices: dict[str, Any] = {}
    path: str
    unit: Unit = ""
    digits: int = 0


class Derived(BaseModel):
    """A number computed from other figures by their names, with + - * / and brackets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    formula: str
    unit: Unit = ""
    digits: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """A figure with its value: a number, or nested lists of numbers; ``stderr`` of what was measured on a sample of items.

    ``is_exact``: it is of the curves, so of all of the calibration text, and of no sample.
    """

    value: Any
    unit: Unit
    digits: int
    stderr: float | None = None
    is_exact: bool = True

    @property
    def shown(self) -> float:
        """The number in its unit."""
        return _in_unit(float(self.value), self.unit)

    @property
    def words(self) -> str:
        """``85.5 %``, ``0.28``, ``1.9 x``, ``1,504``."""
        return figure_words(float(self.value), self.unit, self.digits)


def figure_words(value: float, unit: Unit, digits: int) -> str:
    """A number with its unit, a share as a percentage."""
    return f"{_in_unit(value, unit):,.{digits}f} {unit}".rstrip()


def _in_unit(value: float, unit: Unit) -> float:
    return 100 * value if unit in ("%", "points") else value


_NOWHERE = Path("no folder of one's own")


class Shelf:
    """The runs and atlases that come with the package, each read once; those of a user are never looked at."""

    def __init__(self) -> None:
        self._runs, self._atlases = RunStore(_NOWHERE), AtlasStore(_NOWHERE, in_memory=8)
        self.opened = cache(self._opened)

    def figures(self, wanted: Mapping[str, Figure | Derived]) -> dict[str, Known]:
        """Values of all ``wanted`` figures. Raises :class:`StorageError` if a run or an atlas is missing, and
        :class:`InvalidSpecError` for a path or formula that leads nowhere."""
        found: dict[str, Known] = {}
        for name, figure in wanted.items():
            if isinstance(figure, Derived):
                value = _computed(figure.formula, found)
                is_exact = all(found[each].is_exact for each in re.findall(r"[a-z_]+", figure.formula))
                found[name] = Known(value, figure.unit, figure.digits, is_exact=is_exact)
            else:
                value, stderr = self.value(figure), self.stderr(figure)
                found[name] = Known(value, figure.unit, figure.digits, stderr, figure.of != "run")
        return found

    def spec(self, model: str, choices: Mapping[str, Any]) -> PruneSpec:
        """The recipe of the run that the page opens with, with other ``choices``."""
        return PruneSpec.create(**{**self.opened(model).spec.model_dump(), **choices})

    def run(self, spec: PruneSpec) -> RunResult:
        found = self._runs.find(spec)
        if found is None:
            raise StorageError(f"The run {spec.to_query()} does not come with this package; install it anew.")
        return found

    def atlas(self, spec: PruneSpec) -> Atlas:
        found = self._atlases.find(spec)
        if found is None:
            raise StorageError(f"The curves of {spec.model} do not come with this package; install it anew.")
        return found

    def _opened(self, model: str) -> RunResult:
        found = self._runs.shipped_of(model)
        if found is None:
            raise StorageError(f"No run of {model} comes with this package; install it anew.")
        return found

    def value(self, figure: Figure) -> Any:
        """A number or nested lists of numbers; raises as :meth:`figures`."""
        spec = self.spec(figure.model, figure.choices)
        root: Any
        if figure.of == "run":
            root = Ran(self.run(spec))
        elif figure.of == "atlas":
            root = self.atlas(spec)
        else:
            root = Forecasted.of(spec, self.atlas(spec))
        return _plain(_followed(root, figure.path.split("/"), figure.path))

    def stderr(self, figure: Figure) -> float | None:
        """Standard error of a metric of a run, or of the share of its most frequent label; None if there is none."""
        beside, _, last = figure.path.rpartition("/")
        if figure.of != "run" or last not in _STDERRS:
            return None
        found = float(self.value(figure.model_copy(update={"path": f"{beside}/{_STDERRS[last]}"})))
        if last != "majority":
            return found
        share = float(self.value(figure))
        return sqrt(share * (1 - share) / found)


@dataclass(frozen=True, slots=True)
class Ran:
    """A run with what the lessons ask of it beside its evaluations and sites."""

    run: RunResult

    @property
    def evaluations(self) -> Sequence[Any]:
        return self.run.evaluations

    @property
    def sites(self) -> Sequence[Any]:
        return self.run.sites

    @property
    def gains(self) -> Sequence[Any]:
        return self.run.gains

    @property
    def totals(self) -> Totals:
        return self.run.totals

    def times(self, task: str) -> Difference:
        """The repaired model beside the dense one, on the same windows of a task of perplexity."""
        found = {item.variant: item for item in self.run.evaluations if item.task == task}
        return difference(found["dense"], found["reconstructed"])

    def changed(self, before: str, after: str) -> int:
        """Items of the first task that the repaired model answers ``before`` ("right" or "wrong") by the dense one, and
        ``after`` itself.
        """
        first = self.run.evaluations[0].task
        found = {item.variant: right_answers(item) for item in self.run.evaluations if item.task == first}
        dense, repaired = found["dense"], found["reconstructed"]
        if dense is None or repaired is None:
            raise ValueError("the single answers are not known")
        wanted = (before == "right", after == "right")
        return sum(pair == wanted for pair in zip(dense, repaired, strict=True))


@dataclass(frozen=True, slots=True)
class Forecasted:
    """A forecast with what the lessons ask of it beside its sites and totals."""

    forecast: Forecast
    atlas: Atlas

    @classmethod
    def of(cls, spec: PruneSpec, atlas: Atlas) -> Forecasted:
        return cls(forecast(spec, atlas), atlas)

    @property
    def sites(self) -> Sequence[Any]:
        return self.forecast.sites

    @property
    def divergence(self) -> float:
        """Nats to the dense model's answers, as the curves predict."""
        return divergence(self.forecast, self.atlas)

    @property
    def totals(self) -> Totals:
        return self.forecast.totals

    def chosen(self, site: str) -> float:
        """Error of a site under the repair of the recipe."""
        report = next(report for report in self.forecast.sites if report.name == site)
        return report.error[self.forecast.spec.reconstruction]

    @property
    def mean_chosen(self) -> float:
        """Mean error of the sites under the repair of the recipe."""
        return float(np.mean([self.chosen(report.name) for report in self.forecast.sites]))


_ENDS: Mapping[str, Callable[[Any], float]] = {
    "mean": lambda values: float(np.mean(values)),
    "smallest": lambda values: float(np.min(values)),
    "largest": lambda values: float(np.max(values)),
    "total": lambda values: float(np.sum(values)),
    "count": lambda values: float(len(values)),
}
_CALL = re.compile(r"(\w+)\((.*)\)")


def _followed(value: Any, steps: Sequence[str], path: str) -> Any:
    for place, step in enumerate(steps):
        if step == "*":
            return _end([_followed(item, _inner(steps[place + 1 :]), path) for item in value], steps[-1])
        try:
            value = _next(value, step)
        except (LookupError, AttributeError, TypeError, ValueError, StopIteration) as error:
            raise InvalidSpecError(f"The path {path} leads nowhere at {step}.") from error
    return value


def _inner(steps: Sequence[str]) -> Sequence[str]:
    return steps[:-1] if steps and steps[-1] in _ENDS else steps


def _end(values: list[Any], last: str) -> Any:
    return _ENDS[last](values) if last in _ENDS else values


def _next(value: Any, step: str) -> Any:
    if call := _CALL.fullmatch(step):
        arguments = [int(word) if word.isdecimal() else word for word in call[2].split(",") if word]
        return getattr(value, call[1])(*arguments)
    if "=" in step:
        wanted = dict(pair.split("=", 1) for pair in step.split(","))
        return next(item for item in value if all(str(getattr(item, name)) == each for name, each in wanted.items()))
    if isinstance(value, Mapping):
        return value[step]
    if isinstance(value, list | tuple | np.ndarray):
        return _ENDS[step](value) if step in _ENDS else value[int(step)]
    return getattr(value, step)


def _plain(value: Any) -> Any:
    """Numbers and lists of Python."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


_OPERATORS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def _computed(formula: str, found: Mapping[str, Known]) -> float:
    def value(node: ast.expr) -> float:
        match node:
            case ast.BinOp(left, sign, right) if type(sign) in _OPERATORS:
                return _OPERATORS[type(sign)](value(left), value(right))
            case ast.Name(name) if name in found:
                return float(found[name].value)
            case ast.Constant(int() | float() as number):
                return float(number)
        raise InvalidSpecError(f"The formula {formula} has a part that is no figure above it: {ast.unparse(node)}.")

    return value(ast.parse(formula, mode="eval").body)
