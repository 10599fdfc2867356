"""The ratio for a need: a share of the parameters, a size of the weights, alone or with keys and values, or a perplexity beside
the dense model's.

Parameters and bytes are counted (:mod:`liar.explore.sizes`). A perplexity (``loss``) is predicted by the error
curves: half the sum over sites of sensitivity x E|error|^2 is the divergence from the dense model to second order, in nats
(:mod:`liar.calibration.gradients`). It orders ratios well and is too high on the whole, so a measurement settles it: a trial
(:mod:`liar.jobs.meet_need`) or stored runs (:mod:`liar.report.interpolation`).

>>> from liar.explore.need import Need
>>> Need.read("70 %"), Need.read("1.5 x")
(Need(kind='parameters', amount=0.7, tokens=0), Need(kind='loss', amount=1.5, tokens=0))
>>> Need.read("1.5 GB @ 4,096")
Need(kind='memory', amount=1500000000.0, tokens=4096)
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil, exp
from typing import TYPE_CHECKING, Literal, Self

from pydantic import ByteSize, TypeAdapter, ValidationError

from liar.errors import InvalidSpecError
from liar.explore.allocation import FEWEST_LEFT, nearest_removed
from liar.explore.forecast import forecast
from liar.explore.sizes import RATIOS, Sizes, cached_left, parameters_left, possible_ratios
from liar.spec import PruneSpec

if TYPE_CHECKING:
    from liar.explore.atlas import Atlas

NeedKind = Literal["parameters", "size", "memory", "loss", "quality"]


@dataclass(frozen=True, slots=True)
class Need:
    """What is asked for. ``amount``: share of all parameters left (0..1), bytes of the weights, for "memory" with the keys and
    values of one text of ``tokens``, times the dense perplexity, or share of the dense model's metric.
    """

    kind: NeedKind
    amount: float
    tokens: int = 0

    @classmethod
    def read(cls, text: str) -> Self:
        """A need in words: ``70 %``, ``60 MB``, ``1.5GB@4096``, ``1.5 x`` or ``95 % of the accuracy``; raises
        :class:`InvalidSpecError` for other words.
        """
        words = text.strip().lower().replace(",", "")
        if kept := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%\s*(?:of (?:the |its )?)?(?:accuracy|quality|f1|score)", words):
            return cls.of("quality", float(kept[1]) / 100)
        if share := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", words):
            return cls.of("parameters", float(share[1]) / 100)
        if loss := re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:x|times)", words):
            return cls.of("loss", float(loss[1]))
        amount, _, tokens = (part.strip() for part in words.removesuffix("tokens").partition("@"))
        try:
            size = TypeAdapter(ByteSize).validate_python(amount.replace(" ", ""))
        except ValidationError:
            size = ByteSize(0)
        if size < _LEAST_SIZE or ("@" in words and not (tokens.isdecimal() and 0 < int(tokens) <= MOST_TOKENS)):
            raise InvalidSpecError(
                f"{text.strip()[:40]!r} is no need that is known; write a share of the parameters like 70 %, a size like "
                "60 MB, a memory with the keys and values of so many tokens like 1.5GB@4096, a perplexity like 1.5 x, or 95 % "
                "of the accuracy."
            )
        return cls("memory", float(size), int(tokens)) if tokens else cls.of("size", float(size))

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


MOST_TOKENS = 10_000_000
"""Longest text whose keys and values can be asked for."""

_LEAST_SIZE = 1_000
"""Fewest bytes that are a size; a bare small number is more likely a ratio or a share without its unit."""


HALF_IN_LAYERS = 0.5
"""Least share of what goes that whole layers are, where the kinds of units are not chosen (docs/results/budgets.md)."""


def spread(need: Need, spec: PruneSpec, sizes: Sizes) -> PruneSpec:
    """``spec`` with the kinds of units for a need that can be counted, where none was chosen: of a LLaMA layers before its
    heads or neurons, at least half of what goes, or more if the rest cannot go from those; of an encoder, whose layers
    cannot go, heads and neurons.
    """
    if need.kind not in _COUNTED or not spec.cuts_width:
        return spec
    if not sizes.loses_layers:
        return spec.model_copy(update={"targets": "both"}) if sizes.windows == () else spec
    most = sizes.layers - FEWEST_LEFT
    shares = [_share_of(depth, sizes.layers) for depth in range(most + 1)]
    chains = [spec.model_copy(update={"layers": share}) for share in shares]
    whole, short = (_left(need, each, sizes, 0.0) for each in chains[:2])
    gone = max((whole - need.amount) / (whole - short), 0)
    half = min(ceil(HALF_IN_LAYERS * gone), int(gone))
    greatest = possible_ratios(facts.bundles for facts in sizes.targeted(spec))[-1]
    enough = (each for each in chains[half:] if _left(need, each, sizes, greatest) <= need.amount)
    return next(enough, chains[-1])


def _share_of(depth: int, layers: int) -> float:
    """The shortest share that removes so many layers."""
    shares = (round(depth / layers, digits) for digits in (2, 4, 6))
    return next(share for share in shares if nearest_removed(layers, share) == depth)


def ratio_for(need: Need, spec: PruneSpec, sizes: Sizes) -> float:
    """The least ratio, in whole percent, at which ``spec`` leaves what a need that can be counted asks for; 0 if the tokens or
    layers that go before suffice.

    Raises :class:`InvalidSpecError` if none does, or if the whole model is no larger.
    """

    def words(ratio: float) -> str:
        return _words(need, _left(need, spec, sizes, ratio))

    if need.kind == "memory" and sizes.windows is None:
        raise InvalidSpecError(
            "These curves are older than the count of keys and values; ask for a size, or on the command line."
        )
    whole = _left(need, _WHOLE, replace(sizes, tokens_gone=0), 0.0)
    if need.amount >= whole:
        raise InvalidSpecError(f"The whole model is no larger: {_words(need, whole)}; ask for less.")
    if spec.cuts_width:
        ratios = possible_ratios(facts.bundles for facts in sizes.targeted(spec))
    else:
        ratios = possible_ratios([sizes.layers], FEWEST_LEFT)
    least_cut = [0.0] if spec.layers or sizes.tokens_gone else []
    found = next((ratio for ratio in [*least_cut, *ratios] if _left(need, spec, sizes, ratio) <= need.amount), None)
    if found is None:
        raise InvalidSpecError(
            f"No ratio up to {ratios[-1]:g} of these units leaves less than {words(ratios[-1])}; ask for at least that, or "
            "choose other targets."
        )
    return found


_COUNTED: tuple[NeedKind, ...] = ("parameters", "size", "memory")
_WHOLE = PruneSpec(ratio=0.0)


def _left(need: Need, spec: PruneSpec, sizes: Sizes, ratio: float) -> float:
    """What ``spec`` leaves at ``ratio``, in the unit of a need that can be counted."""
    parameters = parameters_left(spec, sizes, ratio)
    if need.kind == "parameters":
        return parameters / sizes.parameters
    return sizes.parameter_bytes * (parameters + cached_left(spec, sizes, ratio, need.tokens))


def _words(need: Need, amount: float) -> str:
    if need.kind == "parameters":
        return f"{100 * amount:.1f} % of the parameters"
    return f"{amount / 1e6:.1f} MB{f' with the keys and values of {need.tokens:,} tokens' if need.tokens else ''}"


def met_words(need: Need, spec: PruneSpec, sizes: Sizes) -> str:
    """Sentence on the ``spec`` that meets a need that can be counted: what goes, and what is left."""
    depth, left = nearest_removed(sizes.layers, spec.depth), _left(need, spec, sizes, spec.ratio)
    layers = [f"{depth} of {sizes.layers} layers"] if depth else []
    units = [f"a ratio of {spec.ratio:g}"] if spec.cuts_width and spec.ratio else []
    gone = ", then ".join([*layers, *units]) or "the tokens that go"
    verb = "meet" if layers or not units else "meets"
    return f"{gone[0].upper()}{gone[1:]} {verb} that: {_words(need, left)} {'are' if need.kind == 'parameters' else 'is'} left."


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


def ratio_of_loss(most: float, predicted: Callable[[float], float], ratios: Sequence[float] = RATIOS) -> float:
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
