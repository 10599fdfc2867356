"""Atlas: what one calibration tells of a dense model, in one file, so that exploring needs no model and no forward pass.

For every site and criterion the order and scores of the units and the error curves of every reconstruction under two
weights of the tokens; for every site its sensitivity, the spectrum of its covariance and a readable sample of its
correlations. Plain arrays: loading one takes milliseconds and no torch. :mod:`liar.jobs.draw_atlas` draws one,
:mod:`liar.explore.forecast` reads it.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from liar.explore.allocation import nearest_removed
from liar.files import ASSETS, keep_in
from liar.results import RATIOS, ModelInfo
from liar.sites import Site
from liar.spec import (
    BASELINE,
    CHANNEL_CRITERIA,
    RECONSTRUCTIONS,
    Criterion,
    PruneSpec,
    Reconstruction,
    Separator,
    SiteKind,
)

log = logging.getLogger(__name__)

Weighting = Literal["plain", "norm-aware"]
"""How tokens weigh in an error: alike, or by 1/|h|^2 of the residual stream."""

WEIGHTINGS: tuple[Weighting, ...] = get_args(Weighting)

CHOICE_RECONSTRUCTIONS: tuple[Reconstruction, ...] = ("none", "bias", "least-squares")
"""The reconstructions whose errors are known for every choice of a few bundles; liar depends on the row space of each."""

SHIPPED_ATLASES = ASSETS / "atlases"
"""The atlases of the demo models, drawn ahead."""

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]


class AtlasKey(BaseModel):
    """What an atlas depends on: the choices of a spec that decide the moments. ``seed`` also drives ``random``.

    As in the key of a run, a choice that was added later changes no digest where it is as in :data:`liar.spec.BASELINE`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    calibration: str
    tokens: int
    sequence_length: int
    seed: int
    separator: Separator = Field(BASELINE["separator"])

    @classmethod
    def of(cls, spec: PruneSpec) -> AtlasKey:
        return cls(**{name: getattr(spec, name) for name in cls.model_fields})

    @property
    def digest(self) -> str:
        added = {name for name, field in type(self).model_fields.items() if not field.is_required()}
        chosen = {
            name: value for name, value in self.model_dump().items() if name not in added or value != BASELINE[name]
        }
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()


class KindFacts(BaseModel):
    """What all sites of one kind share. A repair that adds biases adds ``bias_fixed`` parameters to a site and
    ``bias_per_bundle`` for every bundle it keeps (zeros, where the family knows biases for whole modules only).
    """

    units: int
    unit_size: int
    group: int
    bundle_parameters: int
    bias_fixed: int
    bias_per_bundle: int
    outputs: int
    layers: list[int]


class AtlasFacts(BaseModel):
    """Everything of an atlas that is no array; ``sensitive`` says whether a loss could be asked."""

    key: AtlasKey
    model: ModelInfo
    block_parameters: int
    criteria: list[Criterion]
    sensitive: bool
    kinds: dict[SiteKind, KindFacts]
    tokens: int
    seconds: float
    environment: dict[str, str]


@dataclass(frozen=True, slots=True)
class KindArrays:
    """Arrays of all sites of one kind, first axis the layer in the order of ``KindFacts.layers``.

    ``order`` (sites, criteria, bundles): bundles best first. ``scores`` (sites, criteria, bundles): in that order.
    ``deviation`` (sites, criteria): what the allocation global divides scores by.
    ``error`` (sites, criteria, weightings, reconstructions, 101): relative, at :data:`RATIOS`.
    ``choices`` (sites, weightings, 3, 2^bundles): the relative error of every choice of bundles for
    :data:`CHOICE_RECONSTRUCTIONS`, bit i of the last index saying that bundle i is removed; that axis is empty where choices
    are many.
    ``energy`` (sites, weightings): what turns a relative error into one that compares between sites.
    ``sensitivity`` (sites,): what turns a plain one into what the loss feels; zeros where no loss could be asked.
    ``spectrum`` (sites, n): eigenvalues of the covariance, evenly sampled by rank, largest first.
    ``condition`` (sites,): of the covariance with the ridge.
    ``sample`` (sites, m): channels whose correlations (sites, m, m) are kept in ``correlation``.
    """

    order: Integers
    scores: Floats
    deviation: Floats
    error: Floats
    choices: Floats
    energy: Floats
    sensitivity: Floats
    spectrum: Floats
    condition: Floats
    sample: Integers
    correlation: Floats


@cache
def removed_at(bundles: int) -> Integers:
    """(101,) bundles removed from a site of ``bundles`` at each of :data:`RATIOS`."""
    return np.array([nearest_removed(bundles, ratio) for ratio in RATIOS])


@dataclass(frozen=True, slots=True)
class SiteAtlas:
    """One site of an atlas."""

    site: Site
    facts: KindFacts
    criteria: list[Criterion]
    arrays: KindArrays
    row: int

    def order(self, criterion: Criterion) -> Integers:
        """(bundles,) best first."""
        order: Integers = self.arrays.order[self.row, self.criteria.index(criterion)]
        return order

    def scores(self, criterion: Criterion) -> Floats:
        """(bundles,) of the bundles of :meth:`order`, so never rising."""
        scores: Floats = self.arrays.scores[self.row, self.criteria.index(criterion)]
        return scores

    def deviation(self, criterion: Criterion) -> float:
        """What the allocation global divides the scores by; NaN where an older file does not tell it."""
        return float(self.arrays.deviation[self.row, self.criteria.index(criterion)])

    def curve(self, criterion: Criterion, reconstruction: Reconstruction, weighting: Weighting = "plain") -> Floats:
        """(101,) relative error over :data:`RATIOS`."""
        where = (self.criteria.index(criterion), WEIGHTINGS.index(weighting))
        curve: Floats = self.arrays.error[self.row, *where, RECONSTRUCTIONS.index(reconstruction)]
        return curve

    def error_at(
        self, criterion: Criterion, reconstruction: Reconstruction, kept: int, weighting: Weighting = "plain"
    ) -> float:
        """Relative error when ``kept`` bundles stay, between the points of the curve on a straight line."""
        curve = self.curve(criterion, reconstruction, weighting)
        return float(np.interp(self.site.bundles - kept, removed_at(self.site.bundles), curve))

    def errors_of(
        self, criterion: Criterion, kept: Sequence[int], weighting: Weighting = "plain"
    ) -> dict[Reconstruction, float]:
        """Relative errors when the bundles ``kept`` stay, of the reconstructions for which that is known: all where they are
        the best ones, else those of :attr:`KindArrays.choices`.
        """
        if set(kept) == set(self.order(criterion)[: len(kept)].tolist()):
            return {name: self.error_at(criterion, name, len(kept), weighting) for name in RECONSTRUCTIONS}
        choices = self.arrays.choices[self.row, WEIGHTINGS.index(weighting)]
        if not choices.shape[-1]:
            return {}
        index = (1 << self.site.bundles) - 1 - sum(1 << bundle for bundle in kept)
        return {name: float(choices[at, index]) for at, name in enumerate(CHOICE_RECONSTRUCTIONS)}

    def damage(self, criterion: Criterion, reconstruction: Reconstruction, weighting: Weighting) -> Floats:
        """(bundles + 1,): what keeping the best k bundles costs, comparable between sites."""
        removed = self.site.bundles - np.arange(self.site.bundles + 1)
        energy = float(self.arrays.energy[self.row, WEIGHTINGS.index(weighting)])
        curve = self.curve(criterion, reconstruction, weighting)
        damage: Floats = np.interp(removed, removed_at(self.site.bundles), curve) * energy
        return damage

    @property
    def sensitivity(self) -> float:
        """What turns a plain damage into what the loss feels."""
        return float(self.arrays.sensitivity[self.row])

    @property
    def spectrum(self) -> Floats:
        spectrum: Floats = self.arrays.spectrum[self.row]
        return spectrum

    @property
    def condition(self) -> float:
        return float(self.arrays.condition[self.row])

    @property
    def sample(self) -> Integers:
        """Channels whose correlations are kept."""
        sample: Integers = self.arrays.sample[self.row]
        return sample

    @property
    def correlation(self) -> Floats:
        """(m, m) correlations of the channels of :attr:`sample`."""
        correlation: Floats = self.arrays.correlation[self.row]
        return correlation


@dataclass(frozen=True, slots=True)
class Atlas:
    """All sites of a model under one calibration."""

    facts: AtlasFacts
    arrays: dict[SiteKind, KindArrays]

    @property
    def sites(self) -> list[SiteAtlas]:
        """In the order of the computation."""
        found = [self._site(kind, row) for kind, facts in self.facts.kinds.items() for row in range(len(facts.layers))]
        return sorted(found, key=lambda item: (item.site.layer, item.site.kind))

    def site(self, name: str) -> SiteAtlas | None:
        """The site called ``name``, else None."""
        return next((item for item in self.sites if item.site.name == name), None)

    def _site(self, kind: SiteKind, row: int) -> SiteAtlas:
        facts = self.facts.kinds[kind]
        site = Site(facts.layers[row], kind, facts.units, facts.unit_size, facts.group)
        return SiteAtlas(site, facts, self.facts.criteria, self.arrays[kind], row)

    def to_bytes(self) -> bytes:
        """A compressed npz with the facts as JSON."""
        named = {f"{kind}.{name}": getattr(a, name) for kind, a in self.arrays.items() for name in KindArrays.__slots__}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, facts=np.frombuffer(self.facts.model_dump_json().encode(), np.uint8), **named)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Atlas:
        """Inverse of :meth:`to_bytes`; raises ``ValueError`` for anything else. Nothing is unpickled."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                facts = AtlasFacts.model_validate_json(file["facts"].tobytes())
                arrays = {
                    kind: KindArrays(
                        **{name: file[f"{kind}.{name}"] for name in KindArrays.__slots__ if name not in _YOUNGER},
                        deviation=_deviation(file, facts, kind),
                        choices=_choices(file, facts, kind),
                    )
                    for kind in facts.kinds
                }
        except Exception as error:  # zip, zlib, numpy and pydantic each have errors of their own for a damaged file
            raise ValueError(f"This is no atlas: {error!r}") from error
        return cls(facts, arrays)


def _deviation(file: Mapping[str, Floats], facts: AtlasFacts, kind: SiteKind) -> Floats:
    """The array of that name; of a file older than it, what the scores tell: nothing of channels that were added up."""
    if f"{kind}.deviation" in file:
        return file[f"{kind}.deviation"]
    found: Floats = file[f"{kind}.scores"].astype(np.float64).std(axis=-1, ddof=1)
    if facts.kinds[kind].unit_size * facts.kinds[kind].group > 1:
        found[:, [name in CHANNEL_CRITERIA for name in facts.criteria]] = np.nan
    return found


_YOUNGER = ("deviation", "choices")
"""Arrays that older files lack."""


def _choices(file: Mapping[str, Floats], facts: AtlasFacts, kind: SiteKind) -> Floats:
    """The array of that name; of a file older than it, nothing."""
    if f"{kind}.choices" in file:
        return file[f"{kind}.choices"]
    return np.empty((len(facts.kinds[kind].layers), len(WEIGHTINGS), len(CHOICE_RECONSTRUCTIONS), 0), np.float16)


class AtlasStore:
    """Atlases by key: those drawn here in ``folder``, before the shipped ones. What was read last stays in memory."""

    def __init__(self, folder: Path, shipped: Path = SHIPPED_ATLASES, in_memory: int = 4) -> None:
        self.folder, self.shipped, self.in_memory = folder, shipped, in_memory
        self._read: dict[str, Atlas] = {}  # what was used last is last
        self._lock = Lock()

    def find(self, spec: PruneSpec) -> Atlas | None:
        """The atlas of a spec's calibration, else None; a damaged file counts as none."""
        key = AtlasKey.of(spec)
        with self._lock:
            atlas = self._read.get(key.digest) or self._load(key)
            return None if atlas is None else self._remember(atlas)

    def save(self, atlas: Atlas) -> Path:
        """Keep ``atlas``; raises :class:`StorageError`, and then it is at hand only as long as it stays in memory."""
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
