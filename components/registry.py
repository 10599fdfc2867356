"""The loaded models of the server: one bounded registry for everybody, so that no session owns gigabytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:  # loading torch takes seconds, and the page must be up before
    from liar.models.catalog import LoadedModel

Load = Callable[[str, str, str], "LoadedModel"]


class ModelRegistry:
    """Keeps what was used last, as far as ``max_bytes`` of weights reach; the newest model is always kept.

    Runs work on copies, so one loaded model serves any number of them.
    """

    def __init__(self, max_bytes: int | None = None, load: Load | None = None) -> None:
        self.max_bytes = max_bytes or psutil.virtual_memory().total // 4
        self._load = load or _load
        self._models: OrderedDict[tuple[str, str, str], LoadedModel] = OrderedDict()
        self._lock = Lock()

    def get(self, model: str, device: str, dtype: str) -> LoadedModel:
        """The model, loaded now or before; raises what loading raises."""
        key = (model, device, dtype)
        with self._lock:
            if key not in self._models:
                self._models[key] = self._load(*key)
            self._models.move_to_end(key)
            while len(self._models) > 1 and self._bytes() > self.max_bytes:
                self._models.popitem(last=False)
            return self._models[key]

    def _bytes(self) -> int:
        return sum(
            parameter.numel() * parameter.element_size()
            for loaded in self._models.values()
            for parameter in loaded.model.parameters()
        )


def _load(model: str, device: str, dtype: str) -> LoadedModel:
    from liar.models.catalog import load_model  # torch takes seconds to load

    return load_model(model, device, dtype)
