"""Names of calibration texts: one text, or a mix of several in the shares that the name gives.

>>> from liar.tasks.mixes import shares_of
>>> [(share.source, share.parts) for share in shares_of("2 wiki + films")]
[('wiki', 2), ('films', 1)]
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import gcd
from typing import Final

from liar.tasks.texts import FILMS, WIKI

OWN_TEXT: Final = "self"
"""Text that the dense language model writes itself, see :mod:`liar.data.own_text`."""
MIXED: Final = " + "
"""Separator between the texts of a mix: ``wiki + films``. A number before a text gives its parts: ``2 wiki + films``."""
RUNNING_TEXT: Final = f"3 {WIKI.id}{MIXED}{FILMS.id}"
"""Text of a recipe for a language model that names none: of those compared on validation windows, the one that loses least on
other text for what it gives up on Wikipedia (docs/results/defaults.md)."""
EMBEDDED_TEXT: Final = f"{WIKI.id}{MIXED}rating"
"""Text of a recipe for an embedder that names none: leads and single sentences (docs/results/embedders.md)."""
MAX_SOURCES = 8

_PARTS = re.compile(r"([1-9][0-9]?)\s+(\S.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Share:
    """``parts`` of a mix are from ``source``."""

    source: str
    parts: int = 1

    def __str__(self) -> str:
        return self.source if self.parts == 1 else f"{self.parts} {self.source}"


def shares_of(calibration: str) -> tuple[Share, ...]:
    """The texts that a name mixes, in its order."""
    return tuple(_share(text.strip()) for text in calibration.split(MIXED))


def sources_of(calibration: str) -> tuple[str, ...]:
    """The texts that a name mixes, without their shares: ``("wiki", "films")`` of ``2 wiki + films``."""
    return tuple(share.source for share in shares_of(calibration))


def name_of(shares: Iterable[Share]) -> str:
    """Inverse of :func:`shares_of`."""
    return MIXED.join(map(str, shares))


def canonical(calibration: str) -> str:
    """The one spelling of a name; raises ``ValueError`` with one sentence for a mix that cannot be."""
    shares = shares_of(calibration)
    if not all(share.source for share in shares):
        raise ValueError(
            "A mix of calibration texts names them all, as in 'wiki + films'; name one on each side of '+'."
        )
    if len(set(sources_of(calibration))) < len(shares):
        raise ValueError(
            f"The calibration text {calibration[:80]!r} names a text twice; name each once, as in '2 wiki + films'."
        )
    if len(shares) > MAX_SOURCES:
        raise ValueError(f"{len(shares)} calibration texts are more than {MAX_SOURCES}, the most at once; name fewer.")
    return name_of(reduced(shares))


def replaced(shares: Iterable[Share], source: str, mix: str) -> tuple[Share, ...]:
    """``shares`` with those of ``mix`` in the place of ``source``; a text that then occurs twice has both shares.

    >>> name_of(replaced(shares_of("auto + self"), "auto", "2 wiki + films"))
    '2 wiki + films + 3 self'
    """
    inner = shares_of(mix)
    whole = sum(share.parts for share in inner)
    parts: Counter[str] = Counter()
    for share in shares:
        for each in inner if share.source == source else [Share(share.source, whole)]:
            parts[each.source] += share.parts * each.parts
    return reduced(Share(name, number) for name, number in parts.items())


def reduced(shares: Iterable[Share]) -> tuple[Share, ...]:
    """The same mix in the smallest numbers of parts."""
    shares = tuple(shares)
    common = gcd(*(share.parts for share in shares))
    return tuple(Share(share.source, share.parts // common) for share in shares)


def _share(text: str) -> Share:
    found = _PARTS.fullmatch(text)
    return Share(found[2], int(found[1])) if found else Share(text)
