"""Store of atlases: one npz file each, named by the digest of its key."""

from __future__ import annotations

import logging
from pathlib import Path
from threading import Lock

from liar.errors import LiarError
from liar.explore.atlas import Atlas, AtlasKey
from liar.explore.forecast import forecast
from liar.files import ASSETS, keep_in
from liar.spec import PruneSpec
from liar.store import default_folder as runs_folder

log = logging.getLogger(__name__)

SHIPPED_ATLASES = ASSETS / "atlases"
"""Precomputed atlases of the demo models."""


def default_folder() -> Path:
    """Folder of atlases beside that of the runs."""
    return runs_folder().parent / "atlases"


class AtlasStore:
    """Atlases by key, in ``folder`` and then among the shipped ones; the last ``in_memory`` used stay in memory."""

    def __init__(self, folder: Path, shipped: Path = SHIPPED_ATLASES, in_memory: int = 4) -> None:
        self.folder, self.shipped, self.in_memory = folder, shipped, in_memory
        self._read: dict[str, Atlas] = {}  # least recently used first
        self._lock = Lock()

    def find(self, spec: PruneSpec) -> Atlas | None:
        """Atlas of a spec's calibration; None if it is missing or damaged."""
        key = AtlasKey.of(spec)
        with self._lock:
            atlas = self._read.get(key.digest) or self._load(key)
            return None if atlas is None else self._remember(atlas)

    def curves_of(self, spec: PruneSpec) -> Atlas | None:
        """Atlas of a spec's calibration if it forecasts the spec, edits by hand aside; else None."""
        atlas = self.find(spec)
        try:
            if atlas is not None:
                forecast(spec.model_copy(update={"edits": ()}), atlas)
        except LiarError:
            return None
        return atlas

    def save(self, atlas: Atlas) -> Path:
        """Store ``atlas``; raises :class:`StorageError`, and then it is found only while it stays in memory."""
        with self._lock:
            self._remember(atlas)
        return keep_in(self.folder, f"{atlas.facts.key.digest}.npz", atlas.to_bytes())

    def _load(self, key: AtlasKey) -> Atlas | None:
        found = (_read(folder / f"{key.digest}.npz") for folder in (self.folder, self.shipped))
        return next((atlas for atlas in found if atlas is not None and atlas.facts.key == key), None)

    def _remember(self, atlas: Atlas) -> Atlas:
        self._read.pop(atlas.facts.key.digest, None)
        self._read[atlas.facts.key.digest] = atlas
        while len(self._read) > self.in_memory:
            del self._read[next(iter(self._read))]
        return atlas


def _read(path: Path) -> Atlas | None:
    try:
        return Atlas.from_bytes(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("Skipped the damaged atlas %s: %s", path, str(error).splitlines()[0])
        return None
