"""Store of atlases: one npz file each, named by the digest of its key."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from liar.explore.atlas import Atlas, AtlasKey
from liar.explore.forecast import is_covered
from liar.files import ASSETS, keep_in
from liar.spec import PruneSpec
from liar.store import default_folder, read_or_none

SHIPPED_ATLASES = ASSETS / "atlases"
"""Precomputed atlases of the demo models."""


class AtlasStore:
    """Atlases by key, in ``folder``, which is beside that of the runs, and then among the shipped ones; the last ``in_memory``
    used stay in memory.
    """

    def __init__(self, folder: Path | None = None, shipped: Path = SHIPPED_ATLASES, in_memory: int = 4) -> None:
        self.folder = folder or default_folder().parent / "atlases"
        self.shipped, self.in_memory = shipped, in_memory
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
        return atlas if atlas and is_covered(spec.model_copy(update={"edits": ()}), atlas) else None

    def save(self, atlas: Atlas) -> Path:
        """Store ``atlas``; raises :class:`StorageError`, and then it is found only while it stays in memory."""
        with self._lock:
            self._remember(atlas)
        return keep_in(self.folder, f"{atlas.facts.key.digest}.npz", atlas.to_bytes())

    def _load(self, key: AtlasKey) -> Atlas | None:
        found = (read_or_none(folder / f"{key.digest}.npz", Atlas.from_bytes) for folder in (self.folder, self.shipped))
        return next((atlas for atlas in found if atlas is not None and atlas.facts.key == key), None)

    def _remember(self, atlas: Atlas) -> Atlas:
        self._read.pop(atlas.facts.key.digest, None)
        self._read[atlas.facts.key.digest] = atlas
        while len(self._read) > self.in_memory:
            del self._read[next(iter(self._read))]
        return atlas
