"""Keys, links and files of recipes keep their meaning when defaults change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from liar.choices import Criterion
from liar.errors import InvalidSpecError
from liar.explore.atlas import AtlasKey
from liar.spec import BASELINE, LINKED, RECONSTRUCTIONS, SCHEDULES, PruneSpec, Separator
from liar.store import SHIPPED_RUNS, RunStore
from tests.fakes import language_run

OLD_CHOICES = ("multiple", "quantize", "separator", "evaluate_length")
"""Choices introduced later, absent from the files of older runs."""


class Later(PruneSpec):
    """A hypothetical later version of the spec, with two other defaults."""

    criterion: Criterion = "wanda"
    separator: Separator = "newline"


def without(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}


def test_every_choice_has_a_baseline_in_its_json_form() -> None:
    assert BASELINE.keys() == PruneSpec.model_fields.keys()
    assert PruneSpec.create(**BASELINE).model_dump(mode="json") == BASELINE
    # A query cannot spell an empty list or None, so these must be the baselines of the choices that may have them.
    assert all(not value for name, value in BASELINE.items() if name in ("evaluate", "edits"))
    optional = [name for name, field in PruneSpec.model_fields.items() if type(None) in get_args(field.annotation)]
    assert all(BASELINE[name] is None for name in optional)


def test_keys_have_not_changed() -> None:
    """The key of the baseline, and that of a spec older than the choice of a separator."""
    baseline = PruneSpec.create(**BASELINE)
    assert baseline.key == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    chosen = baseline.model_copy(update={"ratio": 0.3, "evaluate": ("perplexity",)})
    assert chosen.key == "870d137c33352f11a5efdafb17de55f1f2613ca71e21e03eafb27460ec82df0e"


@pytest.mark.parametrize("path", sorted(SHIPPED_RUNS.iterdir()), ids=lambda path: path.name[:8])
def test_shipped_runs_are_found_under_the_names_of_their_files(path: Path, tmp_path: Path) -> None:
    key, ending = path.name.split(".", 1)
    assert ending == "json.gz"
    assert RunStore(tmp_path).load(key) is not None


def test_another_default_is_another_key() -> None:
    assert Later().key != PruneSpec().key
    assert Later().key == PruneSpec(criterion="wanda", separator="newline").key
    assert Later(**PruneSpec().model_dump()).key == PruneSpec().key


def test_an_old_file_keeps_its_meaning(tmp_path: Path) -> None:
    old = PruneSpec.create(**BASELINE).model_copy(update={"ratio": 0.3})
    document = json.loads(language_run().model_dump_json())
    document["spec"] = without(old.model_dump(mode="json"), *OLD_CHOICES)
    document["evaluations"] = [without(item, "separator") for item in document["evaluations"]]
    store = RunStore(tmp_path, shipped=tmp_path / "none")
    (tmp_path / f"{old.key}.json").write_text(json.dumps(document))
    found = store.find(old)
    assert found is not None
    assert found.spec == old
    assert [item.separator for item in found.evaluations] == ["end"] * 3
    (summary,) = store.summaries()
    assert (summary.spec, summary.evaluations) == (found.spec, found.evaluations)
    assert store.find(PruneSpec(ratio=0.3)) is None, "the defaults of today are another recipe"


def test_the_newest_links_omit_the_defaults_of_today() -> None:
    """Another default needs another version, or links that were written before would open another recipe."""
    *_, (version, omitted) = LINKED.items()
    assert PruneSpec().model_dump(mode="json") == omitted
    assert PruneSpec().to_query() == f"v={version}"
    assert LINKED["1"] == {**BASELINE, "separator": "auto", "tokens": "auto"}


@pytest.mark.parametrize("choices", ["", "&ratio=0.3", "&separator=end", "&seed=1&edits=layers.0.ffn%3Aratio%3D0.2"])
def test_a_written_link_opens_the_same_recipe_when_defaults_have_changed(choices: str) -> None:
    query = f"v=2{choices}"
    now, later = PruneSpec.from_query(query), Later.from_query(query)
    assert later.model_dump() == now.model_dump()
    assert now.to_query() == later.to_query() == query
    assert (now.criterion, now.schedule) == ("kfac", "corrective")
    first = Later.from_query(f"v=1{choices}")
    assert (first.criterion, first.schedule) == ("obs", "sequential")


@pytest.mark.parametrize("kind", [PruneSpec, Later])
@pytest.mark.parametrize(
    ("query", "choices"), [("", {}), ("?", {}), ("ratio=0.3", {"ratio": 0.3}), ("seed=1", {"seed": 1})]
)
def test_a_link_without_a_version_omits_the_defaults_of_today(
    kind: type[PruneSpec], query: str, choices: dict[str, Any]
) -> None:
    assert kind.from_query(query) == kind(**choices)


@pytest.mark.parametrize("kind", [PruneSpec, Later])
def test_a_link_holds_every_recipe(kind: type[PruneSpec]) -> None:
    for spec in (kind(), *(kind.create(**table) for table in (BASELINE, *LINKED.values()))):
        assert kind.from_query(spec.to_query()) == spec


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(InvalidSpecError, match="Links have version 1 or 2, not '7'"):
        PruneSpec.from_query("v=7&ratio=0.3")


def test_an_atlas_is_found_as_before_and_its_separator_matters() -> None:
    old = PruneSpec.create(**BASELINE)
    assert AtlasKey.of(old).digest == "47699ae0e839a12b19554153fabf9859dad6c627219facb547cba4bd269bde0c"
    stored = {name: getattr(old, name) for name in ("model", "calibration", "tokens", "sequence_length", "seed")}
    assert AtlasKey.model_validate(stored) == AtlasKey.of(old)
    assert AtlasKey.of(PruneSpec()).digest != AtlasKey.of(old).digest


@pytest.mark.parametrize("ratio", [-0.1, 0.96, float("nan"), "half"])
def test_ratios_outside_the_range_are_refused(ratio: object) -> None:
    with pytest.raises(InvalidSpecError, match="ratio must be a number from 0 to"):
        PruneSpec.create(ratio=ratio)


def test_only_least_squares_corrects() -> None:
    for reconstruction in RECONSTRUCTIONS:
        for schedule in SCHEDULES:
            chosen = PruneSpec.create(schedule=schedule, reconstruction=reconstruction)
            corrects = schedule != "corrective" or reconstruction == "least-squares"
            assert chosen.walked == (schedule if corrects else "sequential")
            assert PruneSpec.from_query(chosen.to_query()) == chosen


def test_specs_survive_json_and_query() -> None:
    chosen = PruneSpec.create(ratio=0.25, evaluate=("perplexity", "topic"), criterion="obs", seed=3)
    assert PruneSpec.model_validate_json(chosen.model_dump_json()) == chosen
    assert PruneSpec.from_query(chosen.to_query()) == chosen
    assert chosen.key == PruneSpec.model_validate_json(chosen.model_dump_json()).key != PruneSpec().key
    with pytest.raises(InvalidSpecError, match="There is no choice called 'colour'"):
        PruneSpec.from_query("?colour=red")
    with pytest.raises(InvalidSpecError, match="There is no choice called 'cls'"):
        PruneSpec.create(**{"cls": 1})


def test_data_belong_to_the_task_own_if_it_is_measured() -> None:
    alone = PruneSpec(evaluate=("perplexity",), data="notes.txt")
    beside = PruneSpec(evaluate=("perplexity", "own"), data="notes.txt")
    assert (alone.data_of("perplexity"), alone.data_of("mnli")) == ("notes.txt", "notes.txt")
    assert (beside.data_of("perplexity"), beside.data_of("own")) == (None, "notes.txt")
