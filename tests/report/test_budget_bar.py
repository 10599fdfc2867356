"""The bar of a model's parameters agrees with what a run counted, and all of its pieces are the whole model."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from liar.explore.atlas import Atlas
from liar.explore.sizes import Sizes, parameters_left
from liar.report.pages.budget_bar import Part, budget_bar, parts_of, words_of
from liar.results import RunResult
from tests.fakes import run_of_chain
from tests.shipped import shipped_pair

MODELS = ["demo/smollm2-135m", "demo/minilm-sentiment", "demo/minilm"]


@pytest.fixture(params=MODELS)
def pair(request: pytest.FixtureRequest) -> tuple[RunResult, Atlas]:
    return shipped_pair(request.param)


def kept(parts: list[Part]) -> float:
    return sum(part.kept for part in parts)


def test_a_run_has_the_parameters_that_it_counted(pair: tuple[RunResult, Atlas]) -> None:
    run, atlas = pair
    parts = parts_of(run.spec, Sizes.of(atlas.facts), run.sites)
    assert kept(parts) == pytest.approx(run.totals.parameters_after / run.totals.parameters_before, abs=0.002)
    assert kept(parts) + sum(part.gone for part in parts) == pytest.approx(1)
    assert min(min(part.kept, part.gone) for part in parts) >= 0


@pytest.mark.parametrize("layers", [0.0, 0.2])
@pytest.mark.parametrize("targets", ["ffn", "heads", "both"])
def test_a_recipe_without_a_run_has_what_is_counted_for_a_need(
    pair: tuple[RunResult, Atlas], targets: str, layers: float
) -> None:
    run, atlas = pair
    sizes = replace(Sizes.of(atlas.facts), tokens_gone=1_000_000)
    spec = run.spec.model_copy(update={"targets": targets, "layers": layers, "ratio": 0.3})
    parts = parts_of(spec, sizes)
    assert kept(parts) == pytest.approx(parameters_left(spec, sizes, 0.3) / sizes.parameters, abs=0.005)
    assert {part.name for part in parts if part.gone} == {
        "words",
        *(["layers"] if layers else []),
        *{"ffn": ["neurons"], "heads": ["heads"], "both": ["heads", "neurons"]}[targets],
    }


def test_the_words_and_the_pieces_name_each_kind() -> None:
    _, atlas = shipped_pair("demo/smollm2-135m")
    run = run_of_chain()
    parts = parts_of(run.spec, Sizes.of(atlas.facts), run.sites)
    assert re.fullmatch(r"\d+ % of all parameters stay; layers 8 % and neurons \d+ % go\.", words_of(parts))
    bar = budget_bar(parts)
    assert bar.count('class="kept"') == 3
    assert bar.count('class="gone"') == 2
    assert words_of([Part("words", 1.0, 0.0)]) == "100 % of all parameters stay."
