"""Names of runs for legends, tables and menus, with the choices that distinguish a run from the others shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from liar.spec import AUTO, PruneSpec
from liar.statistics.compare import differing

_TARGETS = {"ffn": "neurons", "heads": "heads", "both": "heads and neurons", "layers": "layers"}


def token_words(tokens: int | str, unit: str = "tokens") -> str:
    """``12,288 tokens``; ``tokens by model width`` if the spec sets none."""
    return f"{unit} by model width" if tokens == AUTO else f"{tokens:,} {unit}"


_FORMS: Mapping[str, Callable[[Any], str]] = {
    "targets": _TARGETS.__getitem__,
    "ratio": "ratio {:g}".format,
    "calibration": lambda text: "the default text" if text == AUTO else f"text {text}",
    "tokens": token_words,
    "sequence_length": "{:,} a sequence".format,
    "evaluate": lambda tasks: f"measured: {', '.join(tasks)}" if tasks else "its model's task measured",
    "evaluate_length": lambda length: f"measured at {f'{length:,} tokens' if length else 'the default length'}",
    "evaluate_limit": lambda limit: "the default number of items" if limit is None else f"{limit:,} items",
    "edits": lambda edits: f"{len(edits)} edits" if edits else "no edits",
}

_SELF_EXPLAINING = ("model", "criterion", "allocation", "reconstruction", "schedule", "dtype")
"""Choices whose value is clear without the name of the choice."""


def choice(spec: PruneSpec, name: str) -> str:
    """One choice of a recipe in words, for a legend."""
    value = getattr(spec, name)
    if name in _FORMS:
        return _FORMS[name](value)
    return str(value) if name in _SELF_EXPLAINING else f"{name.replace('_', ' ')} {value}"


def short_recipe(spec: PruneSpec, apart: Sequence[str] = ()) -> str:
    """Label of a recipe: ``50 % of neurons: obs, loss-curve, least-squares, sequential``.

    The words ``apart`` stand near its start, since a menu cuts the end of a long label.
    """
    of_width = [spec.criterion, spec.allocation, spec.reconstruction, spec.walked]
    choices: list[str] = of_width if spec.cuts_width else [spec.reconstruction]
    choices += ["edited by hand"] if spec.edits else []
    removed = f"{100 * spec.ratio:.0f} % of {_TARGETS[spec.targets]}"
    return f"{', '.join([removed, *apart])}: {', '.join(choices)}"


def run_labels(specs: Sequence[PruneSpec]) -> list[str]:
    """:func:`short_recipe` of each spec; equal ones also get the choices that differ: ``50 % of neurons, seed 3: ...``.

    Only specs of one model are compared, since a list of runs shows the model beside the label. The run key is added if the
    choices in words are equal too (two hand edits).
    """
    alike: dict[tuple[str, str], list[PruneSpec]] = {}
    for spec in specs:
        alike.setdefault((spec.model, short_recipe(spec)), []).append(spec)
    labels: dict[PruneSpec, str] = {}
    for group in alike.values():
        names = differing(group)
        words = {spec: tuple(choice(spec, name) for name in names) for spec in group}
        uses = Counter(words.values())
        for spec, apart in words.items():
            labels[spec] = short_recipe(spec, apart if uses[apart] == 1 else (*apart, f"run {spec.key[:8]}"))
    return [labels[spec] for spec in specs]
