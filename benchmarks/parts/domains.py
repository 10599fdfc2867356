"""Which text serves which: SmolLM2 calibrated on each of several texts and measured on each.

Half of the neurons removed by the default criterion and allocation, least-squares, one-shot. Calibration text and test windows
are of disjoint articles and sentences. A gain is in nats, beside the default text, with the paired standard error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, partial
from math import exp, hypot, log
from statistics import fmean

from figures import SMOLLM2, finished_run, loaded
from readme import table

from liar import PruneSpec
from liar.evaluate.prepared_task import evaluate
from liar.results import Evaluation
from liar.spec import EVALUATION_LENGTH
from liar.tasks.demo import PERPLEXITY
from liar.tasks.mixes import RUNNING_TEXT
from liar.tasks.texts import EDITORIALS, FILMS, PRODUCTS, TWEETS, WIKI, Text
from parts.points import Part, Pending, Point, Report, Scope
from parts.subjects import Gain, named

MEASURED: tuple[Text, ...] = (WIKI, FILMS, EDITORIALS, PRODUCTS, TWEETS)
SOURCES = (
    RUNNING_TEXT,
    *(text.id for text in MEASURED),
    "self",
    "wiki + self",
    " + ".join(text.id for text in MEASURED),
)
"""Calibration texts, the default first: the others are compared with it."""
RATIO = 0.5


def pending(scope: Scope) -> Iterator[Pending]:
    for source in SOURCES[:2] if scope.fast else SOURCES:
        yield Pending(source, partial(measure, source, scope))


@cache
def measured(source: str | None, scope: Scope) -> tuple[Evaluation, ...]:
    """Perplexity on each text of the model calibrated on ``source``; of the dense one for None."""
    model = loaded(SMOLLM2)
    if source is not None:
        little = {"tokens": 1024} if scope.fast else {}
        spec = PruneSpec.create(model=SMOLLM2, ratio=RATIO, schedule="one-shot", calibration=source, **little)
        model, _ = finished_run(spec, model)
    limit = 2 if scope.fast else None
    return tuple(
        evaluate(model, PERPLEXITY.name, data=text.id, sequence_length=EVALUATION_LENGTH, limit=limit)
        for text in MEASURED
    )


def measure(source: str, scope: Scope) -> dict[str, float]:
    values: dict[str, float] = {}
    found = (MEASURED, measured(None, scope), measured(SOURCES[0], scope), measured(source, scope))
    for text, dense, usual, here in zip(*found, strict=True):
        values |= {f"{text.id} n": float(dense.n), f"{text.id} dense": dense.value, **named((text.id, here))}
        values |= Gain.of(usual, here).named(f"{text.id} gain")
    return values


def report(points: Mapping[str, Point]) -> Report:
    found = {source: points[source].values for source in SOURCES if source in points}
    rows = [(source, *_cells(source, values), f"{_mean(values):.2f} x") for source, values in found.items()]
    first = next(iter(found.values()))
    head = (
        f"Perplexity over dense of {first[f'{WIKI.id} n']:,.0f} windows of {EVALUATION_LENGTH} tokens of each text, half of "
        f"the neurons of {SMOLLM2} removed, the default recipe but one-shot, calibrated on the text of the row (of several in "
        "equal shares if it gives none). In brackets the gain over the first, the default, in nats ± its paired standard error."
    )
    columns = ("calibrated on", *(text.title for text in MEASURED), "geometric mean")
    own = [_own(text, found[text.id]) for text in MEASURED if text.id in found]
    finding = f"Beside the default, {'; '.join(own)}. {_best(found)}"
    return Report(f"{head}\n\n{table(columns, rows)}\n\n{finding}")


def _cells(source: str, values: Mapping[str, float]) -> Iterator[str]:
    for text in MEASURED:
        gain = "" if source == SOURCES[0] else f" ({_gain_words(values, text)})"
        yield f"{values[text.id] / values[f'{text.id} dense']:.2f} x{gain}"


def _gain_words(values: Mapping[str, float], text: Text) -> str:
    return f"{values[f'{text.id} gain']:+.2f} ± {values[f'{text.id} gain stderr']:.2f}"


def _best(found: Mapping[str, Mapping[str, float]]) -> str:
    """Which text loses least over all, and whether that is more than chance beside the default."""
    best = min(found, key=lambda source: _mean(found[source]))
    if best == SOURCES[0]:
        return "Over all texts no other loses less."
    gains = [found[best][f"{text.id} gain"] for text in MEASURED]
    stderr = hypot(*(found[best][f"{text.id} gain stderr"] for text in MEASURED)) / len(MEASURED)
    words = f"Over all texts {best} loses least, {fmean(gains):+.3f} ± {stderr:.3f} nats beside the default"
    return f"{words}." if abs(fmean(gains)) >= 2 * stderr else f"{words}, which may be chance."


def _mean(values: Mapping[str, float]) -> float:
    """Geometric mean over the texts of the perplexity over dense."""
    return exp(fmean(log(values[text.id] / values[f"{text.id} dense"]) for text in MEASURED))


def _own(text: Text, values: Mapping[str, float]) -> str:
    """What a text gains on itself, and whether that is more than chance."""
    words = f"{text.title} serve themselves with {_gain_words(values, text)} nats"
    return words if Gain.read(values, f"{text.id} gain").sign else f"{words}, which may be chance"


DOMAINS = Part("domains", "Which text serves which", pending, report)
