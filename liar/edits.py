"""Edits: what somebody decided by hand, on top of what criterion and allocation say.

An edit is one short text, so that it fits into an address and a command line: ``layers.3.ffn:ratio=0.2`` removes a fifth
of that site whatever the allocation says (``ratio=0`` keeps it whole), ``layers.0.attention:keep=1,4-6`` never removes
those units, ``layers.0.attention:remove=0`` removes them first. Units count from 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from liar.errors import InvalidSpecError

MAX_EDITS = 200
MAX_UNIT = 1_000_000
MAX_UNITS = 200_000
"""Units that one edit may name: more than any layer has, and few enough for an address that anybody may open."""

_EDIT = re.compile(r"(layers\.\d{1,4}\.(?:ffn|attention)):(ratio|keep|remove)=([0-9.,\- ]{1,20000})")
_EXAMPLE = "layers.3.ffn:ratio=0.2 or layers.0.attention:keep=1,4-6"


@dataclass(frozen=True, slots=True)
class SiteEdit:
    """All edits of one site, merged."""

    ratio: float | None = None
    keep: frozenset[int] = frozenset()
    remove: frozenset[int] = frozenset()


def canonical(edit: str) -> str:
    """The one spelling of an edit; raises ``ValueError`` for what is none."""
    site, action, value = _split(edit)
    return f"{site}:{action}={_number(value):g}" if action == "ratio" else f"{site}:{action}={spans(_units(value))}"


def merge(edits: Iterable[str]) -> dict[str, SiteEdit]:
    """Edits by site. A later ratio replaces an earlier one; a unit that is both kept and removed is refused.

    Raises :class:`InvalidSpecError`.
    """
    merged: dict[str, SiteEdit] = {}
    for edit in edits:
        try:
            site, action, value = _split(edit)
            before = merged.get(site, SiteEdit())
            if action == "ratio":
                merged[site] = SiteEdit(_number(value), before.keep, before.remove)
            elif action == "keep":
                merged[site] = SiteEdit(before.ratio, before.keep | _units(value), before.remove)
            else:
                merged[site] = SiteEdit(before.ratio, before.keep, before.remove | _units(value))
        except ValueError as error:
            raise InvalidSpecError(str(error)) from None
    for name, chosen in merged.items():
        if both := chosen.keep & chosen.remove:
            raise InvalidSpecError(f"{name} shall keep and remove {spans(both)} at once; drop one of the two edits.")
    return merged


def spans(units: Iterable[int]) -> str:
    """``{0, 1, 2, 5}`` -> ``0-2,5``."""
    parts: list[str] = []
    first = last = None
    for unit in [*sorted(units), None]:
        if unit is not None and last is not None and unit == last + 1:
            last = unit
            continue
        if first is not None:
            parts.append(f"{first}" if first == last else f"{first}-{last}")
        first = last = unit
    return ",".join(parts)


def _split(edit: str) -> tuple[str, str, str]:
    found = _EDIT.fullmatch(edit.strip())
    if found is None:
        raise ValueError(f"{edit.strip()[:80]!r} is no edit; write one such as {_EXAMPLE}.")
    return found.group(1), found.group(2), found.group(3)


def _number(text: str) -> float:
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 0.95:
        raise ValueError(f"The ratio of a site must be a number from 0 to 0.95, not {text.strip()[:20]!r}.")
    return ratio


def _units(text: str) -> frozenset[int]:
    units: set[int] = set()
    named = 0
    for part in text.split(","):
        ends = re.fullmatch(r"\s*(\d{1,7})\s*(?:-\s*(\d{1,7})\s*)?", part)
        if ends is None:
            raise ValueError(f"{part.strip()[:20]!r} is no unit; write units such as 1,4-6.")
        first, last = int(ends.group(1)), int(ends.group(2) or ends.group(1))
        if not first <= last < MAX_UNIT:
            raise ValueError(f"{part.strip()[:20]!r} is no range of units; write units such as 1,4-6.")
        named += last - first + 1
        if named > MAX_UNITS:
            raise ValueError(f"An edit names at most {MAX_UNITS:,} units; name fewer.")
        units.update(range(first, last + 1))
    return frozenset(units)
