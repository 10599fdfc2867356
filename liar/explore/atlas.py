"""Atlas: the results of one calibration of a dense model in one file, so that exploring needs no forward pass.

For each site and criterion: order and scores of the bundles, and the error curves of every reconstruction under two
weightings of the tokens. For each site: its sensitivity, the spectrum of its correlations and a sample of its
correlations. Plain arrays: loading one takes milliseconds and no torch. :mod:`liar.jobs.draw_atlas` computes an atlas,
:mod:`liar.explore.forecast` reads it.

>>> from pathlib import Path
>>> from liar.explore.atlas_store import AtlasStore
>>> from liar.spec import PruneSpec
>>> atlas = AtlasStore(Path("atlases")).find(PruneSpec())
>>> curve = atlas.site("layers.0.ffn").curve("obs", "least-squares")
>>> len(curve), bool(curve[20] < curve[50])
(101, True)
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from liar.choices import Criterion, Reconstruction
from liar.explore.allocation import nearest_removed
from liar.results import ModelInfo
from liar.sites import Site
from liar.spec import BASELINE, PruneSpec, Separator, SiteKind

Weighting = Literal["plain", "norm-aware"]
"""Weight of a token in an error: equal, or 1/|h|^2 of the residual stream h."""

WEIGHTINGS: tuple[Weighting, ...] = get_args(Weighting)

RATIOS = tuple(percent / 100 for percent in range(101))
"""Ratios at which curves are stored: shares of a site's units removed. The curves of scale, least-squares (and of liar inside
the row space) bound the true error from above, by about a percent."""

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]


class AtlasKey(BaseModel):
    """Choices of a spec that an atlas depends on: those that decide the moments. ``seed`` also drives ``random``.

    As in the key of a run, a choice that was added later changes the digest only if it differs from
    :data:`liar.spec.BASELINE`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    calibration: str
    tokens: int | Literal["auto"]
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
    """Facts common to all sites of one kind. A repair that adds biases adds ``bias_fixed`` parameters to a site and
    ``bias_per_bundle`` for every bundle it keeps (zero biases of producers, if only whole modules can have biases).
    """

    units: int
    unit_size: int
    group: int
    bundle_parameters: int
    bias_fixed: int
    bias_per_bundle: int
    outputs: int
    layers: list[int]

    @property
    def bundles(self) -> int:
        """Bundles of one site: groups of units that are removed together."""
        return self.units // self.group


class AtlasFacts(BaseModel):
    """Content of an atlas that is not an array; ``sensitive`` is whether sensitivities could be computed.

    ``reconstructions`` have curves, ``choice_reconstructions`` have the error of every choice of a few bundles. ``windows``,
    ``cached`` and ``loses_layers`` are those of :class:`liar.explore.sizes.Sizes`; an older atlas lacks them.
    """

    key: AtlasKey
    model: ModelInfo
    block_parameters: int
    criteria: list[Criterion]
    reconstructions: list[Reconstruction]
    choice_reconstructions: list[Reconstruction]
    sensitive: bool
    kinds: dict[SiteKind, KindFacts]
    tokens: int
    seconds: float
    environment: dict[str, str]
    windows: tuple[int | None, ...] | None = None
    cached: int = 0
    loses_layers: bool = False

    @property
    def parameter_bytes(self) -> int:
        """Bytes of a parameter of the model."""
        return {"float32": 4, "bfloat16": 2, "float16": 2}[self.environment.get("dtype", "float32")]


@dataclass(frozen=True, slots=True)
class KindArrays:
    """Arrays of all sites of one kind; the first axis is the layer, in the order of ``KindFacts.layers``. Those of a single
    site lack it.

    ``order`` (sites, criteria, bundles): bundles, best first. ``scores`` (sites, criteria, bundles): in that order.
    ``deviation`` (sites, criteria): divisor of the scores in the allocation global.
    ``error`` (sites, criteria, weightings, reconstructions, 101): relative errors at :data:`RATIOS`.
    ``choices`` (sites, weightings, choice reconstructions, 2^bundles): relative error of every choice of bundles; bit i
    of the last index is 1 if bundle i is removed. Empty if there are too many.
    ``energy`` (sites, weightings): factor that makes a relative error comparable between sites.
    ``sensitivity`` (sites,): factor from plain error x energy to the effect on the loss; zeros if there is no loss.
    ``spectrum`` (sites, n): eigenvalues of the correlation matrix, evenly sampled by rank, largest first.
    ``condition`` (sites,): condition number of the correlation matrix with the ridge.
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

    @classmethod
    def stacked(cls, sites: Sequence[KindArrays]) -> KindArrays:
        return cls(*(np.stack([getattr(site, name) for site in sites]) for name in cls.__slots__))

    def of_site(self, row: int) -> KindArrays:
        return KindArrays(*(getattr(self, name)[row] for name in self.__slots__))


@cache
def removed_at(bundles: int) -> Integers:
    """Bundles removed (101,) from a site of ``bundles`` at each of :data:`RATIOS`."""
    return np.array([nearest_removed(bundles, ratio) for ratio in RATIOS])


@dataclass(frozen=True, slots=True)
class SiteAtlas:
    """One site of an atlas, with its own arrays; ``with_choices`` names the reconstructions in :attr:`KindArrays.choices`."""

    site: Site
    facts: KindFacts
    criteria: Sequence[str]
    reconstructions: Sequence[Reconstruction]
    with_choices: Sequence[Reconstruction]
    arrays: KindArrays

    def order(self, criterion: str) -> Integers:
        """Bundles (bundles,), best first."""
        return np.asarray(self.arrays.order[self.criteria.index(criterion)])

    def scores(self, criterion: str) -> Floats:
        """Scores (bundles,) in the order of :meth:`order`, so never rising."""
        return np.asarray(self.arrays.scores[self.criteria.index(criterion)])

    def deviation(self, criterion: str) -> float:
        """Divisor of the scores in the allocation global."""
        return float(self.arrays.deviation[self.criteria.index(criterion)])

    def curve(self, criterion: str, reconstruction: Reconstruction, weighting: Weighting = "plain") -> Floats:
        """Relative error (101,) at :data:`RATIOS`."""
        curves = self.arrays.error[self.criteria.index(criterion), WEIGHTINGS.index(weighting)]
        return np.asarray(curves[self.reconstructions.index(reconstruction)])

    def error_at(
        self, criterion: str, reconstruction: Reconstruction, kept: int, weighting: Weighting = "plain"
    ) -> float:
        """Relative error if the best ``kept`` bundles stay, interpolated linearly between the points of the curve."""
        curve = self.curve(criterion, reconstruction, weighting)
        return float(np.interp(self.site.bundles - kept, removed_at(self.site.bundles), curve))

    def errors_of(
        self, criterion: str, kept: Sequence[int], weighting: Weighting = "plain"
    ) -> dict[Reconstruction, float]:
        """Known relative errors if the bundles ``kept`` stay: of all reconstructions if these are the best bundles,
        else those in :attr:`KindArrays.choices`, if any.
        """
        if set(kept) == set(self.order(criterion)[: len(kept)].tolist()):
            return {name: self.error_at(criterion, name, len(kept), weighting) for name in self.reconstructions}
        choices = self.arrays.choices[WEIGHTINGS.index(weighting)]
        if not choices.shape[-1]:
            return {}
        index = (1 << self.site.bundles) - 1 - sum(1 << bundle for bundle in kept)
        return {name: float(choices[at, index]) for at, name in enumerate(self.with_choices)}

    def errors_of_choices(self, reconstruction: Reconstruction, removed: int) -> Floats:
        """Relative errors of every choice of ``removed`` bundles, in no order; empty if the atlas does not store them."""
        errors = self.arrays.choices[WEIGHTINGS.index("plain"), self.with_choices.index(reconstruction)]
        return np.asarray(errors[[index.bit_count() == removed for index in range(len(errors))]])

    def damage(self, criterion: str, reconstruction: Reconstruction, weighting: Weighting) -> Floats:
        """Cost (bundles + 1,) of keeping the best k bundles, comparable between sites."""
        removed = self.site.bundles - np.arange(self.site.bundles + 1)
        energy = float(self.arrays.energy[WEIGHTINGS.index(weighting)])
        curve = self.curve(criterion, reconstruction, weighting)
        return np.asarray(np.interp(removed, removed_at(self.site.bundles), curve) * energy)

    @property
    def sensitivity(self) -> float:
        """Factor from plain damage to the effect on the loss."""
        return float(self.arrays.sensitivity)

    @property
    def closest(self) -> float:
        """Largest absolute correlation between two channels of :attr:`KindArrays.sample`."""
        return float(np.abs(self.arrays.correlation - np.eye(len(self.arrays.sample))).max())


@dataclass(frozen=True, slots=True)
class Atlas:
    """All sites of a model under one calibration."""

    facts: AtlasFacts
    arrays: dict[SiteKind, KindArrays]

    @property
    def sites(self) -> list[SiteAtlas]:
        """All sites, in the order of the computation."""
        found = [self._site(kind, row) for kind, facts in self.facts.kinds.items() for row in range(len(facts.layers))]
        return sorted(found, key=lambda item: (item.site.layer, item.site.kind))

    def site(self, name: str) -> SiteAtlas | None:
        """Site called ``name``, else None."""
        return next((item for item in self.sites if item.site.name == name), None)

    def _site(self, kind: SiteKind, row: int) -> SiteAtlas:
        facts = self.facts.kinds[kind]
        site = Site(facts.layers[row], kind, facts.units, facts.unit_size, facts.group)
        named = (self.facts.criteria, self.facts.reconstructions, self.facts.choice_reconstructions)
        return SiteAtlas(site, facts, *named, self.arrays[kind].of_site(row))

    def to_bytes(self) -> bytes:
        """Serialize as a compressed npz with the facts as JSON."""
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
                    kind: KindArrays(**{name: file[f"{kind}.{name}"] for name in KindArrays.__slots__})
                    for kind in facts.kinds
                }
        except Exception as error:  # zip, zlib, numpy and pydantic each raise their own errors
            raise ValueError(f"This is no atlas: {error!r}") from error
        return cls(facts, arrays)
