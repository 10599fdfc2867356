"""Where pruning breaks: ratios of 10 to 90 %, the same masks without a repair and with each.

Masks are those of the default criterion and allocation, one-shot, so that every repair is fitted to the same moments. A
gain is a difference of the metric (of a perplexity of its logarithm), positive if the repair is better, with the paired
standard error over test items.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from statistics import NormalDist

from figures import SMOLLM2, TENTHS, tenths_of
from plotly.graph_objects import Figure
from plotly.subplots import make_subplots
from readme import table

from liar.calibration.calibrate import Calibration, calibration_steps
from liar.choices import REPAIRS, Reconstruction
from liar.progress import finish
from liar.spec import RECONSTRUCTIONS
from parts.nearness import nearness, nearness_sentence, nearness_table
from parts.points import Part, Pending, Point, Report, Scope
from parts.subjects import SUBJECTS, Found, Gain, Subject, Values, examined, named, with_each_repair

BEST: Reconstruction = "least-squares"
OTHERS = tuple(name for name in RECONSTRUCTIONS if name != BEST)


@lru_cache(maxsize=1)
def calibrated(subject: Subject, scope: Scope) -> Calibration:
    """What all ratios of a subject share: moments and gradients of the dense model."""
    spec = subject.spec(0.5, scope)
    return finish(calibration_steps(spec, examined(subject, scope).loaded, replace(spec.needs, norm_aware=False)))


def measure(subject: Subject, ratio: float, scope: Scope) -> dict[str, float]:
    shared, spec = examined(subject, scope), subject.spec(ratio, scope)
    found = with_each_repair(shared, spec, RECONSTRUCTIONS, calibrated(subject, scope))
    values = {"n": float(shared.dense.n), **named(("dense", shared.dense), *found.items())}
    for name, evaluation in found.items():
        values |= Gain.of(shared.dense, evaluation).named(f"{name} beside dense")
        values |= Gain.of(evaluation, found[BEST]).named(f"{BEST} beside {name}")
    return values | nearness(shared.dense, found, BEST)


def pending(scope: Scope) -> Iterator[Pending]:
    for subject in SUBJECTS[:1] if scope.fast else SUBJECTS:
        for ratio in (0.3, 0.7) if scope.fast else tenths_of(subject.model, subject.targets):
            yield Pending(name_of(subject, ratio), partial(measure, subject, ratio, scope))


def name_of(subject: Subject, ratio: float) -> str:
    return f"{subject.name}, {ratio:.0%}"


def report(points: Mapping[str, Point]) -> Report:
    found = {
        subject: {ratio: points[name].values for ratio in TENTHS if (name := name_of(subject, ratio)) in points}
        for subject in SUBJECTS
    }
    found = {subject: several for subject, several in found.items() if several}
    head = (
        "Masks of the default criterion and allocation, one-shot; the same masks without a repair (none) and with each. ± is "
        f"one standard error; the last column is the gain of {BEST} over the best other one with the paired standard error, "
        "of a perplexity in nats."
    )
    columns = ("removed", *RECONSTRUCTIONS, f"{BEST} ahead by")
    sections = [
        section
        for subject, several in found.items()
        for section in (
            f"**{subject.name}**, {subject.metric.title_of(subject.task)}, dense {_dense(subject, several)}",
            table(columns, [_row(subject, ratio, values) for ratio, values in several.items()]),
            nearness_table(several, BEST, "liar"),
        )
        if section
    ]
    fewer = {tenths[-1] for subject in found if len(tenths := tenths_of(subject.model, subject.targets)) < len(TENTHS)}
    for most in fewer:
        head += f" Heads of smollm2-135m go to {most:.0%}: a layer has three groups of them, and one stays."
    names = [
        (subject.name, *(_breaks(subject, several, name) for name in RECONSTRUCTIONS))
        for subject, several in found.items()
    ]
    breaks = (
        "It breaks from here on: the lowest ratio from which on every one costs two paired standard errors or more against "
        "the dense model.\n\n" + table(("", *RECONSTRUCTIONS), names)
    )
    return Report(
        "\n\n".join([head, breaks, _behind(found), _harm(found, "bias"), *sections]), {"ratios": _figure(found)}
    )


def _dense(subject: Subject, several: Mapping[float, Values]) -> str:
    values = next(iter(several.values()))
    return f"{subject.words(values, 'dense')}, n = {values['n']:,.0f}"


def _row(subject: Subject, ratio: float, values: Values) -> tuple[str, ...]:
    best = min(OTHERS, key=lambda name: values[f"{BEST} beside {name}"])
    words = (subject.words(values, name) for name in RECONSTRUCTIONS)
    return f"{ratio:.0%}", *words, f"{subject.gain_words(Gain.read(values, f'{BEST} beside {best}'))} ({best})"


def _breaks(subject: Subject, several: Mapping[float, Values], name: Reconstruction) -> str:
    """The ratio after the last one without a loss of two standard errors."""
    if len(several) < len(tenths_of(subject.model, subject.targets)):
        return "not all measured"
    first = "never"
    for ratio, values in reversed(list(several.items())):
        if values[f"{name} beside dense"] > -2 * values[f"{name} beside dense stderr"]:
            break
        first = f"{ratio:.0%}"
    return first


def _behind(found: Found) -> str:
    """How often the best repair is ahead, and where it is behind another one by more than one standard error."""
    every = [(subject, ratio, name) for subject in found for ratio in found[subject] for name in OTHERS]
    signs, little = Counter[int](), 0
    behind: dict[str, list[str]] = {}
    places: list[tuple[Subject, float, Reconstruction]] = []
    for subject, ratio, name in every:
        values = found[subject][ratio]
        gained = Gain.read(values, f"{BEST} beside {name}")
        signs[gained.sign] += 1
        if -gained.ahead > gained.stderr:
            places.append((subject, ratio, name))
            behind.setdefault(subject.name, []).append(f"{name} at {ratio:.0%} by {-gained.ahead / gained.stderr:.1f}")
            little += values["none beside dense"] > -2 * values["none beside dense stderr"]
    text = f"In {signs[1]} of {len(every)} comparisons {BEST} is ahead by two paired standard errors or more"
    if not behind:
        return f"{text}, and in none behind by more than one."
    once, twice = (len(every) * NormalDist().cdf(-stderrs) for stderrs in (1, 2))  # if there is no difference
    number, most = sum(map(len, behind.values())), max(behind, key=lambda name: len(behind[name]))
    listed = "\n".join(f"- {subject}: behind {', '.join(several)}" for subject, several in behind.items())
    return (
        f"{text}, in {signs[-1]} behind by as much; if all repairs were equally good, chance alone would put it behind by "
        f"two in {twice:.0f}. Behind by more than one it is in {number}, by chance in {once:.0f}. In {little} of these "
        f"{number} not even removal without a repair costs two paired standard errors against the dense model, so there is "
        f"little to recover; {len(behind[most])} are of {most}, whose ratios share their test items. "
        f"{nearness_sentence(found, BEST, places)}In standard errors:\n\n{listed}"
    )


def _harm(found: Found, name: Reconstruction) -> str:
    """Where a repair is worse than none, and how often it is better: by two standard errors of both losses, added."""
    harmed: dict[str, list[str]] = {}
    signs = Counter[int]()
    for subject, several in found.items():
        for ratio, values in several.items():
            mine, none = (Gain.read(values, f"{each} beside dense") for each in (name, "none"))
            sign = Gain(mine.ahead - none.ahead, mine.stderr + none.stderr).sign  # at least the error of the pairs
            signs[sign] += 1
            if sign < 0:
                harmed.setdefault(subject.name, []).append(f"{ratio:.0%}")
    text = (
        "By two standard errors or more (those of both beside dense, added, which is at least the paired one) "
        f"a {name} alone is better than no repair in {signs[1]} of {signs.total()} cases"
    )
    if not harmed:
        return f"{text} and worse in none."
    places = "\n".join(f"- {subject}: at {', '.join(ratios)}" for subject, ratios in harmed.items())
    return f"{text} and worse in {sum(map(len, harmed.values()))}:\n\n{places}"


def _figure(found: Found) -> Figure:
    """Metric by ratio: the classifiers with heads and neurons, SmolLM2 with each."""
    drawn = [subject for subject in found if subject.targets == "both" or subject.model == SMOLLM2]
    rows = -(-len(drawn) // 2)
    figure = make_subplots(
        rows=rows, cols=2, subplot_titles=[subject.name for subject in drawn], vertical_spacing=0.3 / rows
    )
    for place, subject in enumerate(drawn):
        row, column = place // 2 + 1, place % 2 + 1
        several, scale = found[subject], subject.metric.scale
        for name in ("none", "bias", "liar", BEST):
            figure.add_scatter(
                x=[100 * ratio for ratio in several],
                y=[scale * values[name] for values in several.values()],
                error_y={"array": [scale * values[f"{name} stderr"] for values in several.values()]},
                name=name,
                line={"color": REPAIRS[name].colour, "dash": REPAIRS[name].dash},
                marker={"symbol": REPAIRS[name].symbol},
                showlegend=not place,
                row=row,
                col=column,
            )
        dense, kind = scale * next(iter(several.values()))["dense"], "log" if subject.metric.by_ratio else "linear"
        figure.add_hline(y=dense, line={"color": "gray", "dash": "dot"}, row=row, col=column)
        figure.update_yaxes(title=subject.metric.title, type=kind, row=row, col=column)
    figure.update_xaxes(title="% removed")
    figure.update_layout(height=300 * rows)
    return figure


RATIOS_PART = Part("ratios", "Where it breaks", pending, report)
