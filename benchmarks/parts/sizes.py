"""How much text a repair needs: 2,048 to 131,072 tokens of calibration, half of the units removed.

The default criterion, allocation and repair, one-shot. A gain is that of the most text over less, with the paired standard
error over test items.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import product
from statistics import stdev

from figures import CLASSIFIERS, SMOLLM2, finished_run
from plotly.graph_objects import Figure
from readme import table

from liar.results import CalibrationText, Evaluation
from liar.tasks.demo import OUT_OF_DOMAIN, PERPLEXITY
from liar.tasks.metrics import Metric
from parts.points import Part, Pending, Point, Report, Scope
from parts.subjects import Gain, Subject, examined, named, with_what_there_is

TOKENS = tuple(2048 << doublings for doublings in range(7))
RATIO = 0.5
CLASSIFYING = tuple((Subject(model, task, "both"),) for model, task in CLASSIFIERS)
WRITING = (Subject(SMOLLM2, PERPLEXITY.name, "ffn"), Subject(SMOLLM2, OUT_OF_DOMAIN.name, "ffn"))
MODELS: tuple[tuple[Subject, ...], ...] = (*CLASSIFYING, WRITING)
"""Subjects of each model: one for each of its tasks."""
DRAWS = (1, 2)
"""Seeds of further draws of text; the table of all sizes has seed 0."""
DRAWN = TOKENS[4:6]
"""Sizes of them, of the model whose metric depends most on its text."""


Repaired = tuple[CalibrationText, list[Evaluation]]
"""The text that was read, and the measurement of each subject."""


def pending(scope: Scope) -> Iterator[Pending]:
    models, sizes = (MODELS[:1], TOKENS[:2]) if scope.fast else (MODELS, TOKENS)
    for subjects, tokens in product(models, reversed(sizes)):  # the most text first: the others are compared with it
        yield Pending(name_of(subjects, tokens), partial(measure, subjects, tokens, max(sizes), scope))
    for tokens, seed in product(sizes[:1], DRAWS[:1]) if scope.fast else product(DRAWN, DRAWS):
        drawn = partial(measure, models[-1], tokens, max(sizes), scope, seed)
        yield Pending(name_of(models[-1], tokens, seed), drawn)


def name_of(subjects: tuple[Subject, ...], tokens: int, seed: int = 0) -> str:
    return f"{subjects[0].name}, {tokens:,} tokens" + (f", seed {seed}" if seed else "")


@lru_cache(maxsize=1)
def with_most(subjects: tuple[Subject, ...], tokens: int, scope: Scope) -> Repaired:
    return repaired(subjects, tokens, scope)


def repaired(subjects: tuple[Subject, ...], tokens: int, scope: Scope, seed: int = 0) -> Repaired:
    spec = subjects[0].spec(RATIO, scope).model_copy(update={"tokens": tokens, "seed": seed, "evaluate": ()})
    dense = examined(subjects[0], scope).loaded
    model, result = with_what_there_is(spec, lambda asked: finished_run(asked, dense))
    assert result.calibration is not None
    return result.calibration, [examined(subject, scope).measured(model) for subject in subjects]


def measure(subjects: tuple[Subject, ...], tokens: int, most: int, scope: Scope, seed: int = 0) -> dict[str, float]:
    best = with_most(subjects, most, scope)
    text, found = best if (tokens, seed) == (most, 0) else repaired(subjects, tokens, scope, seed)
    values = {"tokens": float(text.tokens), "texts": float(text.sequences)}
    for subject, evaluation, other in zip(subjects, found, best[1], strict=True):
        dense, task = examined(subject, scope).dense, subject.task
        values |= {f"{task} n": float(dense.n), **named((f"{task} dense", dense), (task, evaluation))}
        values |= Gain.of(evaluation, other).named(f"{task} most")
    return values


def report(points: Mapping[str, Point]) -> Report:
    rows, serves, figure = [], [], Figure()
    for subjects in MODELS:
        several = [points[name].values for tokens in TOKENS if (name := name_of(subjects, tokens)) in points]
        for subject in subjects if several else ():
            task, metric = subject.task, subject.metric
            for values in several:
                ahead = subject.gain_words(Gain.read(values, f"{task} most"))
                read = (f"{values['texts']:,.0f}", f"{values['tokens']:,.0f}")
                rows.append((subject.name, metric.title_of(task), *read, subject.words(values, task), ahead))
            if len(several) == len(TOKENS):
                enough = several[_enough(several, task)]
                serves.append(f"{metric.title_of(task)} {enough['texts']:,.0f} ({enough['tokens']:,.0f} tokens)")
            kept = [100 * _kept(values[f"{task} dense"], values[task], metric) for values in several]
            sizes = [values["tokens"] for values in several]
            figure.add_scatter(x=sizes, y=kept, mode="lines+markers", name=metric.title_of(task))
    figure.update_xaxes(title="calibration tokens", type="log")
    figure.update_yaxes(title="% of the dense metric kept")
    head = (
        "Half of the units removed, the default recipe but one-shot. ± is one standard error; the last column is what the most "
        "text gains over this much, with the paired standard error, of a perplexity in nats. Errors are those of the test "
        "items; each size is one draw of text, and what another draw would change is not in them but in the table of draws."
    )
    columns = ("model", "metric", "texts", "tokens", "repaired", "the most text gains")
    finding = (
        "The fewest from which on the most text is nowhere ahead by two paired standard errors, where all sizes are "
        f"measured: {'; '.join(serves) or 'none yet'}."
    )
    return Report("\n\n".join([head, finding, table(columns, rows), *_draws(points)]), {"sizes": figure})


def _draws(points: Mapping[str, Point]) -> list[str]:
    """What the most text gains over each draw of a size, and how far the draws of a size are apart; empty if none is there."""
    seeds, rows = (0, *DRAWS), []
    for subjects, tokens in product(MODELS, TOKENS):
        several = {seed: points[name].values for seed in seeds if (name := name_of(subjects, tokens, seed)) in points}
        for subject in subjects if len(several) > 1 else ():
            task, metric = subject.task, subject.metric
            gains = {seed: Gain.read(values, f"{task} most") for seed, values in several.items()}
            words = {
                seed: f"{metric.words(several[seed][task])} ({subject.gain_words(gains[seed])})" for seed in several
            }
            apart = stdev(gained.ahead for gained in gains.values())
            spread = f"{apart:.3f} nats" if metric.by_ratio else metric.words(apart)
            read = (subject.name, metric.title_of(task), f"{tokens:,}")
            rows.append((*read, *(words.get(seed, "not measured") for seed in seeds), spread))
    if not rows:
        return []
    head = (
        "Other draws of the text, by their seed, and in brackets what the most text, of seed 0, gains over them. A difference "
        "between two sizes that is not a few times the standard deviation between draws may be one between two draws."
    )
    columns = ("model", "metric", "tokens", *(f"seed {seed}" for seed in seeds), "standard deviation")
    return [head, table(columns, rows)]


def _enough(several: Sequence[Mapping[str, float]], task: str) -> int:
    """Place of the least text from which on the most text is nowhere ahead by two standard errors."""
    ahead = [place for place, values in enumerate(several) if Gain.read(values, f"{task} most").sign > 0]
    return ahead[-1] + 1 if ahead else 0


def _kept(dense: float, value: float, metric: Metric) -> float:
    """Share of the metric that is left; of a perplexity the inverse of its ratio to the dense one."""
    return dense / value if metric.lower_is_better else value / dense


SIZES = Part("sizes", "How much text a repair needs", pending, report)
