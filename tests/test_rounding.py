"""Kept neurons rounded to multiples within the budget, and shares that a run misses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liar import PruneSpec, stream
from liar.edits import SiteEdit
from liar.errors import InvalidSpecError
from liar.events import Finished, Warned
from liar.explore.allocation import check_choices, settled_counts
from liar.report.export import as_json
from liar.sites import Site
from tests import tiny

HEADS = Site(0, "attention", 8, 4)


@given(st.lists(st.integers(16, 400), min_size=1, max_size=8), st.integers(1, 64), st.data())
def test_counts_become_multiples_that_meet_the_budget(units: list[int], multiple: int, data: st.DataObject) -> None:
    multiple = min(multiple, *units)
    sites = [Site(layer, "ffn", size) for layer, size in enumerate(units)]
    allocated = {site.name: data.draw(st.integers(1, site.units)) for site in sites}
    kept = settled_counts(PruneSpec(multiple=multiple), sites, allocated, {})
    cut = [site for site in sites if allocated[site.name] < site.units]
    assert all(kept[site.name] == site.units for site in sites if site not in cut), "what is not pruned is not rounded"
    assert all(kept[site.name] in range(multiple, site.units + 1, multiple) for site in cut)
    over = sum(kept[site.name] - allocated[site.name] for site in cut)
    assert over <= 0 or all(kept[site.name] == multiple for site in cut), "at most the budget"
    wider = [site for site in cut if kept[site.name] + multiple <= site.units]
    assert over > -multiple or not wider, "no multiple more would fit"


def test_the_largest_remainders_are_rounded_up() -> None:
    sites = [Site(layer, "ffn", 48) for layer in range(4)]
    allocated = dict(zip((site.name for site in sites), (20, 31, 29, 17), strict=True))
    assert list(settled_counts(PruneSpec(multiple=16), sites, allocated, {}).values()) == [16, 32, 32, 16]
    even = dict.fromkeys(allocated, 24)
    assert list(settled_counts(PruneSpec(multiple=16), sites, even, {}).values()) == [32, 32, 16, 16]
    uniform = PruneSpec(multiple=16, allocation="uniform")
    assert list(settled_counts(uniform, sites, even, {}).values()) == [16] * 4, "layers of one size keep one size"


def test_heads_are_not_rounded_and_edits_take_precedence() -> None:
    spec, neurons = PruneSpec(multiple=16), Site(0, "ffn", 48)
    allocated = {HEADS.name: 3, neurons.name: 20}

    def settled(edit: SiteEdit) -> list[int]:
        return list(settled_counts(spec, [HEADS, neurons], allocated, {neurons.name: edit}).values())

    assert settled(SiteEdit(ratio=0.3)) == [3, 32], "34 neurons of the edit"
    assert settled(SiteEdit(keep=frozenset(range(17)))) == [3, 17]


def test_a_multiple_wider_than_the_layer_is_refused_before_any_work() -> None:
    with pytest.raises(InvalidSpecError, match=r"layers\.0\.ffn has 48 neurons, fewer than the multiple 64"):
        check_choices(PruneSpec(multiple=64), [Site(0, "ffn", 48)])
    check_choices(PruneSpec(multiple=64, targets="heads", ratio=0.25), [HEADS])


@pytest.mark.parametrize(
    ("choices", "kv_heads", "sentence"),
    [
        (
            {"targets": "heads"},
            1,
            "The ratio asks for 50 % of the heads, and 0 % go: layers.0.attention has 1 that can go one by one; choose a ratio "
            "that this allows.",
        ),
        (
            {"targets": "ffn", "multiple": 48},
            2,
            "The ratio asks for 50 % of the neurons, and 0 % go: kept neurons are multiples of 48; take a smaller multiple.",
        ),
        ({"targets": "ffn", "multiple": 32, "ratio": 0.95}, 2, "95 % of the neurons, and 33.3 % go"),
        (
            {"edits": ("layers.0.ffn:ratio=0",), "targets": "ffn"},
            2,
            "and 25 % go: edits by hand change it; change them.",
        ),
        ({"targets": "layers", "ratio": 0.3}, 2, "30 % of the layers, and 25 % go: only whole layers of 4 can"),
        ({"targets": "ffn", "multiple": 8}, 2, None),
        ({"targets": "heads"}, 2, None),
    ],
)
def test_a_run_warns_of_a_share_that_it_misses(
    choices: dict[str, Any], kv_heads: int, sentence: str | None, tmp_path: Path
) -> None:
    text = {"calibration": tiny.letters_file(tmp_path), "tokens": 640, "sequence_length": 20}
    spec = {**text, "ratio": 0.5, "schedule": "one-shot"}
    model = tiny.language_model(layers=4 if choices["targets"] == "layers" else 2, kv_heads=kv_heads)
    events = list(stream(PruneSpec.create(model="tiny/llama", allocation="uniform", **spec | choices), model))
    finished = events[-1]
    assert isinstance(finished, Finished)
    told = [event.message for event in events if isinstance(event, Warned) and "asks for" in event.message]
    assert told == [warning for warning in finished.result.warnings if "asks for" in warning]
    assert json.loads(as_json(finished.result))["warnings"] == finished.result.warnings
    assert told == [] if sentence is None else (len(told) == 1 and sentence in told[0])
