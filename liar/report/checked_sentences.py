"""Sentence on the candidates of the allocation ``checked``: what the curves predicted for each, and what was measured."""

from __future__ import annotations

from liar.results import RunResult


def checked(result: RunResult) -> str | None:
    """``Of 3 allocations loss-curve is the nearest to the dense model on text held back: 0.41 nats (predicted 0.62), ...``

    None if the run compared no allocations.
    """
    if not result.checked:
        return None
    best, *others = sorted(result.checked, key=lambda each: each.measured)
    if not others:
        return f"All allocations compared are the same as {best.name}."
    words = [f"{each.name} {_nats(each.measured)} ({_nats(each.predicted)})" for each in others]
    return (
        f"Of {len(result.checked)} allocations {best.name} is the nearest to the dense model on text held back: "
        f"{_nats(best.measured)} nats (the curves predicted {_nats(best.predicted)}); {', '.join(words)}."
    )


def _nats(value: float) -> str:
    return f"{value:.3g}"
