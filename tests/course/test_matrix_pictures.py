"""Drawings of matrices: to scale, of the sizes of the model, and with what is cut out of each."""

from __future__ import annotations

import re

import pytest

from liar.course.figures import Known, Shelf
from liar.course.matrix_pictures import cuts, product, stacks, units
from tests.course_lessons import named

SHELF = Shelf()


def rects(svg: str) -> list[tuple[str, float, float, float, float]]:
    """Class, place and size of each rectangle."""
    found = re.findall(r'<rect class="(\w*)" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', svg)
    return [(name, *map(float, sizes)) for name, *sizes in found]  # type: ignore[misc]


def shown(lesson: str, which: str) -> dict[str, Known]:
    """Figures of a picture by their labels."""
    found = named(lesson)
    known = found.known(SHELF)
    return {label: known[name] for label, name in getattr(found, which).shown.items()}


def test_a_neuron_is_a_row_and_a_column_and_a_head_three_of_rows_and_one_of_columns() -> None:
    figures = shown("units", "unit_picture")
    facts = SHELF.atlas("demo/minilm-topic").facts.kinds
    assert figures["neurons"].value == facts["ffn"].units
    assert figures["heads"].value * figures["channels"].value == facts["attention"].units * facts["attention"].unit_size
    drawn = rects(units(figures))
    whole, gone = [each for each in drawn if not each[0]], [each for each in drawn if each[0]]
    assert len(whole) == len(gone) == 6
    for (_, x, y, width, height), (name, left, top, wide, high) in zip(whole, gone, strict=True):
        assert name == "gone"
        assert x <= left
        assert y <= top
        assert left + wide <= x + width + 0.1
        assert top + high <= y + height + 0.1
    is_row = [wide == width for (*_, width, _), (*_, wide, _) in zip(whole, gone, strict=True)]
    assert is_row == [True, False, True, True, True, False]
    (*_, width, height), (*_, wide, high) = whole[0], whole[1]
    assert width / height == pytest.approx(high / wide) == pytest.approx(384 / 1536, abs=0.01)
    assert gone[2][4] / whole[2][4] == pytest.approx(1 / figures["heads"].value, abs=0.01)


def test_a_product_is_to_scale() -> None:
    figures = shown("repair", "formula_picture")
    drawn = rects(product(figures))
    for row, known in enumerate(figures.values()):
        kept, removed, outputs = known.value
        for (*_, wide, high), size in zip(
            drawn[4 * row : 4 * row + 4],
            ((outputs, kept), (removed, kept), (outputs, removed), (outputs, kept)),
            strict=True,
        ):
            assert wide / high == pytest.approx(size[0] / size[1], abs=0.02)


def test_the_blocks_of_a_cut_covariance_fill_it() -> None:
    figures = shown("curves", "formula_picture")
    svg = cuts(figures)
    for place, (share, error) in enumerate(figures["error"].value):
        blocks = rects(svg)[4 * place : 4 * place + 4]
        areas = [wide * high for *_, wide, high in blocks]
        assert areas[3] / sum(areas) == pytest.approx(share**2, abs=0.01)
        assert f"error {error:.2f}" in svg


def test_a_bar_is_as_long_as_its_parts() -> None:
    figures = shown("sum", "formula_picture")
    drawn = rects(stacks(figures))
    layers = len(drawn) // len(figures)
    lengths = [sum(wide for *_, wide, _ in drawn[row * layers : (row + 1) * layers]) for row in range(len(figures))]
    sums = [sum(known.value) for known in figures.values()]
    assert lengths[1] / lengths[0] == pytest.approx(sums[1] / sums[0], abs=0.01)
    assert lengths[2] / lengths[0] == pytest.approx(sums[2] / sums[0], abs=0.01)
