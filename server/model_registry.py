"""Registry of the models in memory: bounded and shared by all sessions, so that no session owns gigabytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

import psutil

from liar.errors import InvalidSpecError

if TYPE_CHECKING:  # these load torch, which takes seconds
    from liar.calibration.calibrate import Calibration
    from liar.models.loaded import LoadedModel
    from liar.models.variants import Variants
    from liar.runtime.memory import PlannedWork
    from liar.spec import PruneSpec

Load = Callable[..., "LoadedModel"]
"""Function of model, device, dtype and, if known, the work that the model is loaded for."""


_Key = str | tuple[str, str, str]
"""Of the variants of a finished run the key of its spec; of a model its name, device and dtype."""


class ModelRegistry:
    """Cache of the most recently used entries, up to ``max_bytes`` of weights; the newest entry is always kept. What room is
    left may hold the calibration of the last run that had one.

    Entries are loaded models, and the :class:`~liar.models.variants.Variants` of finished runs. Runs work on copies,
    so one loaded model serves any number of them. A dense model that kept variants refer to would stay in memory
    anyway, so it is dropped only after them. Every method may be called from any thread.
    """

    def __init__(self, max_bytes: int | None = None, load: Load | None = None) -> None:
        self.max_bytes = max_bytes or psutil.virtual_memory().total // 4
        self._load = load or _load
        self._entries: OrderedDict[_Key, Any] = OrderedDict()  # the least recently used first
        self._calibration: Calibration | None = None
        self._lock = Lock()
        self._loading = Lock()

    def get(self, model: str, device: str, dtype: str, work: PlannedWork | None = None) -> LoadedModel:
        """The model, loaded if it is not in memory; raises what loading for this ``work`` raises."""
        key = (model, device, dtype)
        found: LoadedModel | None = self._find(key)
        if found is not None:
            return found
        with self._loading:  # one load at a time; models in memory are found without the lock
            found = self._find(key)
            if found is None:
                found = self._load(model, device, dtype, *([work] if work else []))
                self.keep(key, found)
            return found

    def keep(self, key: _Key, entry: LoadedModel | Variants) -> None:
        """Keep a model, or the variants of the finished run ``key``, in place of earlier ones."""
        with self._lock:
            self._entries[key] = entry
            self._entries.move_to_end(key)
            self._make_room()
            while self._bytes() > self.max_bytes and (oldest := next(self._droppable(), None)) is not None:
                del self._entries[oldest]

    def keep_calibration(self, calibration: Calibration) -> None:
        """Keep a calibration for further runs, in place of the one before, if there is room for it."""
        with self._lock:
            self._calibration = calibration
            self._make_room()

    def calibration_for(self, spec: PruneSpec, loaded: LoadedModel) -> Calibration | None:
        """The calibration that is kept, if a run of ``spec`` on ``loaded`` can begin with it, else None."""
        with self._lock:
            found = self._calibration
        if found is not None:
            with suppress(InvalidSpecError):
                found.check(spec, loaded)
                return found
        return None

    def variants(self, key: str) -> Variants | None:
        """The variants of the finished run ``key``, None if they are not in memory."""
        found: Variants | None = self._find(key)
        return found

    def _find(self, key: _Key) -> Any:
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
            return self._entries.get(key)

    def _make_room(self) -> None:
        """Drop the calibration if it takes the room of models."""
        if self._calibration is not None and self._bytes() + self._calibration.bytes > self.max_bytes:
            self._calibration = None

    def _droppable(self) -> Iterator[_Key]:
        """Keys of entries that can be dropped to free memory, the least recently used first; never the newest."""
        held = {id(variants.dense) for variants in self._of_runs()}
        newest = next(reversed(self._entries))
        return (key for key, entry in self._entries.items() if key != newest and id(entry) not in held)

    def _of_runs(self) -> list[Variants]:
        return [entry for key, entry in self._entries.items() if isinstance(key, str)]

    def _bytes(self) -> int:
        """Bytes of all weights in memory; a dense model that several entries share is counted once."""
        from liar.models.loaded import bytes_in_memory  # torch takes seconds to load; by now it is loaded

        loaded = [entry for key, entry in self._entries.items() if not isinstance(key, str)]
        dense = {id(model): model for model in (*loaded, *(run.dense for run in self._of_runs())) if model is not None}
        weights = sum(bytes_in_memory(model.model) for model in dense.values())
        return weights + sum(run.bytes for run in self._of_runs())


def _load(model: str, device: str, dtype: str, work: PlannedWork | None = None) -> LoadedModel:
    from liar.loading.catalog import load_model  # torch takes seconds to load

    return load_model(model, device, dtype, work=work)
