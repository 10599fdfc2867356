"""Points of the study: what was measured under one name, kept as one line of JSON, in one file for each part.

A line is complete or dropped: what a killed process leaves half written is cut off before the next line is added.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from plotly.graph_objects import Figure
from pydantic import BaseModel, ConfigDict, ValidationError

from liar.errors import StorageError
from liar.results import Evaluation
from liar.spec import PruneSpec

VERSION = 1


class Point(BaseModel):
    """What was measured: plain ``values``, or ``evaluations`` of a model that ``spec`` describes, if it is that of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    values: dict[str, float] = {}
    evaluations: list[Evaluation] = []
    spec: PruneSpec | None = None
    seconds: float = 0.0
    commit: str = ""


@dataclass(frozen=True)
class Scope:
    """How much is measured: everything, or in ``fast`` mode so little that it only shows that it works."""

    fast: bool = False


@dataclass(frozen=True)
class Pending:
    """A point still to be measured; ``measure`` leaves the seconds and the commit to its caller."""

    name: str
    measure: Callable[[], Point]


@dataclass(frozen=True)
class Report:
    """Text of a section and its figures by the name of their file."""

    text: str
    figures: Mapping[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """A part of the study: its points, in the order in which measuring them shares most, and the report of them by name."""

    name: str
    title: str
    pending: Callable[[Scope], Iterable[Pending]]
    report: Callable[[Mapping[str, Point]], Report]


class PointStore:
    """Points in ``folder``, a file ``<part>.jsonl`` each, whose first line is the version."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, part: str) -> dict[str, Point]:
        """Points by name; raises :class:`StorageError` if they are of another version or cannot be read."""
        path = self._path(part)
        try:
            head, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise StorageError(f"{path} cannot be read ({error}); move it away to begin anew.") from error
        if _version(head) != VERSION:
            raise StorageError(f"{path} is of another version of the study; move it away, or choose another folder.")
        try:
            points = [Point.model_validate_json(line) for line in lines if line.endswith("\n")]
        except ValidationError as error:
            raise StorageError(f"{path} is damaged; move it away to begin anew.") from error
        return {point.name: point for point in points}

    def add(self, part: str, point: Point) -> None:
        """Append a point; raises :class:`StorageError` if it cannot be written, and then the file is as before."""
        path = self._path(part)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with path.open("ab+") as file:
                size = _complete(file.seek(0, os.SEEK_END), path)
                file.truncate(size)
                head = b"" if size else json.dumps({"version": VERSION}).encode() + b"\n"
                try:
                    file.write(head + point.model_dump_json(exclude_defaults=True).encode() + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(size)
                    raise
        except OSError as error:
            raise StorageError(
                f"{path} cannot be written ({error.strerror}); what was measured before is kept."
            ) from error

    def _path(self, part: str) -> Path:
        return self.folder / f"{part}.jsonl"


def _complete(size: int, path: Path) -> int:
    """Bytes of a file of ``size`` up to the end of its last complete line."""
    return path.read_bytes().rfind(b"\n") + 1 if size else 0


def _version(line: str) -> object:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found.get("version") if isinstance(found, dict) else None
