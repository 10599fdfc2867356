"""The runs that are kept: one JSON file a run, named by its spec's key, so that a link finds its result again."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from liar.errors import StorageError
from liar.files import write_atomically
from liar.models.demo import cache_folder
from liar.results import RunResult
from liar.spec import PruneSpec

log = logging.getLogger(__name__)

SHIPPED_RUNS = Path(__file__).resolve().parent.parent / "assets" / "runs"
"""Runs computed ahead, part of the source tree; a plain installation has none."""


def default_folder() -> Path:
    """``LIAR_RUNS`` where it is set, else ``runs`` in the user's cache."""
    chosen = os.environ.get("LIAR_RUNS")
    return Path(chosen).expanduser() if chosen else cache_folder() / "runs"


class RunStore:
    """Finished runs in ``folder``, before the read-only ones in ``shipped``.

    A run is addressed by ``PruneSpec.key``. Files appear whole or not at all; a damaged one is skipped with a warning
    in the log, because a page that lost one run should still show the others.
    """

    def __init__(self, folder: Path | None = None, shipped: Path = SHIPPED_RUNS) -> None:
        self.folder = folder or default_folder()
        self.shipped = shipped

    def save(self, result: RunResult) -> Path:
        """Keep ``result`` under its spec's key, in place of an older one; raises :class:`StorageError`."""
        target = self.folder / f"{result.spec.key}.json"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"The folder {self.folder} cannot be made ({error.strerror}); set LIAR_RUNS to another folder."
            ) from error
        write_atomically(target, result.model_dump_json())
        return target

    def load(self, key: str) -> RunResult | None:
        """The run with this key, else None."""
        return next((run for path in self._files(f"{key}.json") if (run := _read(path)) and run.spec.key == key), None)

    def find(self, spec: PruneSpec) -> RunResult | None:
        """The run of this spec, else None."""
        return self.load(spec.key)

    def runs(self) -> list[RunResult]:
        """Every readable run, newest first, the shipped ones last; each key once."""
        found: dict[str, RunResult] = {}
        for path in self._files("*.json"):
            if (run := _read(path)) is not None:
                found.setdefault(run.spec.key, run)
        return list(found.values())

    def _files(self, pattern: str) -> Iterator[Path]:
        yield from sorted(self.folder.glob(pattern), key=_modified, reverse=True)
        yield from sorted(self.shipped.glob(pattern))


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # removed since it was listed
        return 0.0


def _read(path: Path) -> RunResult | None:
    try:
        return RunResult.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        log.warning("Skipped the damaged run %s: %s", path, str(error).splitlines()[0])
        return None
