"""Metrics, their standard errors, and that of the difference of a metric between two models that answered the same items.

Means over items have closed forms (for right and wrong answers that of McNemar's test). F1, Matthews, Spearman and Pearson
are no means, so items are resampled with replacement (Efron 1979), for two models the same ones.

>>> from liar.statistics.paired import stderr_of
>>> from liar.results import Items
>>> round(stderr_of("matthews", Items(digest="", right="ff0f", positive="f0f0"), 16), 2)
0.16
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import sqrt
from operator import mul
from statistics import fmean, stdev

import numpy as np
from numpy.typing import NDArray

from liar.results import Items
from liar.tasks.metrics import METRICS, MetricName

RESAMPLES = 1_000
"""Resamples of a bootstrap: the standard error is then exact to 2 %."""

_AT_ONCE = 2_000_000
"""Weights of items in memory at once."""

Numbers = NDArray[np.float64]


def bits(hexadecimal: str, n: int) -> list[bool]:
    """The ``n`` bits of a field of :class:`liar.results.Items`, in the order of the items."""
    return [bit == "1" for bit in f"{int(hexadecimal, 16):0{n}b}"]


def packed(flags: list[bool]) -> str:
    """Inverse of :func:`bits`."""
    written = "".join("1" if flag else "0" for flag in flags)
    return f"{int(written, 2):0{(len(written) + 3) // 4}x}"


def scores_of(metric: MetricName, items: Items, n: int) -> list[float] | None:
    """Score of each item whose mean the metric is, or its logarithm; None if it is no mean or the items lack the scores."""
    reads = METRICS[metric].reads
    if reads == "right" and items.right is not None:
        return [float(right) for right in bits(items.right, n)]
    return {"nll": items.nll, "scores": items.scores, "each": (items.each or {}).get(metric)}.get(reads)


def value_of(metric: MetricName, items: Items, n: int) -> float:
    """A metric over ``n`` items, or the mean of whose logarithm it is; zero where its divisor is, as in scikit-learn."""
    if (scores := scores_of(metric, items, n)) is not None:
        return fmean(scores)
    return float(_VALUES[metric](items, n, np.ones((1, n)))[0])


def stderr_of(metric: MetricName, items: Items, n: int) -> float:
    """Standard error of a metric in 0..1 over ``n`` items: binomial for right and wrong answers, zero for one item."""
    scores = scores_of(metric, items, n)
    if scores is not None and METRICS[metric].reads == "right":
        share = fmean(scores)
        return sqrt(share * (1 - share) / n)
    return stderr_of_sum(metric, [(1.0, items)], n) or 0.0


def stderr_of_sum(metric: MetricName, terms: Sequence[tuple[float, Items]], n: int) -> float | None:
    """Standard error of the sum of factor x metric over several models that answered the same ``n`` items.

    With the factors -1 and 1 it is the one of a paired difference. For perplexity it is that of the mean log likelihood
    (delta method: pass factor x perplexity as the factor). None for a single item, or if a model's items lack the scores.
    """
    if n < 2:
        return None
    scores = [scores_of(metric, items, n) for _, items in terms]
    known = [each for each in scores if each is not None]
    if len(known) == len(terms):
        factors = [factor for factor, _ in terms]
        return float(stdev(sum(map(mul, factors, each)) for each in zip(*known, strict=True)) / sqrt(n))
    read = "positive" if METRICS[metric].reads == "classes" else "predicted"
    if METRICS[metric].is_mean or any(getattr(items, read) is None for _, items in terms):
        return None
    return _bootstrap(metric, tuple((factor, items.model_dump_json()) for factor, items in terms), n)


@lru_cache(maxsize=512)
def _bootstrap(metric: MetricName, terms: tuple[tuple[float, str], ...], n: int) -> float:
    """Standard deviation of the sum over resamples of the items; the models are given as JSON."""
    models = [(factor, Items.model_validate_json(items)) for factor, items in terms]
    random = np.random.default_rng(0)
    found: list[Numbers] = []
    size = max(1, min(RESAMPLES, _AT_ONCE // n))
    for start in range(0, RESAMPLES, size):
        weights = random.multinomial(n, np.full(n, 1 / n), size=min(size, RESAMPLES - start)).astype(np.float64)
        found.append(
            sum((factor * _VALUES[metric](items, n, weights) for factor, items in models), np.zeros(len(weights)))
        )
    return float(np.concatenate(found).std(ddof=1))


# -- metrics of weighted items: (resamples, items) -> (resamples,) ----------------------------------------------------


def _counts(items: Items, n: int, weights: Numbers) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """True and false positives, false and true negatives; the second class is the positive one."""
    assert items.right is not None
    assert items.positive is not None
    right, positive = np.array(bits(items.right, n)), np.array(bits(items.positive, n))
    cells = (right & positive, ~right & ~positive, ~right & positive, right & ~positive)
    tp, fp, fn, tn = (weights @ cell for cell in cells)
    return tp, fp, fn, tn


def _f1(items: Items, n: int, weights: Numbers) -> Numbers:
    tp, fp, fn, _ = _counts(items, n, weights)
    return _divided(2 * tp, 2 * tp + fp + fn)


def _matthews(items: Items, n: int, weights: Numbers) -> Numbers:
    tp, fp, fn, tn = _counts(items, n, weights)
    return _divided(tp * tn - fp * fn, np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))


def _pearson(items: Items, n: int, weights: Numbers) -> Numbers:
    return _correlation(weights, np.array(items.predicted)[None], np.array(items.wanted)[None])


def _spearman(items: Items, n: int, weights: Numbers) -> Numbers:
    return _correlation(weights, ranks(np.array(items.predicted), weights), ranks(np.array(items.wanted), weights))


def _correlation(weights: Numbers, x: Numbers, y: Numbers) -> Numbers:
    x, y = _centred(weights, x), _centred(weights, y)
    spread = np.sqrt((weights * x**2).sum(axis=1) * (weights * y**2).sum(axis=1))
    return _divided((weights * x * y).sum(axis=1), spread)


def _centred(weights: Numbers, x: Numbers) -> Numbers:
    """Deviations from the mean over the largest of them; zero where all are rounding noise, as of equal numbers."""
    mean = (weights * x).sum(axis=1, keepdims=True) / weights.sum(axis=1, keepdims=True)
    deviations = np.where(weights > 0, x - mean, 0.0)
    largest = np.abs(deviations).max(axis=1, keepdims=True)
    scaled: Numbers = np.divide(
        deviations, largest, out=np.zeros_like(deviations), where=largest > 1e-12 * np.abs(x).max()
    )
    return scaled


def ranks(values: Numbers, weights: Numbers) -> Numbers:
    """Mean rank of each item in each resample, in which an item occurs ``weights`` times: (resamples, items)."""
    _, group = np.unique(values, return_inverse=True)
    sizes = np.zeros((len(weights), group.max() + 1))
    for place, number in enumerate(group):
        sizes[:, number] += weights[:, place]
    means: Numbers = np.cumsum(sizes, axis=1) - (sizes - 1) / 2
    return means[:, group]


def _divided(above: Numbers, below: Numbers) -> Numbers:
    """The quotient; zero if the divisor is, as is usual for these metrics."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


_VALUES: Mapping[MetricName, Callable[[Items, int, Numbers], Numbers]] = {
    "f1": _f1,
    "matthews": _matthews,
    "spearman": _spearman,
    "pearson": _pearson,
}
