"""Site: one place of a model where units are removed. Plain numbers, without torch or a model.

>>> from liar.sites import Site
>>> site = Site(layer=3, kind="attention", units=9, unit_size=64, group=3)
>>> site.name, site.channels, site.bundles
('layers.3.attention', 576, 3)
"""

from __future__ import annotations

from dataclasses import dataclass

from liar.spec import SiteKind


@dataclass(frozen=True, slots=True)
class Site:
    """One place where units are removed: ``units`` neurons (or query heads) of ``unit_size`` channels each.

    ``group`` units are removed together: with grouped-query attention, all query heads of one key/value head, so that
    the result keeps a legal shape. In a run that has removed layers, ``origin`` is the number of this one in the dense model,
    by which the site is named; None if no layer went.
    """

    layer: int
    kind: SiteKind
    units: int
    unit_size: int = 1
    group: int = 1
    origin: int | None = None

    @property
    def dense_layer(self) -> int:
        """Number of its layer in the dense model."""
        return self.layer if self.origin is None else self.origin

    @property
    def name(self) -> str:
        return f"layers.{self.dense_layer}.{self.kind}"

    @property
    def channels(self) -> int:
        """Width of the consumer's input."""
        return self.units * self.unit_size

    @property
    def bundles(self) -> int:
        """Number of bundles: groups of units that are removed together."""
        return self.units // self.group

    @property
    def bundle_size(self) -> int:
        """Channels of one bundle."""
        return self.group * self.unit_size
