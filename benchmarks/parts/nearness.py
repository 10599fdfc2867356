"""How near a repaired model stays to the dense one, which it is fitted to: a metric asks for the right answers instead.

Measured where a model predicts numbers, whose differences need no choice of a scale: mean squared difference from the
dense model's numbers on the test items, and the paired standard error between two repairs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from statistics import fmean

from readme import table

from liar.choices import Reconstruction
from liar.results import Evaluation
from liar.spec import RECONSTRUCTIONS
from parts.subjects import Found, Gain, Subject, Values


def nearness(dense: Evaluation, found: Mapping[Reconstruction, Evaluation], best: Reconstruction) -> dict[str, float]:
    """Squared differences of each repair, and by how much ``best`` is nearer; nothing where a model predicts no numbers."""
    apart = {name: _apart(dense, evaluation) for name, evaluation in found.items()}
    if not all(apart.values()):
        return {}
    values: dict[str, float] = {}
    for name, several in apart.items():
        nearer = Gain.of_items(apart[best], several)
        values |= {f"{name} from dense": fmean(several), **nearer.named(f"{best} nearer than {name}")}
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
    nearer = _signs(known, best, every)
    places = [(subject, ratio, name) for subject, ratio, name in behind if ratio in known.get(subject, {})]
    nearer_there = _signs(known, best, places)
    models = " and ".join(sorted({subject.model.removeprefix("demo/") for subject in known}))
    return (
        f"A repair is fitted to the dense model, not to the right answers. In the {len(every)} comparisons of {models}, which "
        f"predicts numbers, {best} is nearer to the dense model's numbers in {nearer[1]} by two paired standard errors or more "
        f"and farther in {nearer[-1]}; in the {len(places)} of them where its metric is behind by more than one, nearer in "
        f"{nearer_there[1]} and farther in {nearer_there[-1]}. "
    )


def _signs(found: Found, best: Reconstruction, places: Iterable[tuple[Subject, float, Reconstruction]]) -> Counter[int]:
    """How often ``best`` is nearer (1) and how often farther (-1), by two paired standard errors or more."""
    return Counter(
        Gain.read(found[subject][ratio], f"{best} nearer than {name}").sign for subject, ratio, name in places
    )
