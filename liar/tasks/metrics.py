"""The metrics: direction, display and name of each, and the part of an item's record that it is computed from.

>>> from liar.tasks.metrics import METRICS
>>> METRICS["accuracy"].words(0.861), METRICS["perplexity"].better
('86.1 %', 'lower is better')
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log10
from typing import Literal

MetricName = Literal[
    "perplexity",
    "accuracy",
    "normalized-accuracy",
    "f1",
    "matthews",
    "spearman",
    "pearson",
    "exact-match",
    "answer-f1",
    "cosine",
    "neighbours",
    "similarity-order",
    "ndcg",
    "recall",
    "mrr",
]

Evidence = Literal["nll", "right", "scores", "each", "classes", "numbers"]
"""Fields of :class:`liar.results.Items` that a metric is computed from.

nll of windows; right answers; ``scores`` whose mean is the metric; those that items have for ``each`` of several metrics; two
``classes`` (right answers and true ones); predicted and true ``numbers``.
"""


@dataclass(frozen=True, slots=True)
class Metric:
    """How a metric is read and written; ``meaning`` says in plain words what it is.

    ``by_ratio``: two values compare by their ratio, otherwise by their difference. A value in ``percent`` is displayed as
    100 times what is stored, with this number of ``decimals``.
    """

    name: MetricName
    title: str
    reads: Evidence
    meaning: str
    lower_is_better: bool = False
    percent: bool = True
    by_ratio: bool = False
    decimals: int = 1

    @property
    def better(self) -> str:
        return "lower is better" if self.lower_is_better else "higher is better"

    @property
    def of_windows(self) -> bool:
        """Whether its items are windows of running text, otherwise items with a right answer."""
        return self.reads == "nll"

    @property
    def is_mean(self) -> bool:
        """Whether the metric is a mean over items, so that its standard error has a closed form."""
        return self.reads in ("nll", "right", "scores", "each")

    @property
    def scale(self) -> int:
        """Factor between the stored and the displayed value."""
        return 100 if self.percent else 1

    def title_of(self, task: str) -> str:
        """``perplexity``, or ``sentiment accuracy`` for a metric that several tasks share."""
        return self.title if task == self.name else f"{task} {self.title}"

    def words(self, value: float) -> str:
        """``86.1 %``, ``16.2``, ``0.802``; no decimals from 1,000 on."""
        if self.percent:
            return f"{100 * value:.{self.decimals}f} %"
        return f"{value:.{self.decimals}f}" if value < 1_000 else f"{value:,.0f}"

    def change_words(self, change: float, stderr: float) -> str:
        """``-5.5 ± 0.7 points`` of a metric in percent, ``-0.012 ± 0.004`` of any other."""
        words = f"{self.scale * change:+.{self.decimals}f} ± {self.scale * stderr:.{self.decimals}f}"
        return f"{words} points" if self.percent else words

    def loss(self, before: float, after: float) -> float:
        """How much worse ``after`` is than ``before``; negative if it is better."""
        return after - before if self.lower_is_better else before - after

    def merit(self, value: float) -> float:
        """A number that grows as the metric gets better, on the scale on which two values compare."""
        compared = log10(value) if self.by_ratio else value
        return -compared if self.lower_is_better else compared


def _correlation(name: MetricName, of: str, reads: Evidence, meaning: str) -> Metric:
    return Metric(name, f"{of} correlation", reads, f"{meaning}: 0 by chance, 1 at best", percent=False, decimals=3)


METRICS: Mapping[MetricName, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "perplexity",
            "perplexity",
            "nll",
            "the number of equally likely next tokens that would be as uncertain, on average",
            lower_is_better=True,
            percent=False,
            by_ratio=True,
        ),
        Metric("accuracy", "accuracy", "right", "the share of the items that it answers rightly"),
        Metric(
            "normalized-accuracy",
            "accuracy by length",
            "scores",
            "the share of the questions whose right answer is the likeliest for its length",
        ),
        Metric("f1", "F1", "classes", "between how many of one class it finds and how many of its finds are right"),
        _correlation("matthews", "Matthews", "classes", "how well its classes follow the right ones"),
        _correlation("spearman", "Spearman", "numbers", "how well its numbers order the items"),
        _correlation("pearson", "Pearson", "numbers", "how well its numbers follow the right ones on a line"),
        Metric("exact-match", "exact match", "right", "the share of the questions that it answers to the letter"),
        Metric("answer-f1", "F1 of answers", "scores", "how many words its answers share with the right ones"),
        Metric(
            "cosine",
            "cosine to the whole",
            "each",
            "how far the vector of a text still points where the whole model's does: 1 at best",
            percent=False,
            decimals=3,
        ),
        Metric("neighbours", "neighbours kept", "each", "the share of a text's ten nearest texts that stay among them"),
        Metric(
            "similarity-order",
            "order of similarities",
            "each",
            "how well it ranks all other texts by their similarity to one, as the whole model does: 1 at best",
            percent=False,
            decimals=3,
        ),
        Metric("ndcg", "nDCG@10", "each", "how near the top of ten results the right texts are"),
        Metric("recall", "recall@10", "each", "the share of the right texts among the first ten results"),
        Metric("mrr", "MRR@10", "each", "one over the place of the first right text among ten results"),
    )
}
