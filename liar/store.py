"""The runs that are kept: one JSON file a run, named by its spec's key, so that a link finds its result again."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from liar.errors import StorageError
from liar.files import ASSETS, cache_folder, keep_in
from liar.results import Evaluation, MaskTable, ModelInfo, RunResult, Shared, SpeedGain, StoredRun, Totals
from liar.spec import PruneSpec

log = logging.getLogger(__name__)

SHIPPED_RUNS = ASSETS / "runs"
"""Runs computed ahead."""

MOST_SUMMARIES = 500
"""Runs that a listing shows: the newest."""

_KEY = re.compile(r"[0-9a-f]{64}")


def default_folder() -> Path:
    """``LIAR_RUNS`` where it is set, else ``runs`` in the user's cache."""
    chosen = os.environ.get("LIAR_RUNS")
    return Path(chosen).expanduser() if chosen else cache_folder() / "runs"


class RunSummary(StoredRun, BaseModel):
    """What a table or a figure of many runs needs; sites and texts stay on the disk.

    ``saved`` is when the run was kept (UTC); None for a shipped one, which cannot be deleted.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    spec: PruneSpec
    model: ModelInfo
    totals: Totals
    evaluations: list[Evaluation] = []
    gains: list[SpeedGain] = []
    timings: dict[str, float] = {}
    shared: list[Shared] = []
    environment: dict[str, str] = {}
    saved: datetime | None = None


class RunStore:
    """Finished runs in ``folder``, before the read-only ones in ``shipped``.

    A run is addressed by ``PruneSpec.key``. Files appear whole or not at all; a damaged one is skipped with a warning
    in the log, because a page that lost one run should still show the others.
    """

    def __init__(self, folder: Path | None = None, shipped: Path = SHIPPED_RUNS) -> None:
        self.folder = folder or default_folder()
        self.shipped = shipped
        self._summaries: dict[Path, tuple[tuple[int, int], RunSummary | None]] = {}

    def save(self, result: RunResult) -> Path:
        """Keep ``result`` under its spec's key, in place of an older one; raises :class:`StorageError`."""
        return keep_in(self.folder, f"{result.spec.key}.json", result.model_dump_json())

    def load(self, key: str) -> RunResult | None:
        """The run with this key, else None. Anything that is not a key names no file."""
        if not _KEY.fullmatch(key):
            return None
        return next((run for path in self._files(f"{key}.json") if (run := _read(path)) and run.spec.key == key), None)

    def find(self, spec: PruneSpec) -> RunResult | None:
        """The run of this spec, else None. One that names no task is run on its model's own, which is known only once the
        model is loaded: it has the newest run that differs from it in the task alone.
        """
        run = self.load(spec.key)
        if run is not None or spec.evaluate:
            return run
        named = (other.spec for other in self.summaries() if other.spec.model_copy(update={"evaluate": ()}) == spec)
        return next((run for other in named if (run := self.load(other.key))), None)

    def shipped_of(self, model: str) -> RunResult | None:
        """The run of ``model`` that came with the program, else None."""
        runs = (_read(path) for path in sorted(self.shipped.glob("*.json")))
        return next((run for run in runs if run is not None and run.spec.model == model), None)

    def runs(self) -> list[RunResult]:
        """Every readable run, newest first, the shipped ones last; each key once."""
        found: dict[str, RunResult] = {}
        for path in self._files("*.json"):
            if (run := _read(path)) is not None:
                found.setdefault(run.spec.key, run)
        return list(found.values())

    def summaries(self, most: int = MOST_SUMMARIES) -> list[RunSummary]:
        """Of the ``most`` newest runs, the shipped ones last; each key once. A file is read again only when it changed."""
        found: dict[str, RunSummary] = {}
        seen: dict[Path, tuple[tuple[int, int], RunSummary | None]] = {}
        for path in islice(self._files("*.json"), most):
            version = _version(path)
            known = self._summaries.get(path)
            seen[path] = known if known and known[0] == version else (version, self._summary(path))
            summary = seen[path][1]
            if summary is not None and path.stem == summary.spec.key:
                found.setdefault(path.stem, summary)
        self._summaries = seen
        return list(found.values())

    def like(self, spec: PruneSpec) -> RunSummary | None:
        """The newest run of the same model, device and dtype that did all of its work and says how long it took, of its targets
        and schedule if any.
        """
        alike = [
            run
            for run in self.summaries()
            if run.timings
            and not run.shared
            and (run.spec.model, run.spec.device, run.spec.dtype) == (spec.model, spec.device, spec.dtype)
        ]
        same = (run for run in alike if (run.spec.targets, run.spec.schedule) == (spec.targets, spec.schedule))
        return next(same, next(iter(alike), None))

    def _summary(self, path: Path) -> RunSummary | None:
        try:
            summary = RunSummary.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            _say_damaged(path, error)
            return None
        saved = None if path.parent == self.shipped else datetime.fromtimestamp(_modified(path), UTC)
        return summary.model_copy(update={"saved": saved})

    def delete(self, key: str) -> None:
        """Forget a run that was kept here; raises :class:`StorageError` for a shipped, a missing and a stubborn one."""
        path = self.folder / f"{key}.json"
        try:
            if not _KEY.fullmatch(key):
                raise FileNotFoundError
            path.unlink()
        except FileNotFoundError:
            if _KEY.fullmatch(key) and (self.shipped / path.name).exists():
                raise StorageError("This run came with the program and stays; only runs of your own can go.") from None
            raise StorageError("There is no such run here any more; look at the list again.") from None
        except OSError as error:
            raise StorageError(f"{path} cannot be deleted ({error.strerror}); check who owns it.") from error

    def _files(self, pattern: str) -> Iterator[Path]:
        yield from sorted(self.folder.glob(pattern), key=_modified, reverse=True)
        yield from sorted(self.shipped.glob(pattern))


def spec_of_table(spec: PruneSpec) -> PruneSpec:
    """``spec`` without what no mask table depends on: recipes that differ in nothing else share their table."""
    defaults = PruneSpec()
    return spec.model_copy(update={name: getattr(defaults, name) for name in ("criterion", "schedule", "quantize")})


class MaskTableStore:
    """Tables in ``folder``, addressed by the key of :func:`spec_of_table`. Files appear whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, table: MaskTable) -> Path:
        """Keep ``table`` in place of an older one; raises :class:`StorageError`."""
        return keep_in(self.folder, f"{spec_of_table(table.spec).key}.json", table.model_dump_json())

    def find(self, spec: PruneSpec) -> MaskTable | None:
        """The table of a recipe, else None. One that names its model's own task has the table of one that names none."""
        named = spec_of_table(spec)
        if (table := self.load(named.key)) is not None or not spec.evaluate:
            return table
        unnamed = self.load(named.model_copy(update={"evaluate": ()}).key)
        tasks = {cell.task for cell in unnamed.cells} if unnamed else set()
        return unnamed if tasks == {spec.evaluate[0]} else None

    def load(self, key: str) -> MaskTable | None:
        """The table with this key, else None; a damaged file counts as none."""
        if not _KEY.fullmatch(key):
            return None
        path = self.folder / f"{key}.json"
        try:
            return MaskTable.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            log.warning("Skipped the damaged mask table %s: %s", path, str(error).splitlines()[0])
            return None


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # removed since it was listed
        return 0.0


def _version(path: Path) -> tuple[int, int]:
    """Changes whenever the file does."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def _read(path: Path) -> RunResult | None:
    try:
        return RunResult.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        _say_damaged(path, error)
        return None


def _say_damaged(path: Path, error: Exception) -> None:
    log.warning("Skipped the damaged run %s: %s", path, str(error).splitlines()[0])
