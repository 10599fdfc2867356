"""How near a repaired model stays to the dense one, which it is fitted to: a metric asks for the right answers instead.

Measured where a model predicts numbers, whose differences need no choice of a scale: mean squared difference from the
dense model's numbers on the test items, and the paired standard error between two repairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import sqrt
from statistics import fmean, stdev

from readme import table

from liar.results import Evaluation
from liar.spec import RECONSTRUCTIONS, Reconstruction
from parts.subjects import Found, Subject, Values


def nearness(dense: Evaluation, found: Mapping[Reconstruction, Evaluation], best: Reconstruction) -> dict[str, float]:
    """Squared differences of each repair, and by how much ``best`` is nearer; nothing where a model predicts no numbers."""
    apart = {name: _apart(dense, evaluation) for name, evaluation in found.items()}
    if not all(apart.values()):
        return {}
    values: dict[str, float] = {}
    for name, several in apart.items():
        pairs = [other - mine for other, mine in zip(several, apart[best], strict=True)]
        values |= {
            f"{name} from dense": fmean(several),
            f"{best} nearer than {name}": fmean(pairs),
            f"{best} nearer than {name} stderr": stdev(pairs) / sqrt(len(pairs)),
        }
    return values


def _apart(dense: Evaluation, evaluation: Evaluation) -> list[float]:
    """Squared difference of each item's number; empty if there are no numbers."""
    if dense.items is None or evaluation.items is None:
        return []
    pairs = zip(dense.items.predicted or [], evaluation.items.predicted or [], strict=True)
    return [(theirs - ours) ** 2 for theirs, ours in pairs]


def _with_nearness(several: Mapping[float, Values]) -> dict[float, Values]:
    return {ratio: values for ratio, values in several.items() if f"{RECONSTRUCTIONS[0]} from dense" in values}


def nearness_table(several: Mapping[float, Values], best: Reconstruction, closest: Reconstruction) -> str:
    """Squared difference of every repair by ratio, and by how much ``best`` is nearer than ``closest``, or nothing."""
    several = _with_nearness(several)
    if not several:
        return ""
    columns = ("removed", *RECONSTRUCTIONS, f"{best} nearer than {closest} by")
    rows = [
        (
            f"{ratio:.0%}",
            *(f"{values[f'{name} from dense']:.5f}" for name in RECONSTRUCTIONS),
            f"{values[f'{best} nearer than {closest}']:+.5f} ± {values[f'{best} nearer than {closest} stderr']:.5f}",
        )
        for ratio, values in several.items()
    ]
    return f"Mean squared difference from the dense model's numbers on the same items:\n\n{table(columns, rows)}"


def nearness_sentence(
    found: Found, best: Reconstruction, behind: Iterable[tuple[Subject, float, Reconstruction]]
) -> str:
    """Whether ``best`` is the nearer one, also at the places where its metric is ``behind`` another repair's."""
    known = {subject: several for subject in found if (several := _with_nearness(found[subject]))}
    if not known:
        return ""
    every = [
        (subject, ratio, name)
        for subject, several in known.items()
        for ratio in several
        for name in RECONSTRUCTIONS
        if name != best
    ]
    nearer, farther = _counted(known, best, every)
    places = [(subject, ratio, name) for subject, ratio, name in behind if ratio in known.get(subject, {})]
    nearer_there, farther_there = _counted(known, best, places)
    models = " and ".join(sorted({subject.model.removeprefix("demo/") for subject in known}))
    return (
        f"A repair is fitted to the dense model, not to the right answers. In the {len(every)} comparisons of {models}, which "
        f"predicts numbers, {best} is nearer to the dense model's numbers in {nearer} by two paired standard errors or more "
        f"and farther in {farther}; in the {len(places)} of them where its metric is behind by more than one, nearer in "
        f"{nearer_there} and farther in {farther_there}. "
    )


def _counted(
    found: Found, best: Reconstruction, places: Iterable[tuple[Subject, float, Reconstruction]]
) -> tuple[int, int]:
    """Places where ``best`` is nearer and where it is farther, by two paired standard errors or more."""
    nearer = farther = 0
    for subject, ratio, name in places:
        ahead = found[subject][ratio][f"{best} nearer than {name}"]
        stderr = found[subject][ratio][f"{best} nearer than {name} stderr"]
        nearer += ahead >= 2 * stderr > 0
        farther += ahead <= -2 * stderr < 0
    return nearer, farther
