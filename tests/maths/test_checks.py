"""Tensors of another kind than asked for: one sentence each, with what was given and what is wanted."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from liar.errors import InvalidSpecError
from liar.maths.moments import Moments
from liar.maths.reconstruct import reconstruct, reconstruct_all

ROWS = torch.randn(60, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
GOOD = {
    "moments": Moments.of(ROWS),
    "weight": torch.ones(6, 2, dtype=torch.float64),
    "kept": torch.tensor([0, 1, 4, 5]),
}


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"moments": ROWS}, r"The moments are a tensor \(60, 6\) of float64; give what Moments\.of\(rows\) returns\."),
        ({"weight": [[1.0]]}, "The weight is of type list, and the moments are of 6 channels; give a tensor of floats"),
        ({"weight": torch.ones(2, 6)}, r"The weight is a tensor \(2, 6\) of float32.*\(6, outputs\), which is linear"),
        ({"weight": torch.ones(6, 2, dtype=torch.int64)}, r"The weight is a tensor \(6, 2\) of int64"),
        ({"kept": [0, 1]}, "The kept channels are of type list; give their numbers as a tensor"),
        (
            {"kept": torch.ones(6, dtype=torch.bool)},
            r"a tensor \(6,\) of bool; .* such as mask\.nonzero\(\)\.flatten\(\)",
        ),
        ({"kept": torch.tensor([0.0, 1.0])}, r"The kept channels are a tensor \(2,\) of float32"),
        ({"kept": torch.tensor([[0], [1]])}, r"The kept channels are a tensor \(2, 1\) of int64"),
        ({"kept": torch.tensor([0, 6])}, "The kept channels are 0 to 6; give numbers from 0 to 5"),
        ({"kept": torch.tensor([-1, 0])}, "The kept channels are -1 to 0; give numbers from 0 to 5"),
        ({"kept": torch.tensor([0, 1, 1])}, "name 2 channels 3 times; name each of them once"),
        ({"kept": torch.tensor([1, 2]), "bundle_size": 2}, "2 that are no whole bundles of 2"),
        ({"kept": torch.tensor([0, 1, 2]), "bundle_size": 2}, "3 that are no whole bundles of 2"),
        ({"bundle_size": 4}, "bundle_size is 4; give a whole number that divides 6 channels"),
        ({"ridge": -0.1}, r"The ridge is -0\.1; give a number of at least 0"),
        ({"ridge": float("nan")}, "The ridge is nan; give a number of at least 0"),
        ({"ridge": "much"}, "The ridge is 'much'; give a number"),
        (
            {"method": "lasso"},
            "There is no reconstruction 'lasso'; choose one of: none, bias, scale, liar, least-squares",
        ),
        ({"method": None}, "There is no reconstruction None"),
    ],
)
def test_what_no_repair_can_read_is_refused(wrong: dict[str, Any], sentence: str) -> None:
    assert reconstruct(**GOOD).weight.shape == (4, 2)  # type: ignore[arg-type]
    with pytest.raises(InvalidSpecError, match=sentence):
        reconstruct(**{**GOOD, **wrong})


def test_every_reconstruction_is_asked_for_once_also_by_an_iterator() -> None:
    assert list(reconstruct_all(*GOOD.values(), iter(("bias", "liar")))) == ["bias", "liar"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "weights", "sentence"),
    [
        ([[1.0, 2.0]], None, r"The rows are of type list; give a tensor \(tokens, channels\)"),
        (torch.ones(3), None, r"The rows are a tensor \(3,\) of float32"),
        (torch.ones(2, 3, 4), None, r"a tensor \(2, 3, 4\) of float32; give .* such as x\.flatten\(0, -2\)\."),
        (torch.ones(3, 4, dtype=torch.complex64), None, "complex64"),
        (torch.ones(3, 4), torch.ones(4), r"The weights of the rows are a tensor \(4,\) of float32; .* each of 3 rows"),
        (torch.ones(3, 4), [1, 1, 1], "The weights of the rows are of type list"),
        (torch.ones(3, 4), torch.tensor([1.0, -1.0, 1.0]), "one number of at least 0"),
    ],
)
def test_rows_that_have_no_moments_are_refused(rows: Any, weights: Any, sentence: str) -> None:
    with pytest.raises(InvalidSpecError, match=sentence):
        Moments.of(rows, weights)
