"""A family is let in by its own forward: the walk over its blocks equals it, or is refused in words."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from liar.errors import UnsupportedModelError
from liar.models.families import adapt
from liar.models.self_check import check_walk, largest_difference
from tests.families import BUILDERS, build


@pytest.mark.parametrize("name", BUILDERS)
def test_the_walk_of_each_family_is_its_forward(name: str) -> None:
    adapter = adapt(build(name))
    assert check_walk(adapter)
    assert largest_difference(adapter) < 1e-12


def test_a_residual_that_is_scaled_is_refused_by_layer() -> None:
    model = build("llama")
    block: Any = model.model.layers[1]
    block.register_forward_hook(lambda _module, _arguments, output: output * 0.22)
    with pytest.raises(UnsupportedModelError, match=r"Behind layer 1 .* by .* where 0.0001 may be rounding"):
        check_walk(adapt(model))


def test_a_model_that_gives_no_numbers_is_left_to_those_who_name_the_weight() -> None:
    model = build("llama")
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight[0, 0] = torch.nan
    assert not check_walk(adapt(model))
    assert check_walk(adapt(build("llama")))
