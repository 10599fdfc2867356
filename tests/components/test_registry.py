"""One bounded registry serves everybody."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from components.registry import ModelRegistry
from liar.errors import ModelNotFoundError


class Loader:
    """Makes models of a thousand bytes and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, model: str, device: str, dtype: str) -> Any:
        self.asked.append(model)
        if model == "missing":
            raise ModelNotFoundError("There is no such model; choose another.")
        return SimpleNamespace(id=model, model=torch.nn.Linear(250, 1, bias=False))


@pytest.fixture
def loader() -> Loader:
    return Loader()


def get(registry: ModelRegistry, model: str) -> Any:
    return cast(Any, registry.get(model, "cpu", "float32"))


def test_a_model_is_loaded_once(loader: Loader) -> None:
    registry = ModelRegistry(10_000, loader)
    assert get(registry, "a") is get(registry, "a")
    assert loader.asked == ["a"]


def test_what_was_not_used_for_longest_goes_first(loader: Loader) -> None:
    registry = ModelRegistry(2_500, loader)
    for model in ("a", "b", "a", "c", "a", "b"):
        get(registry, model)
    assert loader.asked == ["a", "b", "c", "b"]


def test_a_model_above_the_bound_is_served_all_the_same(loader: Loader) -> None:
    registry = ModelRegistry(10, loader)
    assert get(registry, "a").id == "a"


def test_a_failure_is_passed_on_and_not_remembered(loader: Loader) -> None:
    registry = ModelRegistry(10_000, loader)
    for _ in range(2):
        with pytest.raises(ModelNotFoundError):
            get(registry, "missing")
    assert loader.asked == ["missing", "missing"]
