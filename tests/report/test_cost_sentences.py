"""Rows and sentences about what pruning saved: every figure has its unit, every missing gain its reason."""

from __future__ import annotations

from typing import Any

import pytest

from liar.report.words.cost_sentences import rows, sentences
from liar.results import Workload
from tests.fakes import costs, costs_result, turns


def test_every_cost_is_a_row_with_its_unit() -> None:
    assert rows(costs_result()) == [
        ("parameters", "130.0 M", "91.0 M", "\N{MINUS SIGN}30 %"),
        ("MACs a token, 256 in sight", "140.0 M", "105.0 M", "\N{MINUS SIGN}25 %"),
        ("bytes in memory", "520.0 MB", "364.0 MB", "\N{MINUS SIGN}30 %"),
        ("bytes on disk", "520.0 MB", "364.0 MB", "\N{MINUS SIGN}30 %"),
        ("tokens a second, reading 256", "100 (99 to 101)", "140 (130 to 150)", "1.40 x (1.30 to 1.50)"),
        ("tokens a second, writing 32 after 256", "100 (99 to 101)", "120 (110 to 125)", "1.20 x (1.10 to 1.25)"),
    ]


def test_both_models_have_the_unit_of_the_larger() -> None:
    small = costs_result().model_copy(update={"dense": costs(macs=1_030_000), "pruned": costs(macs=589_900)})
    assert next(row for row in rows(small) if row[0].startswith("MACs"))[1:3] == ("1.03 M", "0.59 M")


def test_texts_are_counted_as_texts() -> None:
    one, many = rows(costs_result(turns("text", 1, 1.28, 2), turns("batch", 1, 2.56, 3)))[-2:]
    assert one[:3] == ("texts of 256 tokens a second", "0.4 (0.4 to 0.4)", "0.5 (0.4 to 0.8)")
    assert many[::2] == ("the same, 16 at once", "1.0 (0.4 to 1.2)")


def test_what_was_never_saved_has_no_bytes_on_disk() -> None:
    result = costs_result(bytes_on_disk=None)
    assert ("bytes on disk", "520.0 MB", "—", "—") in rows(result)
    nowhere = result.model_copy(update={"dense": costs()})
    assert "bytes on disk" not in [name for name, *_ in rows(nowhere)]


def test_a_gain_is_stated_without_a_reason() -> None:
    assert sentences(costs_result()) == [
        "Fewer parameters (30 %), multiplications a token (25 %), bytes in memory (30 %).",
        "1.40 times as fast at reading a prompt.",
        "1.20 times as fast at writing.",
    ]


@pytest.mark.parametrize(
    ("work", "facts", "reason"),
    [
        ("prompt", {"macs": 136_500_000}, "differ by more than 3 % fewer multiplications can bring"),
        ("text", {"rounded": True}, "weights of eight bits are turned back before every product"),
        ("decoding", {}, "its 30 layers each cost a fixed time"),
        ("text", {}, "its 30 layers each cost a fixed time"),
        ("prompt", {}, "elsewhere than into the layers that became narrower"),
        ("decoding", {"widths": [576, 701, 768]}, "1 of its 3 widths (701) is no multiple of 8"),
        ("prompt", {"macs": 139_000_000}, "it multiplies hardly less than the dense one"),
    ],
    ids=["few", "int8", "decoding", "one text", "elsewhere", "widths", "no fewer"],
)
def test_no_gain_has_a_reason(work: Workload, facts: dict[str, Any], reason: str) -> None:
    words = sentences(costs_result(turns(work, 0.98, 1.0, 1.03), **facts))[1]
    assert words.startswith("Not measurably faster")
    assert reason in words


def test_a_loss_is_called_one() -> None:
    words = sentences(costs_result(turns("decoding", 0.75, 0.8, 0.85)))[1]
    assert words.startswith("Slower (0.80 times as fast) at writing: ")


@pytest.mark.parametrize("speed", [turns("prompt", 0.8, 1.0, 1.4), turns("prompt", 1.1, 1.7, 2.3)])
def test_a_noisy_machine_gives_no_figure(speed: Any) -> None:
    words = sentences(costs_result(speed))[1]
    assert words.startswith("How fast it is at reading a prompt is not known: half of the turns lie between")
    assert "a machine that does nothing else" in words


def test_embeddings_that_dominate_are_named() -> None:
    words = sentences(costs_result(parameters=50_000_000))[-1]
    assert words == "Embeddings, which pruning leaves alone, are 60 % of what is left, so little more can go."


def test_a_model_beside_itself_saves_nothing() -> None:
    result = costs_result(turns("prompt", 0.99, 1.0, 1.01), parameters=130_000_000, macs=140_000_000)
    assert sentences(result) == [
        "Nothing was saved: both models are of one size.",
        "Not measurably faster at reading a prompt: it multiplies hardly less than the dense one.",
    ]
