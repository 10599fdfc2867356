"""Edits: choices made by hand at single sites, which override criterion and allocation.

An edit is one short text that fits into a URL and a command line. ``layers.3.ffn:ratio=0.2`` removes a fifth of that
site regardless of the allocation (``ratio=0`` keeps it whole), ``layers.0.attention:keep=1,4-6`` never removes those
units, ``layers.0.attention:remove=0`` always removes that one. Units count from 0.

>>> from liar.edits import merge, spans
>>> merged = merge(["layers.0.attention:keep=1,4-6", "layers.0.attention:ratio=0.2"])
>>> merged["layers.0.attention"].ratio, spans(merged["layers.0.attention"].keep)
(0.2, '1,4-6')
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from liar.errors import InvalidSpecError

MAX_EDITS = 200
MAX_UNIT = 1_000_000
MAX_UNITS = 500_000
"""Most units that the edits of a recipe may name: all of a model of seven billion parameters, but few enough for a link
that anyone may open."""

_EDIT = re.compile(r"(layers\.[0-9]{1,4}\.(?:ffn|attention)):(ratio|keep|remove)=([0-9.,\- ]{1,20000})")
_EXAMPLE = "layers.3.ffn:ratio=0.2 or layers.0.attention:keep=1,4-6"
_TOO_MANY = f"The edits name more than {MAX_UNITS:,} units; name fewer."

Range = tuple[int, int]
"""First and last unit, both included."""


@dataclass(frozen=True, slots=True)
class SiteEdit:
    """All edits of one site, merged."""

    ratio: float | None = None
    keep: frozenset[int] = frozenset()
    remove: frozenset[int] = frozenset()


def canonical(edit: str) -> str:
    """Return the canonical spelling of ``edit``; raises :class:`InvalidSpecError` if it is not a valid edit."""
    site, action, value = _parsed(edit)
    return f"{site}:{action}={_decimals(value) if isinstance(value, float) else _written(value)}"


def merge(edits: Iterable[str]) -> dict[str, SiteEdit]:
    """Merge edits by site. A later ratio replaces an earlier one.

    Raises :class:`InvalidSpecError` for an invalid edit, a unit both kept and removed, or more than ``MAX_UNITS``.
    """
    merged: dict[str, SiteEdit] = {}
    named = 0
    for edit in edits:
        site, action, value = _parsed(edit)
        before = merged.get(site, SiteEdit())
        if isinstance(value, float):
            merged[site] = replace(before, ratio=value)
            continue
        named += _size(value)
        if named > MAX_UNITS:
            raise InvalidSpecError(_TOO_MANY)
        units = frozenset(unit for first, last in value for unit in range(first, last + 1))
        merged[site] = replace(before, **{action: getattr(before, action) | units})
    for name, chosen in merged.items():
        if both := chosen.keep & chosen.remove:
            raise InvalidSpecError(f"{name} cannot keep and remove {spans(both)} at once; drop one of the two edits.")
    return merged


def written(site: str, edit: SiteEdit) -> list[str]:
    """The edits of a site as texts, one of each kind at most: the inverse of :func:`merge`."""
    ratio = [] if edit.ratio is None else [f"{site}:ratio={_decimals(edit.ratio)}"]
    units = (("keep", edit.keep), ("remove", edit.remove))
    return ratio + [f"{site}:{action}={spans(named)}" for action, named in units if named]


def flipped(edit: SiteEdit, bundle: Iterable[int], kept: bool) -> SiteEdit:
    """``edit`` but with a bundle, ``kept`` until now, on the other side of the cut: one that was kept goes, and the reverse."""
    units = frozenset(bundle)
    keep, remove = (edit.keep - units, edit.remove | units) if kept else (edit.keep | units, edit.remove - units)
    return SiteEdit(edit.ratio, keep, remove)


def spans(units: Iterable[int]) -> str:
    """Compact text of ``units``: ``{0, 1, 2, 5}`` -> ``0-2,5``."""
    return _written(_joined((unit, unit) for unit in units))


def _parsed(edit: str) -> tuple[str, str, float | list[Range]]:
    """Site, action, and the ratio or the units."""
    found = _EDIT.fullmatch(edit.strip())
    if found is None:
        raise InvalidSpecError(f"{edit.strip()[:80]!r} is no edit; write one such as {_EXAMPLE}.")
    site, action, value = found.groups()
    return site, action, _number(value) if action == "ratio" else _ranges(value)


def _number(text: str) -> float:
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 0.95:
        raise InvalidSpecError(f"The ratio of a site must be a number from 0 to 0.95, not {text.strip()[:20]!r}.")
    return abs(ratio)  # "-0" passes the check


def _decimals(ratio: float) -> str:
    """Format without an exponent, which the syntax of edits does not allow."""
    return f"{ratio:.6f}".rstrip("0").rstrip(".")


def _ranges(text: str) -> list[Range]:
    """Parse a list of units into ascending ranges, not into single units, because a link may name very many."""
    found: list[Range] = []
    for part in text.split(","):
        ends = re.fullmatch(r"\s*(\d{1,7})\s*(?:-\s*(\d{1,7})\s*)?", part)
        if ends is None:
            raise InvalidSpecError(f"{part.strip()[:20]!r} is no unit; write units such as 1,4-6.")
        first, last = int(ends.group(1)), int(ends.group(2) or ends.group(1))
        if not first <= last < MAX_UNIT:
            raise InvalidSpecError(f"{part.strip()[:20]!r} is no range of units; write units such as 1,4-6.")
        found.append((first, last))
    ranges = _joined(found)
    if _size(ranges) > MAX_UNITS:
        raise InvalidSpecError(_TOO_MANY)
    return ranges


def _joined(ranges: Iterable[Range]) -> list[Range]:
    """The same units in ascending ranges that neither overlap nor touch."""
    joined: list[Range] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined


def _size(ranges: Iterable[Range]) -> int:
    return sum(last - first + 1 for first, last in ranges)


def _written(ranges: Iterable[Range]) -> str:
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in ranges)
