"""View: the state of the page except for the recipe, in one frozen object, with its URL form.

Plain data, shared by the page, reports and links; no figure and no model is loaded here.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from liar.choices import Reconstruction
from liar.spec import RECONSTRUCTIONS, PruneSpec

Tab = Literal["layers", "accuracy", "generations", "trade-off", "runs", "take-away"]
Layout = Literal["simple", "full"]
Scale = Literal["log", "linear"]
Colours = Literal["same", "fit"]
"""The same colour scale for all recipes, or one fitted to the errors of the sites."""

Reported = Literal["plain", "norm-aware"]
"""Weighting of the tokens in errors: all alike, or by one over the squared norm of the residual stream."""

DIFFERENCES: dict[str, tuple[Reconstruction, Reconstruction]] = {
    f"{first}-{second}": (first, second) for first, second in combinations(RECONSTRUCTIONS, 2)
}

SHOWS: tuple[str, ...] = ("all", *RECONSTRUCTIONS, *DIFFERENCES)
"""All strips, one of them, or the change of the error from one reconstruction to another."""


PARTS = ("layout", "apply", "verdict", "before-after", "heatmap", "site", "generations")

NAMED = (
    *("model", "targets", "ratio", "layers", "vocabulary", "need", "criterion", "allocation", "edits", "multiple"),
    *("reconstruction", "schedule", "calibration", "tokens", "separator", "seed"),
    *("evaluate", "data", "evaluate-length", "quantize", *PARTS),
)
"""What a link can hide and a lesson can light: the controls of the recipe, and :data:`PARTS` of the page."""


def _hideable(names: str) -> str:
    if unknown := [name for name in names.split(",") if name and name not in NAMED]:
        known = "names of controls and parts of the page such as criterion,heatmap"
        raise PydanticCustomError("hide", known, {"wrong": ",".join(unknown)})
    return names


class View(BaseModel):
    """Choices of what to show. No field name occurs in :class:`liar.spec.PruneSpec`, so one URL can hold both."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tab: Tab = "layers"
    layout: Layout = "simple"
    show: str = Field("all", pattern=f"^({'|'.join(SHOWS)})$")
    scale: Scale = "log"
    weighting: Reported = "plain"
    colours: Colours = "same"
    site: str = Field("", pattern=r"^(layers\.\d{1,4}\.(ffn|attention))?$")
    hide: Annotated[str, AfterValidator(_hideable)] = ""
    beside: str = Field("", pattern=r"^[a-z]{0,20}$")
    """Name of the lesson that is read beside the page."""

    @property
    def strips(self) -> tuple[Reconstruction, ...]:
        """Reconstructions with a strip of their own in the heatmap; empty if a difference is shown."""
        return RECONSTRUCTIONS if self.show == "all" else tuple(name for name in RECONSTRUCTIONS if name == self.show)

    @property
    def difference(self) -> tuple[Reconstruction, Reconstruction] | None:
        return DIFFERENCES.get(self.show)

    def changed(self, **choices: Any) -> View:
        """Copy of this view with other ``choices``; the view itself if one of them is invalid."""
        try:
            return View.model_validate({**self.model_dump(), **choices})
        except ValidationError:
            return self

    def to_query(self) -> str:
        """URL query of the choices that differ from the defaults."""
        return urlencode(self.model_dump(exclude_defaults=True))

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[str, str]]) -> tuple[View, list[str]]:
        """Inverse of :meth:`to_query`, with a sentence about each invalid choice.

        Each choice is validated separately; names that are not fields of a view belong to the recipe and are ignored.
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


def query_of(spec: PruneSpec, view: View) -> str:
    """Query string of a recipe and a view: the address of the page that shows them."""
    return "&".join(query for query in (spec.to_query(), view.to_query()) if query)


_PATTERNS = {
    "show": f"all, {', '.join(RECONSTRUCTIONS)}, or two of them such as none-bias",
    "site": "a site such as layers.3.ffn",
    "beside": "the name of a lesson",
}
"""Words for the fields that have a pattern."""


def _sentence(name: str, value: str, error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    wanted = _PATTERNS.get(name) or first["msg"].removeprefix("Input should be ")
    wrong = first.get("ctx", {}).get("wrong", value)
    return f"{name} should be {wanted}, not {wrong[:80]!r}."
