"""View: everything of what one sees that is not the recipe, in one frozen object, with its URL form.

Plain data, so that the page, reports and links share it; no figure and no model is loaded here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from liar.spec import RECONSTRUCTIONS, Reconstruction

Tab = Literal["layers", "accuracy", "generations", "trade-off", "runs", "take-away"]
Layout = Literal["simple", "full"]
Scale = Literal["log", "linear"]
Colours = Literal["same", "fit"]
"""One colour scale for whatever is shown, or one whose ends are those of the errors shown."""

Reported = Literal["plain", "norm-aware"]
"""The errors that a site reports: every token weighs alike, or by one over the squared norm of its residual stream."""

Show = Literal[
    "all",
    "none",
    "bias",
    "liar",
    "least-squares",
    "none-bias",
    "none-liar",
    "none-least-squares",
    "bias-liar",
    "bias-least-squares",
    "liar-least-squares",
]
"""Four strips, one of them, or how the error changes from the first to the second of two reconstructions."""

DIFFERENCES: dict[str, tuple[Reconstruction, Reconstruction]] = {
    f"{first}-{second}": (first, second) for first, second in combinations(RECONSTRUCTIONS, 2)
}

SITE_PATTERN = r"^(layers\.\d{1,4}\.(ffn|attention))?$"


@dataclass(frozen=True, slots=True)
class HeatmapView:
    """How a heatmap looks at its sites."""

    show: Show = "all"
    weighting: Reported = "plain"
    scale: Scale = "log"
    colours: Colours = "same"

    @property
    def strips(self) -> tuple[Reconstruction, ...]:
        """The reconstructions that have a strip of their own; none when a difference is shown."""
        return RECONSTRUCTIONS if self.show == "all" else tuple(name for name in RECONSTRUCTIONS if name == self.show)

    @property
    def difference(self) -> tuple[Reconstruction, Reconstruction] | None:
        return DIFFERENCES.get(self.show)


class View(BaseModel):
    """What a visitor looks at. No name is one of :class:`liar.spec.PruneSpec`, so both share one address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tab: Tab = "layers"
    layout: Layout = "simple"
    show: Show = "all"
    scale: Scale = "log"
    weighting: Reported = "plain"
    colours: Colours = "same"
    site: str = Field("", pattern=SITE_PATTERN)

    @property
    def heatmap(self) -> HeatmapView:
        return HeatmapView(self.show, self.weighting, self.scale, self.colours)

    def changed(self, **choices: Any) -> View:
        """This view with other ``choices``; itself where one of them is none."""
        try:
            return View.model_validate({**self.model_dump(), **choices})
        except ValidationError:
            return self

    def to_query(self) -> str:
        """URL query of the choices that differ from the defaults."""
        fields = type(self).model_fields
        return urlencode({name: value for name, value in self if value != fields[name].default})

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[str, str]]) -> tuple[View, list[str]]:
        """Inverse of :meth:`to_query`, and a sentence about each choice that cannot be followed.

        Each choice stands by itself, so one that is nonsense leaves the others as they are; names of no choice of a view
        belong to the recipe and are passed over.
        """
        good: dict[str, Any] = {}
        complaints: list[str] = []
        for name, value in pairs:
            if name not in cls.model_fields:
                continue
            try:
                cls.model_validate({name: value})
                good[name] = value
            except ValidationError as error:
                complaints.append(_sentence(name, value, error))
        return cls.model_validate(good), complaints


def _sentence(name: str, value: str, error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    wanted = "a site such as layers.3.ffn" if name == "site" else first["msg"].removeprefix("Input should be ")
    return f"{name} should be {wanted}, not {value[:80]!r}."
