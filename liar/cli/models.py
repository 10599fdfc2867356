"""Commands around the models: the demo bundle, and the lists of named models and tasks."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Column, Table

from liar.cli.console import console, fraction, progress
from liar.presets import PRESETS, named
from liar.tasks.metrics import METRICS
from liar.tasks.registry import TASKS


def fetch_demo() -> None:
    """Download the demo models and texts (180 MB, once)."""
    from liar.loading import demo_bundle

    with progress() as bar:
        folder = demo_bundle.fetch_demo(fraction(bar))
    console.print(f"The demo bundle is in {folder}")


def models() -> None:
    """List the named models, and the families of which any other id or folder works too."""
    licences, sizes = [preset.licence for preset in PRESETS], [f"{preset.parameters:,.0f} M" for preset in PRESETS]
    names = _whole("id", [preset.id for preset in PRESETS])
    table = Table(names, "what it is", _whole("size", sizes), _whole("licence", licences), box=None)
    for preset, size in zip(PRESETS, sizes, strict=True):
        table.add_row(preset.id, preset.title, size, preset.licence)
    console.print(table)
    console.print(f"\nBy id or folder: encoders ({named(encodes=True)}) and decoders ({named(encodes=False)}).")


def tasks() -> None:
    """List the tasks that a model can be measured on, and what each needs."""
    names = _whole("name", [task.name for task in TASKS])
    table = Table(names, "what it is", "needs", "metrics", "chance", Column("data", overflow="fold"), box=None)
    for task in TASKS:
        chance = "-" if task.chance is None else task.metric.words(task.chance)
        metrics = ", ".join(METRICS[name].title for name in task.metrics)
        table.add_row(task.name, task.title, task.head or "any head", metrics, chance, task.origin)
    console.print(table)


def _whole(title: str, words: Iterable[str]) -> Column:
    """Column of names to type, which are never cut, whatever the width of the terminal."""
    return Column(title, no_wrap=True, min_width=max(map(len, words)))
