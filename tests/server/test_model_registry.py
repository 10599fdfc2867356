"""The bounded registry of models that all sessions share."""

from __future__ import annotations

from threading import Event, Thread
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from liar.errors import InvalidSpecError, ModelNotFoundError
from liar.spec import PruneSpec
from server.model_registry import ModelRegistry


class Loader:
    """Loader of models of a thousand bytes; ``asked`` lists the requested ones."""

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


def test_what_was_not_used_for_longest_goes_first(loader: Loader) -> None:
    registry = ModelRegistry(2_500, loader)
    assert get(registry, "a") is get(registry, "a"), "loaded once"
    for model in ("b", "a", "c", "a", "b"):
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


def left_over(dense: Any, size: int = 700) -> Any:
    return SimpleNamespace(dense=dense, bytes=size)


def test_variants_are_found_by_the_key_of_their_run(loader: Loader) -> None:
    registry = ModelRegistry(10_000, loader)
    first, second = left_over(None), left_over(None)
    registry.keep("run", first)
    assert cast(Any, registry.variants("run")) is first
    registry.keep("run", second)
    assert cast(Any, registry.variants("run")) is second
    assert registry.variants("another") is None


def test_models_and_variants_share_one_bound(loader: Loader) -> None:
    registry = ModelRegistry(2_500, loader)
    registry.keep("run", left_over(None))
    get(registry, "a")
    assert registry.variants("run") is not None
    get(registry, "b")  # 2,700 bytes
    assert registry.variants("run") is not None
    assert loader.asked == ["a", "b"]
    get(registry, "a")
    assert loader.asked == ["a", "b", "a"]


def test_a_dense_model_counts_once_and_goes_after_its_variants(loader: Loader) -> None:
    registry = ModelRegistry(2_500, loader)
    dense = get(registry, "a")
    registry.keep("old", left_over(dense))
    registry.keep("new", left_over(dense))  # 2,400 bytes in all
    assert registry.variants("old") is not None
    get(registry, "b")  # both variants go, since they hold "a": dropping "a" alone would free nothing
    assert registry.variants("new") is None
    assert registry.variants("old") is None
    assert get(registry, "a") is dense
    assert loader.asked == ["a", "b"]


def test_the_variants_of_the_run_just_finished_stay_with_their_dense_model(loader: Loader) -> None:
    registry = ModelRegistry(1_500, loader)
    dense = get(registry, "a")
    registry.keep("run", left_over(dense, 5_000))
    assert registry.variants("run") is not None
    assert get(registry, "a") is dense
    assert loader.asked == ["a"]


def test_what_is_in_memory_does_not_wait_for_what_is_loading() -> None:
    loading, go_on = Event(), Event()

    def slow(model: str, device: str, dtype: str) -> Any:
        loading.set()
        go_on.wait(10)
        return SimpleNamespace(id=model, model=torch.nn.Linear(1, 1))

    registry = ModelRegistry(10_000, slow)
    registry.keep("run", left_over(None))
    thread = Thread(target=get, args=(registry, "a"))
    thread.start()
    assert loading.wait(10)
    assert registry.variants("run") is not None  # would block if it waited for the load
    go_on.set()
    thread.join(10)
    assert get(registry, "a").id == "a"


def calibration(size: int, refusal: str = "") -> Any:
    def check(*_: object) -> None:
        if refusal:
            raise InvalidSpecError(refusal)

    return SimpleNamespace(bytes=size, check=check)


def test_a_calibration_is_kept_where_room_is_left_and_given_to_runs_that_it_suits(loader: Loader) -> None:
    registry = ModelRegistry(2_500, loader)

    def kept() -> object:
        return registry.calibration_for(PruneSpec(), cast(Any, SimpleNamespace()))

    assert kept() is None
    get(registry, "a")
    fits, other = calibration(1_000), calibration(1_000, "It is of another text; calibrate this one.")
    registry.keep_calibration(fits)
    assert kept() is fits
    registry.keep_calibration(other)
    assert kept() is None
    registry.keep_calibration(calibration(1_600))
    assert kept() is None, "too large beside the model"
    registry.keep_calibration(fits)
    get(registry, "b")
    assert kept() is None, "models go first"
    get(registry, "a")
    assert loader.asked == ["a", "b"]
