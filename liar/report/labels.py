"""Names of runs: what a legend, a table or a menu says of a recipe, and what distinguishes it from the others there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from liar.report.compare import differing
from liar.spec import AUTO, PruneSpec

_TARGETS = {"ffn": "neurons", "heads": "heads", "both": "heads and neurons"}

_FORMS: Mapping[str, Callable[[Any], str]] = {
    "targets": _TARGETS.__getitem__,
    "ratio": "ratio {:g}".format,
    "calibration": lambda text: "the default text" if text == AUTO else f"text {text}",
    "tokens": "{:,} tokens".format,
    "sequence_length": "{:,} a sequence".format,
    "evaluate": lambda tasks: f"measured: {', '.join(tasks)}" if tasks else "its model's task measured",
    "evaluate_length": lambda length: f"measured at {f'{length:,} tokens' if length else 'the default length'}",
    "evaluate_limit": lambda limit: "all items" if limit is None else f"{limit:,} items",
    "edits": lambda edits: f"{len(edits)} edits" if edits else "no edits",
}

_SELF_EXPLAINING = ("model", "criterion", "allocation", "reconstruction", "schedule", "dtype")
"""Choices whose value needs no word beside it."""


def choice(spec: PruneSpec, name: str) -> str:
    """One choice of a recipe as a legend says it."""
    value = getattr(spec, name)
    if name in _FORMS:
        return _FORMS[name](value)
    return str(value) if name in _SELF_EXPLAINING else f"{name.replace('_', ' ')} {value}"


def short_recipe(spec: PruneSpec) -> str:
    """``50 % of neurons: obs, loss-curve, least-squares, sequential``."""
    return _recipe(spec, ())


def _recipe(spec: PruneSpec, apart: Sequence[str]) -> str:
    """The short recipe, with the words ``apart`` where a menu still shows them when it cuts the rest."""
    choices: list[str] = [spec.criterion, spec.allocation, spec.reconstruction, spec.schedule]
    choices += ["edited by hand"] if spec.edits else []
    removed = f"{100 * spec.ratio:.0f} % of {_TARGETS[spec.targets]}"
    return f"{', '.join([removed, *apart])}: {', '.join(choices)}"


def run_labels(specs: Sequence[PruneSpec]) -> list[str]:
    """:func:`short_recipe` of each spec; of those that look alike also what differs: ``50 % of neurons, seed 3: ...``.

    Specs of different models are never compared, since a list of runs says the model beside the label.
    """
    alike: dict[tuple[str, str], list[PruneSpec]] = {}
    for spec in specs:
        alike.setdefault((spec.model, short_recipe(spec)), []).append(spec)
    labels: dict[PruneSpec, str] = {}
    for group in alike.values():
        labels |= _told_apart(group)
    return [labels[spec] for spec in specs]


def _told_apart(alike: Sequence[PruneSpec]) -> dict[PruneSpec, str]:
    """Labels of specs whose short recipes are the same; what even words leave alike (two hand edits) by its key."""
    names = differing(alike)
    words = {spec: tuple(choice(spec, name) for name in names) for spec in alike}
    said = Counter(words.values())
    return {
        spec: _recipe(spec, apart if said[apart] == 1 else (*apart, f"run {spec.key[:8]}"))
        for spec, apart in words.items()
    }
