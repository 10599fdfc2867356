"""The ratio for a need: a share of the parameters, a size of the weights, or a perplexity beside the dense model's.

Parameters and bytes are counted: to the unit for uniform, for other allocations to the bundle that ends their budget; edits,
rounded widths, the bias of a patch and int8 weights are not considered. A perplexity (``loss``) is predicted by the error
curves: half the sum over sites of sensitivity x E|error|^2 is the divergence from the dense model to second order, in nats
(:mod:`liar.calibration.gradients`). It orders ratios well and is too high on the whole, so a measurement settles it: a trial
(:mod:`liar.jobs.meet_need`) or stored runs (:mod:`liar.report.interpolation`).

>>> from liar.explore.need import Need
>>> Need.read("70 %"), Need.read("60 MB"), Need.read("1.5 x")
(Need(kind='parameters', amount=0.7), Need(kind='size', amount=60000000.0), Need(kind='loss', amount=1.5))
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import TYPE_CHECKING, Literal, Self

from pydantic import ByteSize, TypeAdapter, ValidationError

from liar.choices import REPAIRS
from liar.errors import InvalidSpecError
from liar.explore.allocation import FEWEST_LEFT, nearest_removed
from liar.explore.forecast import forecast
from liar.spec import LEFT_OUT, MAX_RATIO, PruneSpec, SiteKind

if TYPE_CHECKING:
    from liar.explore.atlas import Atlas, AtlasFacts, KindFacts

NeedKind = Literal["parameters", "size", "loss", "quality"]

_RATIOS = tuple(percent / 100 for percent in range(1, round(100 * MAX_RATIO) + 1))
"""Ratios are whole percent, so that slider, links and stored runs can have the same ones."""


@dataclass(frozen=True, slots=True)
class Need:
    """What is asked for. ``amount``: share of all parameters left (0..1), bytes of the weights, times the dense perplexity, or
    share of the dense model's metric.
    """

    kind: NeedKind
    amount: float

    @classmethod
    def read(cls, text: str) -> Self:
        """A need in words: ``70 %``, ``60 MB``, ``1.5 x`` or ``95 % of the accuracy``; raises :class:`InvalidSpecError` for
        other words.
        """
        words = text.strip().lower().replace(",", "")
        if kept := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%\s*(?:of (?:the |its )?)?(?:accuracy|quality|f1|score)", words):
            return cls.of("quality", float(kept[1]) / 100)
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
                "60 MB, a perplexity like 1.5 x, or 95 % of the accuracy."
            )
        return cls.of("size", float(size))

    @classmethod
    def of(cls, kind: NeedKind, amount: float) -> Self:
        """Raises :class:`InvalidSpecError` for an amount that no model can have."""
        if kind == "parameters" and not 0 < amount <= 1:
            raise InvalidSpecError(
                f"A share of the parameters is above 0 and at most 1, not {amount:g}; 0.7 leaves 70 %."
            )
        if kind == "quality" and not 0 < amount <= 1:
            raise InvalidSpecError(f"A share of the accuracy is above 0 and at most 100 %, not {100 * amount:g} %.")
        if kind == "loss" and not amount > 1:
            raise InvalidSpecError(
                f"A smaller model has a higher perplexity, so ask for more than 1 x the dense one, not {amount:g}."
            )
        return cls(kind, amount)


_LEAST_SIZE = 1_000
"""Fewest bytes that are a size; a bare small number is more likely a ratio or a share without its unit."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What parameters and bytes are counted by: ``parameters`` of the model and of all its ``blocks``, equal ones, what all
    sites of a kind have in common, and the bytes of a parameter; ``tokens_gone``: parameters of the tokens that go before.
    """

    parameters: int
    blocks: int
    kinds: Mapping[SiteKind, KindFacts]
    parameter_bytes: float
    tokens_gone: int = 0

    @classmethod
    def of(cls, facts: AtlasFacts) -> Self:
        """Those of the model of an atlas."""
        return cls(facts.model.parameters, facts.block_parameters, facts.kinds, facts.parameter_bytes)

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return max(len(facts.layers) for facts in self.kinds.values())

    def targeted(self, spec: PruneSpec) -> list[KindFacts]:
        """The kinds whose units ``spec`` removes."""
        left_out = LEFT_OUT.get(spec.targets)
        return [facts for kind, facts in self.kinds.items() if spec.cuts_width and kind != left_out]


def possible_ratios(bundles: Iterable[int], fewest_left: int = 1) -> list[float]:
    """The ratios, in whole percent, at which sites of so many ``bundles`` keep some; the least first."""
    fewest = min(bundles)
    return [ratio for ratio in _RATIOS if nearest_removed(fewest, ratio) <= fewest - fewest_left]


def parameters_left(spec: PruneSpec, sizes: Sizes, ratio: float) -> float:
    """Parameters that ``spec`` leaves at ``ratio`` of a model of these ``sizes``.

    A uniform cut takes whole bundles from each site; others meet their budget to one bundle.
    """
    spec = spec.model_copy(update={"ratio": ratio})
    shifts, gone = REPAIRS[spec.reconstruction].changes_bias, nearest_removed(sizes.layers, spec.depth)
    change = -sizes.tokens_gone - gone * sizes.blocks / sizes.layers
    for facts in sizes.targeted(spec):
        removed = nearest_removed(facts.bundles, ratio) if spec.allocation == "uniform" else ratio * facts.bundles
        layers = len(facts.layers) - gone
        change -= layers * removed * facts.bundle_parameters
        if shifts and removed > 0:
            change += layers * (facts.bias_fixed + (facts.bundles - removed) * facts.bias_per_bundle)
    return sizes.parameters + change


def ratio_for(need: Need, spec: PruneSpec, sizes: Sizes) -> float:
    """The least ratio, in whole percent, at which ``spec`` leaves a share of the parameters or a size, see
    :func:`parameters_left`; 0 if the tokens or layers that go before suffice.

    Raises :class:`InvalidSpecError` if none does, or if the whole model is no larger.
    """

    def words(left: float) -> str:
        if need.kind == "size":
            return f"{left * sizes.parameter_bytes / 1e6:.1f} MB"
        return f"{100 * left / sizes.parameters:.1f} % of the parameters"

    most = need.amount / sizes.parameter_bytes if need.kind == "size" else need.amount * sizes.parameters
    if most >= sizes.parameters:
        raise InvalidSpecError(f"The whole model is no larger: {words(sizes.parameters)}; ask for less.")
    if spec.cuts_width:
        ratios = possible_ratios(facts.bundles for facts in sizes.targeted(spec))
    else:
        ratios = possible_ratios([sizes.layers], FEWEST_LEFT)
    least_cut = [0.0] if spec.layers or sizes.tokens_gone else []
    found = next((ratio for ratio in [*least_cut, *ratios] if parameters_left(spec, sizes, ratio) <= most), None)
    if found is None:
        least = words(parameters_left(spec, sizes, ratios[-1]))
        raise InvalidSpecError(
            f"No ratio up to {ratios[-1]:g} of these units leaves less than {least}; ask for at least that, or choose other "
            "targets."
        )
    return found


def met_words(ratio: float) -> str:
    """Sentence on the ratio of :func:`ratio_for`."""
    return f"A ratio of {ratio:g} meets that." if ratio else "What goes before heads and neurons meets that alone."


def predicted_loss(spec: PruneSpec, atlas: Atlas) -> float:
    """The perplexity beside the dense one that the curves predict, as a factor.

    Raises the errors of a forecast, and :class:`InvalidSpecError` if the atlas has no sensitivities.
    """
    divergence = forecast(spec, atlas).divergence
    if divergence is None:
        raise InvalidSpecError(
            "The curves at hand predict no perplexity, because this model has none; ask by parameters or size."
        )
    return exp(divergence)


def ratio_of_loss(most: float, predicted: Callable[[float], float], ratios: Sequence[float] = _RATIOS) -> float:
    """The greatest of ``ratios``, rising and by default in whole percent, at which ``predicted(ratio)`` is at most ``most``.

    Raises :class:`InvalidSpecError` if none is.
    """
    falling = ratios[::-1]
    place = bisect_left(falling, True, key=lambda ratio: predicted(ratio) <= most)
    if place == len(falling):
        raise InvalidSpecError(
            f"The least cut already has more: {predicted(ratios[0]):.3g} x the dense perplexity at a ratio of {ratios[0]:g}; "
            "ask for more than that."
        )
    return falling[place]
