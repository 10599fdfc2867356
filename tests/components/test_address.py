"""A link opens what it describes; nonsense in it opens a valid page and a sentence."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from components.address import read_address
from liar.spec import PruneSpec


def test_the_bare_address_asks_for_nothing() -> None:
    assert read_address([]) == (None, None)
    assert read_address([("__theme", "dark")]) == (None, None)


def test_a_link_holds_the_whole_spec() -> None:
    spec = PruneSpec.create(
        model="demo/minilm-topic",
        targets="both",
        criterion="obs",
        ratio=0.35,
        allocation="global",
        reconstruction="liar",
        schedule="one-shot",
        tokens=4096,
        seed=11,
        evaluate=("topic",),
    )
    assert read_address(parse_qsl(spec.to_query())) == (spec, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ratio", "99"),
        ("ratio", "nan"),
        ("criterion", "<script>alert(1)</script>"),
        ("seed", "-1"),
        ("nonsense", "1"),
        ("model", "x" * 10_000),
    ],
)
def test_what_cannot_be_followed_is_left_out_and_said(name: str, value: str) -> None:
    spec, complaint = read_address([("targets", "heads"), (name, value)])
    assert spec == PruneSpec(targets="heads")
    assert complaint
    assert len(complaint) < 400


def test_nothing_but_nonsense_is_a_sentence_and_no_spec() -> None:
    spec, complaint = read_address([("ratio", "99")])
    assert spec is None
    assert complaint
