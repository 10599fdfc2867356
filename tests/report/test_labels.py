"""The labels of two runs in a list show every choice in which the runs differ."""

from __future__ import annotations

from typing import Any

import pytest

from liar.report.words.run_labels import run_labels, short_recipe
from liar.spec import PruneSpec


def test_runs_are_labelled_by_what_distinguishes_them() -> None:
    specs = [
        PruneSpec(seed=3),
        PruneSpec(tokens=4096),
        PruneSpec(calibration="letters.txt", tokens=4096),
        PruneSpec(ratio=0.2, seed=3),
        PruneSpec(model="demo/minilm"),
    ]
    short = short_recipe(PruneSpec())
    choices = "kfac, loss-curve, least-squares, corrective"
    assert short == f"50 % of neurons: {choices}"
    assert run_labels(specs) == [
        f"50 % of neurons, the default text, tokens by model width, seed 3: {choices}",
        f"50 % of neurons, the default text, 4,096 tokens, seed 0: {choices}",
        f"50 % of neurons, text letters.txt, 4,096 tokens, seed 0: {choices}",
        short_recipe(PruneSpec(ratio=0.2)),
        short,
    ]
    assert run_labels([PruneSpec(), PruneSpec()]) == [short, short], "the same run is no other run"


OTHERS: list[dict[str, Any]] = [
    *({"calibration": "x"}, {"tokens": 5}, {"seed": 5}, {"sequence_length": 5}, {"multiple": 5}, {"ratio": 0.501}),
    *({"device": "cpu"}, {"dtype": "bfloat16"}, {"evaluate": ("topic",)}, {"evaluate_limit": 5}, {"quantize": "int8"}),
    *({"edits": ("layers.0.ffn:ratio=0",)}, {"edits": ("layers.1.ffn:ratio=0",)}),
]


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_whatever_differs_is_seen(other: dict[str, Any]) -> None:
    first = PruneSpec(edits=("layers.2.ffn:ratio=0",)) if "edits" in other else PruneSpec()
    one, two = run_labels([first, first.model_copy(update=other)])
    assert one != two


def test_a_label_names_the_schedule_as_it_is_done() -> None:
    assert short_recipe(PruneSpec(reconstruction="bias")).endswith("bias, sequential")
    assert short_recipe(PruneSpec(reconstruction="least-squares")).endswith("least-squares, corrective")
