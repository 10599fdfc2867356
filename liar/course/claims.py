"""Ten claims: a sentence each, whose figures are read from runs that come with the package, and whether they bear it out.

>>> from liar.course.claims import claims
>>> from liar.course.figures import Shelf
>>> all(claim.holds for claim in claims(Shelf()))
True
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import hypot, log
from typing import NamedTuple

from liar.course.figures import Known, Shelf, evaluation_of
from liar.report.words.metric_sentences import capitalised, percent
from liar.results import Evaluation, MeasuredVariant, RunResult
from liar.spec import PruneSpec
from liar.statistics.compare import difference
from liar.statistics.paired import stderr_of_sum
from liar.tasks.metrics import METRICS

MATCH, SENTIMENT, SMOLLM2 = "demo/minilm-match", "demo/minilm-sentiment", "demo/smollm2-135m"


class Bar(NamedTuple):
    """A measured figure, and the variant of the model that it is of."""

    label: str
    variant: MeasuredVariant
    figure: Known


@dataclass(frozen=True, slots=True)
class Claim:
    """A ``sentence`` on the stored run of ``spec``; ``bars`` are figures of ``measure``, those of the sentence among them.

    ``question`` is the page of ``docs/study`` that answers at length. ``leads``: by how many standard errors, paired where the
    items are the same, each comparison of the sentence comes out as it says. ``ties``: how many lie between two figures that
    it calls equal.
    """

    title: str
    sentence: str
    spec: PruneSpec
    question: str
    measure: str
    bars: tuple[Bar, ...]
    leads: tuple[float, ...]
    ties: tuple[float, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether each comparison is beyond one standard error, and each equality within one."""
        return all(lead > 1 for lead in self.leads) and all(abs(tie) <= 1 for tie in self.ties)


def claims(shelf: Shelf) -> list[Claim]:
    """All claims, those to begin with first; raises :class:`liar.errors.StorageError` for a missing run."""
    return [claim(shelf) for claim in _CLAIMS]


def half_gone(shelf: Shelf) -> Claim:
    run = shelf.ran(MATCH)
    dense, cut, repaired = _variants(run)
    return Claim(
        "Half gone, nothing lost",
        f"With {_share(run)} of its heads and neurons gone and the rest repaired, a model that tells whether two sentences "
        f"match is right in {_words(repaired)} of the cases, the whole model in {_words(dense)}.",
        run.spec,
        "ratios",
        _measure(dense),
        (_bar("Whole", dense), _bar("Cut", cut), _bar("Repaired", repaired)),
        leads=(_lead(repaired, cut),),
        ties=(_lead(repaired, dense),),
    )


def more_goes(shelf: Shelf) -> Claim:
    runs = [shelf.ran(MATCH, ratio=ratio) for ratio in (0.3, 0.5, 0.7)]
    gains = [_gain(run) for run in runs]
    less, _, more = gains
    return Claim(
        "The more goes, the more the repair matters",
        f"It recovers {less.words} of accuracy with {_share(runs[0])} of the heads and neurons gone, and {more.words} with "
        f"{_share(runs[-1])} gone.",
        runs[-1].spec,
        "ratios",
        "Accuracy that the repair recovers",
        tuple(Bar(f"{_share(run)} gone", "reconstructed", gain) for run, gain in zip(runs, gains, strict=True)),
        leads=tuple(_more_gained(fewer, more) for fewer, more in pairwise(runs)),
    )


def weights(shelf: Shelf) -> Claim:
    by_weights, by_loss = shelf.ran(SMOLLM2, ratio=0.33, criterion="magnitude"), shelf.ran(SMOLLM2)
    dense, few, repaired = _variants(by_weights)
    _, many, _ = _variants(by_loss)
    return Claim(
        "Weights mislead",
        f"Without a repair, {_share(by_weights)} of a language model's neurons, those with the smallest weights, cost more "
        f"(perplexity {_words(few)}) than {_share(by_loss)} chosen by their effect on the loss ({_words(many)}).",
        by_weights.spec,
        "masks",
        _measure(dense),
        (
            _bar("Whole", dense),
            _bar(f"{_share(by_loss)} cut by their effect", many),
            _bar(f"{_share(by_weights)} cut by their weights", few),
            _bar("The latter, repaired", repaired),
        ),
        leads=(_lead(many, few), _lead(repaired, few)),
    )


def bias_alone(shelf: Shelf) -> Claim:
    run, full = shelf.ran(MATCH, reconstruction="bias"), shelf.ran(MATCH)
    dense, cut, biased = _variants(run)
    *_, repaired = _variants(full)
    return Claim(
        "A bias alone can do more harm than no repair",
        f"With {_share(run)} of the heads and neurons gone, {_words(cut)} of the answers are right without a repair, "
        f"{_words(biased)} with a bias that restores the mean output, and {_words(repaired)} with the least-squares repair.",
        run.spec,
        "ratios",
        _measure(dense),
        (_bar("Whole", dense), _bar("Cut", cut), _bar("A bias alone", biased), _bar("Repaired", repaired)),
        leads=(_lead(cut, biased), _lead(repaired, cut)),
    )


def text(shelf: Shelf) -> Claim:
    mixed, even, films = (
        shelf.ran(SMOLLM2, **choices) for choices in ({}, {"allocation": "uniform"}, {"calibration": "films"})
    )
    dense, _, usual = _variants(mixed)
    (*_, spread), (*_, other) = _variants(even), _variants(films)
    return Claim(
        "The text you calibrate on decides more than the recipe",
        f"With {_share(films)} of the neurons gone, perplexity on Wikipedia leads is {_words(usual)}; {_words(spread)} if all "
        f"layers lose the same share, and {_words(other)} if the repair has read film reviews alone.",
        films.spec,
        "domains",
        f"{_measure(dense)}, on Wikipedia leads",
        (
            _bar("Whole", dense),
            _bar("Repaired", usual),
            _bar("The same share of all layers", spread),
            _bar("Film reviews alone", other),
        ),
        leads=(_lead(usual, spread), _lead(spread, other)),
    )


def elsewhere(shelf: Shelf) -> Claim:
    run = shelf.ran(SMOLLM2, ratio=0.3)
    at_home, abroad = (_times(run, task) for task in ("perplexity", "out-of-domain"))
    errors = [(known.stderr or 0.0) / known.value for known in (at_home, abroad)]
    return Claim(
        "Other text loses more",
        f"With {_share(run)} of the neurons gone and the rest repaired, perplexity is {at_home.words} the dense one on text of "
        f"the kind that the repair has read, and {abroad.words} on other text.",
        run.spec,
        "domains",
        "Perplexity over that of the whole model, lower is better",
        (
            Bar("Text as it was calibrated on", "reconstructed", at_home),
            Bar("Other text", "reconstructed", abroad),
        ),
        leads=(log(abroad.value / at_home.value) / hypot(*errors),),
    )


def few_texts(shelf: Shelf) -> Claim:
    run, usual = shelf.ran(MATCH, tokens=4_096), shelf.ran(MATCH)
    dense, cut, repaired = _variants(run)
    *_, more = _variants(usual)
    read, usually = (0 if each.calibration is None else each.calibration.sequences for each in (run, usual))
    return Claim(
        "A few texts repair most",
        f"With {_share(run)} of the heads and neurons gone, a repair that has read {read:,} unlabelled pairs of sentences "
        f"brings the right answers from {_words(cut)} to {_words(repaired)}; the whole model has {_words(dense)}.",
        run.spec,
        "sizes",
        _measure(dense),
        (
            _bar("Whole", dense),
            _bar("Cut", cut),
            _bar(f"Repaired with {read:,} pairs", repaired),
            _bar(f"Repaired with {usually:,} pairs", more),
        ),
        leads=(_lead(repaired, cut), _sum([(2, repaired), (-1, cut), (-1, dense)])),
    )


def heads(shelf: Shelf) -> Claim:
    fewer_heads, fewer_neurons = shelf.ran(SMOLLM2, targets="heads", ratio=0.6), shelf.ran(SMOLLM2, ratio=0.2)
    dense, _, without_heads = _variants(fewer_heads)
    *_, without_neurons = _variants(fewer_neurons)
    gone, as_much = (Known(run.totals.blocks_removed, "%").words for run in (fewer_heads, fewer_neurons))
    return Claim(
        "Heads cost more than neurons",
        f"Without the heads that hold {gone} of the parameters of its blocks, a repaired language model has perplexity "
        f"{_words(without_heads)}; without neurons that hold {as_much} of them it has {_words(without_neurons)}.",
        fewer_heads.spec,
        "ratios",
        _measure(dense),
        (_bar("Whole", dense), _bar("Without the neurons", without_neurons), _bar("Without the heads", without_heads)),
        leads=(_lead(without_neurons, without_heads),),
    )


def where_it_breaks(shelf: Shelf) -> Claim:
    ratios = (0.5, 0.8, 0.9)
    runs = [shelf.ran(SENTIMENT, ratio=ratio) for ratio in ratios]
    dense, repaired = _variants(runs[0])[0], [_variants(run)[-1] for run in runs]
    *_, before, after = repaired
    slow, fast = (Known(lost, "points", 1) for lost in (dense.value - before.value, before.value - after.value))
    return Claim(
        "It breaks late, and then at once",
        f"A judge of film reviews, repaired, loses {slow.words} of accuracy until {_share(runs[1])} of its heads and neurons "
        f"are gone, and {fast.words} more at {_share(runs[2])}.",
        runs[-1].spec,
        "ratios",
        _measure(dense),
        (
            _bar("Whole", dense),
            *(_bar(f"{_share(run)} gone", each) for run, each in zip(runs, repaired, strict=True)),
        ),
        leads=(_sum([(2, before), (-1, after), (-1, dense)]),),
    )


def int8(shelf: Shelf) -> Claim:
    run = shelf.ran(SENTIMENT, quantize="int8")
    dense, repaired, small = (evaluation_of(run, name) for name in ("dense", "reconstructed", "reconstructed-int8"))
    before, after = (Known(run.weight_bytes[item.variant] / 1e6) for item in (dense, small))
    return Claim(
        "Int8 on top costs nothing measurable",
        f"With {_share(run)} of the heads and neurons gone, repaired and in int8, the weights take {after.words} MB in place "
        f"of {before.words} MB, and {_words(small)} of the answers are right; without int8 {_words(repaired)}.",
        run.spec,
        "quantized",
        _measure(dense),
        (_bar("Whole", dense), _bar("Repaired", repaired), _bar("Repaired, in int8", small)),
        leads=(),
        ties=(_lead(small, repaired),),
    )


_CLAIMS: tuple[Callable[[Shelf], Claim], ...] = (
    half_gone,
    more_goes,
    weights,
    bias_alone,
    text,
    elsewhere,
    few_texts,
    heads,
    where_it_breaks,
    int8,
)


def _variants(run: RunResult) -> tuple[Evaluation, Evaluation, Evaluation]:
    """The first task of the whole, the cut and the repaired model."""
    return evaluation_of(run, "dense"), evaluation_of(run, "pruned"), evaluation_of(run, "reconstructed")


def _bar(label: str, item: Evaluation) -> Bar:
    metric = METRICS[item.metric]
    return Bar(
        label,
        item.variant,
        Known(item.value, "%" if metric.percent else "", metric.decimals, item.stderr, is_exact=False),
    )


def _gain(run: RunResult) -> Known:
    """What the repair adds to the accuracy, with its paired standard error."""
    _, cut, repaired = _variants(run)
    found = difference(cut, repaired)
    return Known(found.change, "points", 1, found.stderr, is_exact=False)


def _times(run: RunResult, task: str) -> Known:
    """Perplexity of the repaired model over that of the whole one."""
    found = difference(evaluation_of(run, "dense", task), evaluation_of(run, "reconstructed", task))
    return Known(found.ratio, "x", 2, found.ratio_stderr, is_exact=False)


def _lead(better: Evaluation, worse: Evaluation) -> float:
    """By how many paired standard errors the first of two models is better; perplexities by their logarithms."""
    found, metric = difference(better, worse), METRICS[better.metric]
    change, stderr = found.change, found.stderr
    if found.ratio is not None and found.ratio_stderr is not None:
        change, stderr = log(found.ratio), found.ratio_stderr / found.ratio
    lost = change if metric.lower_is_better else -change
    return lost / stderr if stderr else 0.0


def _more_gained(fewer: RunResult, more: RunResult) -> float:
    """By how many paired standard errors the repair gains more in the second run."""
    (_, cut, repaired), (_, other_cut, other_repaired) = _variants(fewer), _variants(more)
    return _sum([(1, other_repaired), (-1, other_cut), (-1, repaired), (1, cut)])


def _sum(terms: Sequence[tuple[float, Evaluation]]) -> float:
    """A sum of factor x metric of several models, in its paired standard errors."""
    (_, first), *_ = terms
    parts = [(factor, item.items) for factor, item in terms if item.items is not None]
    stderr = stderr_of_sum(first.metric, parts, first.n)
    return sum(factor * item.value for factor, item in terms) / stderr if stderr else 0.0


def _measure(item: Evaluation) -> str:
    metric = METRICS[item.metric]
    return f"{capitalised(metric.title_of(item.task))}, {metric.better}"


def _words(item: Evaluation) -> str:
    return METRICS[item.metric].words(item.value)


def _share(run: RunResult) -> str:
    """``50 %`` of what the recipe removes."""
    return percent(run.spec.ratio)
