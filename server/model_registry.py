"""The models of the server in memory: one bounded registry for everybody, so that no session owns gigabytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:  # these load torch, which takes seconds
    from liar.models.catalog import LoadedModel
    from liar.models.memory import Work
    from liar.models.variants import Variants

Load = Callable[..., "LoadedModel"]
"""Of model, device, dtype and, if it is known, the work that will be done."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """What was loaded, or what a finished run left: exactly one of the two."""

    loaded: LoadedModel | None = None
    variants: Variants | None = None

    @property
    def dense(self) -> LoadedModel | None:
        return self.loaded if self.variants is None else self.variants.dense


class ModelRegistry:
    """Keeps what was used last, as far as ``max_bytes`` of weights reach; the newest entry is always kept.

    Entries are loaded models, and the :class:`~liar.models.variants.Variants` of finished runs by the key of their spec.
    Runs work on copies, so one loaded model serves any number of them. A dense model that kept variants refer to would stay in
    memory anyway, so it goes only after them. Every method may be called from any thread.
    """

    def __init__(self, max_bytes: int | None = None, load: Load | None = None) -> None:
        self.max_bytes = max_bytes or psutil.virtual_memory().total // 4
        self._load = load or _load
        self._entries: OrderedDict[tuple[str, ...], _Entry] = OrderedDict()  # the least recently used first
        self._lock = Lock()
        self._loading = Lock()

    def get(self, model: str, device: str, dtype: str, work: Work | None = None) -> LoadedModel:
        """The model, loaded now or before; raises what loading for this ``work`` raises."""
        key = (model, device, dtype)
        if (found := self._find(key)) is not None and found.loaded is not None:
            return found.loaded
        with self._loading:  # one at a time; what is in memory already does not wait for it
            if (found := self._find(key)) is not None and found.loaded is not None:
                return found.loaded
            loaded = self._load(model, device, dtype, *([work] if work else []))
            self._keep(key, _Entry(loaded=loaded))
            return loaded

    def keep(self, key: str, variants: Variants) -> None:
        """Hold the models of the finished run ``key``, in place of what it left before."""
        self._keep((key,), _Entry(variants=variants))

    def variants(self, key: str) -> Variants | None:
        """The models of the finished run ``key``; None when they are no longer, or never were, in memory."""
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
        """Entries that would free memory, the least recently used first."""
        held = {id(entry.dense) for entry in self._entries.values() if entry.variants is not None}
        newest = next(reversed(self._entries))
        for key, entry in self._entries.items():
            if key != newest and (entry.variants is not None or id(entry.loaded) not in held):
                yield key

    def _bytes(self) -> int:
        """Bytes of all weights in memory; a dense model that several entries share counts once."""
        from liar.models.catalog import bytes_in_memory  # torch takes seconds to load, and is there by now

        dense = {id(entry.dense): entry.dense for entry in self._entries.values() if entry.dense is not None}
        pruned = [entry.variants for entry in self._entries.values() if entry.variants is not None]
        weights = sum(bytes_in_memory(loaded.model) for loaded in dense.values())
        return weights + sum(variants.bytes for variants in pruned)


def _load(model: str, device: str, dtype: str, work: Work | None = None) -> LoadedModel:
    from liar.models.catalog import load_model  # torch takes seconds to load

    return load_model(model, device, dtype, work=work)
