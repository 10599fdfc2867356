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

HEAD = json.dumps({"version": 1}).encode()
"""First line of a file."""


class Point(BaseModel):
    """What was measured: ``values`` by their names, in ``seconds`` by the code of a ``commit`` on a ``machine``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    values: dict[str, float] = {}
    seconds: float = 0.0
    commit: str = ""
    machine: str = ""


@dataclass(frozen=True)
class Scope:
    """How much is measured: everything, or in ``fast`` mode so little that it only shows that it works."""

    fast: bool = False


@dataclass(frozen=True)
class Pending:
    """A point still to be measured, and what measures its values."""

    name: str
    measure: Callable[[], dict[str, float]]


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
            content = path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StorageError(f"{path} cannot be read ({error.strerror}); move it away to begin anew.") from error
        lines = content[: _complete(content)].splitlines()
        if not lines:  # killed before the first point was written
            return {}
        if lines[0] != HEAD:
            raise StorageError(f"{path} is of another version of the study; move it away, or choose another folder.")
        try:
            points = [Point.model_validate_json(line) for line in lines[1:]]
        except ValidationError as error:
            raise StorageError(f"{path} is damaged; move it away to begin anew.") from error
        return {point.name: point for point in points}

    def add(self, part: str, point: Point) -> None:
        """Append a point; raises :class:`StorageError` if it cannot be written, and then the file is as before."""
        path = self._path(part)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with path.open("ab+") as file:
                file.seek(0)
                size = _complete(file.read())
                file.truncate(size)
                head = b"" if size else HEAD + b"\n"
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


def _complete(content: bytes) -> int:
    """Bytes up to the end of the last complete line."""
    return content.rfind(b"\n") + 1
