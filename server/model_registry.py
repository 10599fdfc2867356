"""Registry of the models in memory: bounded and shared by all sessions, so that no session owns gigabytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:  # these load torch, which takes seconds
    from liar.models.loaded import LoadedModel
    from liar.models.variants import Variants
    from liar.runtime.memory import PlannedWork

Load = Callable[..., "LoadedModel"]
"""Function of model, device, dtype and, if known, the work that the model is loaded for."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A loaded model, or the variants of a finished run: exactly one of the two."""

    loaded: LoadedModel | None = None
    variants: Variants | None = None

    @property
    def dense(self) -> LoadedModel | None:
        return self.loaded if self.variants is None else self.variants.dense


class ModelRegistry:
    """Cache of the most recently used entries, up to ``max_bytes`` of weights; the newest entry is always kept.

    Entries are loaded models, and the :class:`~liar.models.variants.Variants` of finished runs by the key of their
    spec. Runs work on copies, so one loaded model serves any number of them. A dense model that kept variants refer to
    would stay in memory anyway, so it is dropped only after them. Every method may be called from any thread.
    """

    def __init__(self, max_bytes: int | None = None, load: Load | None = None) -> None:
        self.max_bytes = max_bytes or psutil.virtual_memory().total // 4
        self._load = load or _load
        self._entries: OrderedDict[tuple[str, ...], _Entry] = OrderedDict()  # the least recently used first
        self._lock = Lock()
        self._loading = Lock()

    def get(self, model: str, device: str, dtype: str, work: PlannedWork | None = None) -> LoadedModel:
        """The model, loaded if it is not in memory; raises what loading for this ``work`` raises."""
        key = (model, device, dtype)
        if (found := self._find(key)) is not None and found.loaded is not None:
            return found.loaded
        with self._loading:  # one load at a time; models in memory are found without the lock
            if (found := self._find(key)) is not None and found.loaded is not None:
                return found.loaded
            loaded = self._load(model, device, dtype, *([work] if work else []))
            self._keep(key, _Entry(loaded=loaded))
            return loaded

    def keep(self, key: str, variants: Variants) -> None:
        """Keep the variants of the finished run ``key``, in place of earlier ones."""
        self._keep((key,), _Entry(variants=variants))

    def variants(self, key: str) -> Variants | None:
        """The variants of the finished run ``key``, None if they are not in memory."""
        found = self._find((key,))
        return found.variants if found else None

    def _find(self, key: tuple[str, ...]) -> _Entry | None:
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
            return self._entries.get(key)

    def _keep(self, key: tuple[str, ...], entry: _Entry) -> None:
        with self._lock:
            self._entries[key] = entry
            self._entries.move_to_end(key)
            while self._bytes() > self.max_bytes and (oldest := next(self._droppable(), None)) is not None:
                del self._entries[oldest]

    def _droppable(self) -> Iterator[tuple[str, ...]]:
        """Keys of entries that can be dropped to free memory, the least recently used first; never the newest."""
        held = {id(entry.dense) for entry in self._entries.values() if entry.variants is not None}
        newest = next(reversed(self._entries))
        for key, entry in self._entries.items():
            if key != newest and (entry.variants is not None or id(entry.loaded) not in held):
                yield key

    def _bytes(self) -> int:
        """Bytes of all weights in memory; a dense model that several entries share is counted once."""
        from liar.models.loaded import bytes_in_memory  # torch takes seconds to load; by now it is loaded

        dense = {id(entry.dense): entry.dense for entry in self._entries.values() if entry.dense is not None}
        pruned = [entry.variants for entry in self._entries.values() if entry.variants is not None]
        weights = sum(bytes_in_memory(loaded.model) for loaded in dense.values())
        return weights + sum(variants.bytes for variants in pruned)


def _load(model: str, device: str, dtype: str, work: PlannedWork | None = None) -> LoadedModel:
    from liar.loading.catalog import load_model  # torch takes seconds to load

    return load_model(model, device, dtype, work=work)
