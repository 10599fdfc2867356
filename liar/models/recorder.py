"""Modules that take the place of others during one forward."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from torch import Tensor, nn


class Recorder(nn.Module):
    """Replacement for a block: records the arguments of its call and returns the hidden states unchanged, or others that it
    ``gives``.

    ``context`` has the arguments by name, but for the hidden states, however the family passes them. ``gives_tuple``: the block
    returns a tuple that begins with the hidden states.
    """

    def __init__(self, block: nn.Module, gives_tuple: bool, gives: Tensor | None = None) -> None:
        super().__init__()
        object.__setattr__(self, "_block", block)  # not a submodule, so its parameters are not moved or counted
        self._gives_tuple, self._gives = gives_tuple, gives
        _, self._first, *self._names = inspect.signature(type(block).forward).parameters
        self.hidden: Tensor | None = None
        self.context: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_block"], name)  # a recorder has no parameters or modules of its own

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        hidden, *rest = args if args else (kwargs.pop(self._first),)
        self.hidden = hidden
        self.context = {**kwargs, **dict(zip(self._names, rest, strict=False))}
        hidden = hidden if self._gives is None else self._gives
        return (hidden, None) if self._gives_tuple else hidden


def bypassed(parent: nn.Module, name: str) -> AbstractContextManager[None]:
    """Replace ``parent.name`` by an identity inside the context."""
    return replaced(parent, name, nn.Identity())


@contextmanager
def replaced(parent: nn.Module, name: str, module: nn.Module) -> Iterator[None]:
    """Replace ``parent.name`` by ``module`` inside the context."""
    original = getattr(parent, name)
    setattr(parent, name, module)
    try:
        yield
    finally:
        setattr(parent, name, original)
