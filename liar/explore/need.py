"""The ratio for a need: a share of the parameters, a size of the weights, or a perplexity beside the dense model's.

Parameters and bytes are counted: to the unit for uniform, for other allocations to the bundle that ends their budget; edits,
rounded widths and int8 weights are not considered. A perplexity (``loss``) is predicted by the error
curves: half the sum over sites of sensitivity x E|error|^2 is the divergence from the dense model to second order, in nats
(:mod:`liar.calibration.gradients`). It orders ratios well and is too high on the whole, so a measurement settles it: a trial
(:mod:`liar.jobs.meet_need`) or stored runs (:mod:`liar.report.interpolation`).

>>> from liar.explore.need import Need
>>> Need.read("70 %"), Need.read("60 MB"), Need.read("1.5 x")
(Need(kind='parameters', amount=0.7), Need(kind='size', amount=60000000.0), Need(kind='loss', amount=1.5))
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp
from typing import TYPE_CHECKING, Literal, Self

from pydantic import ByteSize, TypeAdapter, ValidationError

from liar.choices import REPAIRS
from liar.errors import InvalidSpecError
from liar.explore.allocation import check_units, nearest_removed
from liar.explore.forecast import divergence, forecast
from liar.spec import MAX_RATIO, PruneSpec, SiteKind

if TYPE_CHECKING:
    from liar.explore.atlas import Atlas, KindFacts

NeedKind = Literal["parameters", "size", "loss"]

_BYTES: Mapping[str, int] = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of a parameter by its type."""

_STEP = 100
"""Ratios are whole percent, so that slider, links and stored runs can have the same ones."""


@dataclass(frozen=True, slots=True)
class Need:
    """What is asked for. ``amount``: share of all parameters left (0..1), bytes of the weights, or times the dense
    perplexity.
    """

    kind: NeedKind
    amount: float

    @classmethod
    def read(cls, text: str) -> Self:
        """A need in words: ``70 %``, ``60 MB`` or ``1.5 x``; raises :class:`InvalidSpecError` for other words."""
        words = text.strip().lower().replace(",", "")
        if share := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", words):
            return cls.of("parameters", float(share[1]) / 100)
        if loss := re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:x|times)", words):
            return cls.of("loss", float(loss[1]))
        try:
            size = TypeAdapter(ByteSize).validate_python(words.replace(" ", ""))
        except ValidationError:
            size = ByteSize(0)
        if size < _LEAST_SIZE:
            raise InvalidSpecError(
                f"{text.strip()[:40]!r} is no need that is known; write a share of the parameters like 70 %, a size like "
                "60 MB, or a perplexity like 1.5 x."
            )
        return cls.of("size", float(size))

    @classmethod
    def of(cls, kind: NeedKind, amount: float) -> Self:
        """Raises :class:`InvalidSpecError` for an amount that no model can have."""
        if kind == "parameters" and not 0 < amount <= 1:
            raise InvalidSpecError(
                f"A share of the parameters is above 0 and at most 1, not {amount:g}; 0.7 leaves 70 %."
            )
        if kind == "loss" and not amount > 1:
            raise InvalidSpecError(
                f"A smaller model has a higher perplexity, so ask for more than 1 x the dense one, not {amount:g}."
            )
        return cls(kind, amount)


_LEAST_SIZE = 1_000
"""Fewest bytes that are a size; a bare small number is more likely a ratio or a share without its unit."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Parameters of a model ``before`` a cut and after it: ``kinds`` are (sites, bundles of each, what is common to them).

    A uniform cut takes whole bundles from each site; others meet their budget to one bundle.
    """

    before: int
    kinds: tuple[tuple[int, int, KindFacts], ...]
    is_uniform: bool
    adds_biases: bool

    @classmethod
    def of(cls, spec: PruneSpec, before: int, kinds: Mapping[SiteKind, KindFacts]) -> Self:
        chosen = tuple(
            (len(facts.layers), facts.units // facts.group, facts)
            for kind, facts in kinds.items()
            if spec.targets in ("both", "ffn" if kind == "ffn" else "heads")
        )
        return cls(before, chosen, spec.allocation == "uniform", REPAIRS[spec.reconstruction].changes_bias)

    def left(self, ratio: float) -> float:
        """Parameters left by a cut."""
        change = 0.0
        for sites, bundles, facts in self.kinds:
            removed = nearest_removed(bundles, ratio) if self.is_uniform else ratio * bundles
            change -= sites * removed * facts.bundle_parameters
            if self.adds_biases and removed > 0:
                change += sites * (facts.bias_fixed + (bundles - removed) * facts.bias_per_bundle)
        return self.before + change

    def ratio(self, left: float, words: Callable[[float], str]) -> float:
        """The least ratio, in whole percent, that leaves at most so many parameters; ``words`` describe a number of them.

        Raises :class:`InvalidSpecError` if none does, or if all of them do.
        """
        if left >= self.before:
            raise InvalidSpecError(f"The whole model is no larger: {words(self.before)}; ask for less.")
        ratios = [each / _STEP for each in range(1, round(MAX_RATIO * _STEP) + 1)]
        legal = [
            ratio for ratio in ratios if all(nearest_removed(bundles, ratio) < bundles for _, bundles, _ in self.kinds)
        ]
        found = next((ratio for ratio in legal if self.left(ratio) <= left), None)
        if found is None:
            raise InvalidSpecError(
                f"No ratio up to {legal[-1]:g} of these units leaves less than {words(self.left(legal[-1]))}; ask for at least "
                "that, or choose other targets."
            )
        return found


def predicted_loss(spec: PruneSpec, atlas: Atlas) -> float:
    """The perplexity beside the dense one that the curves predict, as a factor; raises the errors of a forecast."""
    return exp(divergence(forecast(spec, atlas), atlas))


def ratio_of_loss(most: float, predicted: Callable[[float], float]) -> float:
    """The greatest ratio, in whole percent, at which ``predicted(ratio)`` is at most ``most``.

    Raises :class:`InvalidSpecError` if none is.
    """
    low, high = 0, round(MAX_RATIO * _STEP)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if predicted(middle / _STEP) <= most else (low, middle - 1)
    if low == 0:
        raise InvalidSpecError(
            f"The least cut already has more: {predicted(1 / _STEP):.3g} x the dense perplexity at a ratio of {1 / _STEP:g}; "
            "ask for more than that."
        )
    return low / _STEP


def ratio_for(need: Need, spec: PruneSpec, atlas: Atlas) -> float:
    """The ratio at which ``spec`` leaves a share of the parameters, or a size; raises :class:`InvalidSpecError`."""
    check_units(spec)
    facts = atlas.facts
    counts = Counts.of(spec, facts.model.parameters, facts.kinds)
    return ratio_of_parameters(need, counts, _BYTES[facts.environment.get("dtype", "float32")])


def ratio_of_parameters(need: Need, counts: Counts, parameter_bytes: float) -> float:
    """The ratio for a share of the parameters, or for a size at so many bytes a parameter."""
    if need.kind == "size":
        return counts.ratio(need.amount / parameter_bytes, lambda left: f"{left * parameter_bytes / 1e6:.1f} MB")
    return counts.ratio(
        need.amount * counts.before, lambda left: f"{100 * left / counts.before:.1f} % of the parameters"
    )
