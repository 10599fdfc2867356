"""Items of evaluations that are not texts with a label."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Choices:
    """Contexts, the possible endings of each, and in ``right`` the position of the ending that is right.

    An ending follows its context as it is, so it has a leading space if it begins with a word. Contexts may differ in
    the number of their endings. ``available`` is the number of items in the source, None if unknown.
    """

    contexts: list[str]
    endings: list[tuple[str, ...]]
    right: list[int]
    available: int | None = None

    def __len__(self) -> int:
        return len(self.contexts)

    def first(self, count: int | None) -> Choices:
        """The first ``count`` items; all of them if it is None."""
        return replace(self, contexts=self.contexts[:count], endings=self.endings[:count], right=self.right[:count])
