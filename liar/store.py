"""Stores of runs, mask tables and answers of dense models: one JSON file each. Runs and tables are named by the key of their
spec, so that a link finds them.

Runs that come with the package are compressed.

>>> from pathlib import Path
>>> from liar.store import RunStore
>>> store = RunStore(Path("runs"))
>>> path = store.save(store.shipped_of("demo/minilm-topic"))
>>> store.load(path.stem).model.id
'demo/minilm-topic'
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from liar.errors import StorageError
from liar.files import ASSETS, cache_folder, keep_in
from liar.presets import preset_of
from liar.results import Evaluation, MaskTable, ModelInfo, Record, RunResult, Shared, SpeedGain, StoredRun, Totals
from liar.spec import PruneSpec

R = TypeVar("R", bound=Record)
T = TypeVar("T")

log = logging.getLogger(__name__)

SHIPPED_RUNS = ASSETS / "runs"
"""Precomputed runs that come with the package."""

MOST_SUMMARIES = 500
"""Maximum number of runs in a listing."""

_KEY = re.compile(r"[0-9a-f]{64}")


def default_folder() -> Path:
    """Folder ``$LIAR_RUNS`` if set, else ``runs`` in the user's cache."""
    chosen = os.environ.get("LIAR_RUNS")
    return Path(chosen).expanduser() if chosen else cache_folder() / "runs"


class RunSummary(StoredRun, BaseModel):
    """Fields of a run that tables and figures of many runs need, without sites and texts.

    ``saved`` is the time of storing (UTC); None for a shipped run, which cannot be deleted.
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
    """Finished runs in ``folder``, which is searched first, and the read-only ones in ``shipped``.

    A run is addressed by ``PruneSpec.key``. Files appear complete or not at all; a damaged one is skipped with a
    warning in the log, so that the other runs are still shown.
    """

    def __init__(self, folder: Path | None = None, shipped: Path = SHIPPED_RUNS) -> None:
        self.folder = folder or default_folder()
        self.shipped = shipped

    @property
    def dense(self) -> DenseStore:
        """What the dense models of these runs answered, in a folder beside theirs."""
        return DenseStore(self.folder.parent / "dense")

    def save(self, result: RunResult) -> Path:
        """Store ``result`` under its spec's key, replacing an older one; raises :class:`StorageError`."""
        return keep_in(self.folder, f"{result.spec.key}.json", result.model_dump_json())

    def ship(self, result: RunResult) -> Path:
        """Store ``result`` among the shipped ones; equal results give equal files. Raises :class:`StorageError`."""
        content = gzip.compress(result.model_dump_json().encode(), mtime=0)
        return keep_in(self.shipped, f"{result.spec.key}.json.gz", content)

    def load(self, key: str) -> RunResult | None:
        """Run with this key, else None; also None for anything that is not a 64-digit key."""
        if not _KEY.fullmatch(key):
            return None
        return next((run for path in self._files(key) if (run := _run_in(path)) and run.spec.key == key), None)

    def find(self, spec: PruneSpec) -> RunResult | None:
        """Run of this spec, else None. A spec without a task is run on that of its model, which is not loaded here,
        so it matches the newest run that differs only in the task.
        """
        run = self.load(spec.key)
        if run is not None or spec.evaluate:
            return run
        named = (other.spec for other in self.summaries() if other.spec.model_copy(update={"evaluate": ()}) == spec)
        return next((run for other in named if (run := self.load(other.key))), None)

    def shipped_of(self, model: str) -> RunResult | None:
        """Shipped run of ``model``, of several the one of its usual targets with the shortest link; else None."""
        preset = preset_of(model)
        usual = preset.targets if preset is not None else PruneSpec().targets
        known = {path: summary for path in self._shipped() if (summary := _summary(path, _version(path)))}
        specs = {path: summary.spec for path, summary in known.items() if summary.spec.model == model}
        plainest = sorted(specs, key=lambda path: (specs[path].targets != usual, len(specs[path].to_query())))
        return next((run for path in plainest if (run := _run_in(path))), None)

    def runs(self) -> list[RunResult]:
        """All readable runs, newest first, the shipped ones last; each key once."""
        found: dict[str, RunResult] = {}
        for path in self._files():
            if (run := _run_in(path)) is not None:
                found.setdefault(run.spec.key, run)
        return list(found.values())

    def summaries(self, most: int = MOST_SUMMARIES) -> list[RunSummary]:
        """Summaries of the ``most`` newest runs, then the shipped ones by model, targets and ratio; each key once.

        Unchanged files are not reread.
        """
        found: dict[str, RunSummary] = {}
        for path in islice(self._files(), most):
            summary = _summary(path, _version(path))
            if summary is not None and path.name.partition(".")[0] == summary.spec.key:
                found.setdefault(summary.spec.key, summary)
        return sorted(found.values(), key=_place)

    def like(self, spec: PruneSpec) -> RunSummary | None:
        """Newest run of the same model, device and dtype with the time of its calibration, preferably of the same targets and
        schedule; else None. The dense model may have been known.
        """
        alike = [
            run
            for run in self.summaries()
            if run.timings
            and "calibration" not in run.shared
            and (run.spec.model, run.spec.device, run.spec.dtype) == (spec.model, spec.device, spec.dtype)
        ]
        same = (run for run in alike if (run.spec.targets, run.spec.schedule) == (spec.targets, spec.schedule))
        return next(same, next(iter(alike), None))

    def seconds(self, spec: PruneSpec) -> float | None:
        """About how long a run of ``spec`` takes: as long as one like it; else what each stage took at most in runs of the
        model that shared some of their work; None if there is none.
        """
        if (alike := self.like(spec)) is not None:
            return sum(alike.timings.values())
        of_model = [run.timings for run in self.summaries() if run.spec.model == spec.model]
        stages = {stage for timings in of_model for stage in timings}
        return sum(max(timings.get(stage, 0.0) for timings in of_model) for stage in stages) or None

    def delete(self, key: str) -> None:
        """Delete a stored run; raises :class:`StorageError` for a shipped or missing one, and if deleting fails."""
        path = self.folder / f"{key}.json"
        try:
            if not _KEY.fullmatch(key):
                raise FileNotFoundError
            path.unlink()
        except FileNotFoundError:
            if _KEY.fullmatch(key) and self._shipped(key):
                raise StorageError("This run came with the program and stays; only runs of your own can go.") from None
            raise StorageError("There is no such run here any more; look at the list again.") from None
        except OSError as error:
            raise StorageError(f"{path} cannot be deleted ({error.strerror}); check who owns it.") from error

    def _files(self, key: str = "*") -> Iterator[Path]:
        yield from sorted(self.folder.glob(f"{key}.json"), key=_version, reverse=True)
        yield from self._shipped(key)

    def _shipped(self, key: str = "*") -> list[Path]:
        return sorted(self.shipped.glob(f"{key}.json.gz"))


def spec_of_table(spec: PruneSpec) -> PruneSpec:
    """``spec`` with defaults for the choices that do not affect a mask table; equal results share one table."""
    defaults = PruneSpec()
    return spec.model_copy(update={name: getattr(defaults, name) for name in ("criterion", "schedule", "quantize")})


@dataclass(frozen=True, slots=True)
class MaskTableStore:
    """Mask tables in ``folder``, addressed by the key of :func:`spec_of_table`, complete or absent."""

    folder: Path

    def save(self, table: MaskTable) -> Path:
        """Store ``table``, replacing an older one; raises :class:`StorageError`."""
        return keep_in(self.folder, f"{spec_of_table(table.spec).key}.json", table.model_dump_json())

    def find(self, spec: PruneSpec) -> MaskTable | None:
        """Table of ``spec``, else None. A spec with its model's own task also finds the table of one without a task."""
        named = spec_of_table(spec)
        if (table := self.load(named.key)) is not None or not spec.evaluate:
            return table
        unnamed = self.load(named.model_copy(update={"evaluate": ()}).key)
        tasks = {cell.task for cell in unnamed.cells} if unnamed else set()
        return unnamed if tasks == {spec.evaluate[0]} else None

    def load(self, key: str) -> MaskTable | None:
        """Table with this key; None if it is missing or damaged."""
        return read_or_none(self.folder / f"{key}.json", MaskTable.model_validate_json) if _KEY.fullmatch(key) else None


@dataclass(frozen=True, slots=True)
class DenseStore:
    """Answers of dense models in ``folder``, one file for each question: all that decides the answer, as JSON."""

    folder: Path

    def save(self, question: Mapping[str, Any], answer: Record) -> Path:
        """Store the ``answer``; raises :class:`StorageError`."""
        return keep_in(self.folder, _file_name(question), answer.model_dump_json())

    def find(self, question: Mapping[str, Any], kind: type[R]) -> R | None:
        """The answer to an equal question, a record of this ``kind``; None if it is missing or damaged."""
        return read_or_none(self.folder / _file_name(question), kind.model_validate_json)


def _file_name(question: Mapping[str, Any]) -> str:
    return f"{hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()}.json"


def _version(path: Path) -> tuple[int, int]:
    """Modification time (ns) and size, by which a changed file is noticed."""
    try:
        status = path.stat()
    except OSError:  # deleted since it was listed
        return 0, 0
    return status.st_mtime_ns, status.st_size


def content_of(path: Path) -> bytes:
    """The JSON in a file, which is compressed if its name ends in ``.gz``."""
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def _place(run: RunSummary) -> tuple[bool | str | float, ...]:
    """Sort key of a summary: a stored run stays where it is, before all shipped ones."""
    return (True, run.spec.model, run.spec.targets, run.spec.ratio) if run.saved is None else (False,)


@lru_cache(maxsize=2 * MOST_SUMMARIES)
def _summary(path: Path, version: tuple[int, int]) -> RunSummary | None:
    """Summary of the run in this ``version`` of a file; None for a damaged one."""
    summary = read_or_none(path, RunSummary.model_validate_json)
    if summary is None or path.suffix == ".gz":  # a shipped one
        return summary
    return summary.model_copy(update={"saved": datetime.fromtimestamp(version[0] / 1e9, UTC)})


def _run_in(path: Path) -> RunResult | None:
    return read_or_none(path, RunResult.model_validate_json)


def read_or_none(path: Path, parse: Callable[[bytes], T]) -> T | None:
    """What ``parse`` makes of the content of a file; None if that is missing or, with a warning in the log, damaged."""
    try:
        return parse(content_of(path))
    except FileNotFoundError:
        return None
    except (OSError, EOFError, zlib.error, ValueError) as error:
        log.warning("Skipped the damaged file %s: %s", path, str(error).splitlines()[0])
        return None
