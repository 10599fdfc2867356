"""What the writer of a format starts from, and what it returns."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from liar.events import Progress
from liar.models.loaded import LoadedModel
from liar.progress import Pace
from liar.report.exported import Check, Format, Weights


@dataclass(frozen=True, slots=True)
class Job:
    """``folder`` is written to; when it is whole, it has the name ``name``. ``cache``: see :func:`export_steps`."""

    loaded: LoadedModel
    to: Format
    weights: Weights
    folder: Path
    name: str
    pace: Pace
    cache: bool


@dataclass(frozen=True, slots=True)
class Written:
    """The ``files`` with the weights, what was compared with torch, and the ``code`` that loads them from within the folder."""

    architecture: str
    files: tuple[str, ...]
    checks: tuple[Check, ...]
    code: str
    notes: tuple[str, ...] = ()


Writing = Generator[Progress, None, Written]
