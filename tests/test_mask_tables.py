"""Mask tables are stored by recipe, extended cell by cell, and never merged with those of another machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from liar.results import MaskCell, MaskTable
from liar.spec import PruneSpec
from liar.store import MaskTableStore, spec_of_table


def cell(criterion: Any = "wanda", error: float = 0.2, **more: Any) -> MaskCell:
    return MaskCell(criterion=criterion, reconstruction="liar", error=error, **more)


def table(*cells: MaskCell, **facts: Any) -> MaskTable:
    return MaskTable(
        **{"spec": spec_of_table(PruneSpec()), "cells": list(cells), "environment": {"torch": "1"}, **facts}
    )


@pytest.fixture
def store(tmp_path: Path) -> MaskTableStore:
    return MaskTableStore(tmp_path / "mask-tables")


def test_a_recipe_finds_its_table_by_the_choices_that_matter(store: MaskTableStore) -> None:
    kept = table(cell())
    store.save(kept)
    for choices in ({}, {"criterion": "taylor"}, {"schedule": "one-shot"}, {"quantize": "int8"}):
        assert store.find(PruneSpec.create(**choices)) == kept
    for choices in ({"ratio": 0.3}, {"reconstruction": "bias"}, {"edits": ("layers.0.ffn:ratio=0",)}):
        assert store.find(PruneSpec.create(**choices)) is None


def test_a_recipe_that_names_the_task_of_its_model_finds_it_too(store: MaskTableStore) -> None:
    store.save(table(cell(task="topic", value=0.9, stderr=0.01, n=100)))
    assert store.find(PruneSpec(evaluate=("topic",))) is not None
    assert store.find(PruneSpec(evaluate=("sentiment",))) is None


def test_cells_join_those_of_the_same_recipe_and_machine() -> None:
    older = table(cell("wanda", 0.1), cell("obs", 0.3))
    newer = table(cell("wanda", 0.2)).joined(older)
    assert {(item.criterion, item.error) for item in newer.cells} == {("wanda", 0.2), ("obs", 0.3)}
    for facts in ({"environment": {"torch": "2"}}, {"spec": PruneSpec(ratio=0.3)}):
        alone = table(cell("wanda", 0.2), **facts)
        assert alone.joined(older) == alone


@pytest.mark.parametrize("key", ["0" * 64, "", "../secret", "**/*"])
def test_a_missing_table_is_none(store: MaskTableStore, key: str) -> None:
    assert store.load(key) is None


def test_a_damaged_table_counts_as_none(store: MaskTableStore) -> None:
    path = store.save(table(cell()))
    path.write_text(path.read_text()[:40])
    assert store.find(PruneSpec()) is None
