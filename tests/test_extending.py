"""Extensions by users of the library: the examples of docs/extending.md, and custom criteria in edge cases."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import ArceeConfig, ArceeForCausalLM, AutoModelForCausalLM, OPTConfig, OPTForCausalLM

from liar import PruneSpec, RunResult, load_model, run, save_model
from liar.errors import InvalidSpecError, NonFiniteError, UnsupportedModelError
from liar.explore.forecast import forecast
from liar.jobs.pipeline import stream
from liar.maths import criteria
from liar.maths.criteria import Evidence
from liar.models import families
from liar.spec import ALLOCATIONS, Allocation
from liar.store import RunStore
from tests import tiny
from tests.fake_atlas import tiny_atlas

EXAMPLES = re.findall(r"```python\n(.*?)```", Path("docs/extending.md").read_text(encoding="utf-8"), flags=re.DOTALL)

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 30, "pad_token_id": 0}


@pytest.fixture
def own_families() -> Iterator[None]:
    before = list(families.FAMILIES)
    yield
    families.FAMILIES[:] = before


def spec(**choices: Any) -> PruneSpec:
    base = {"model": "tiny/bert", "targets": "both", "tokens": 512, "sequence_length": 32, "evaluate_limit": 8}
    return PruneSpec(**{**base, **choices})


@pytest.mark.demo
def test_the_documented_criterion_runs() -> None:
    namespace: dict[str, Any] = {}
    exec(EXAMPLES[0], namespace)
    result: RunResult = namespace["result"]
    assert result.spec.criterion == "custom:loudest"
    assert all(site.error["least-squares"] <= site.error["none"] for site in result.sites)
    assert 0.4 < sum(site.kept for site in result.sites) / sum(site.units for site in result.sites) < 0.6


def test_a_family_whose_config_has_other_names_is_loaded_pruned_and_saved(tmp_path: Path) -> None:
    torch.manual_seed(0)
    more = {"word_embed_proj_dim": 32, "max_position_embeddings": 128, "init_std": 0.3, "dropout": 0.0}
    config = OPTConfig(**SIZES, **more, ffn_dim=48)
    assert not hasattr(config, "intermediate_size")
    OPTForCausalLM(config).save_pretrained(tmp_path / "opt")
    tiny.tokenizer(128).save_pretrained(tmp_path / "opt")
    chosen = spec(model=str(tmp_path / "opt"), calibration=tiny.letters_file(tmp_path), targets="ffn", ratio=0.5)
    last, pruned = tiny.finished(chosen)
    assert all(site.error["least-squares"] <= site.error["none"] for site in last.result.sites)
    assert last.result.attenuation not in (None, 1.0)
    saved = save_model(pruned, tmp_path / "small", last.result)
    ids = torch.arange(4, 28).reshape(2, 12)
    again = AutoModelForCausalLM.from_pretrained(saved.folder, trust_remote_code=True).eval()
    with torch.no_grad():
        torch.testing.assert_close(again(ids).logits, pruned.model(ids).logits)


def test_the_documented_family_is_pruned_and_saved(own_families: None, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = ArceeConfig(**SIZES, num_key_value_heads=2, initializer_range=0.2, intermediate_size=48)
    ArceeForCausalLM(config).save_pretrained(tmp_path / "arcee")
    tiny.tokenizer(128).save_pretrained(tmp_path / "arcee")
    with pytest.raises(UnsupportedModelError, match="'ArceeMLP' object has no attribute 'gate_proj'"):
        load_model(str(tmp_path / "arcee"))
    exec(EXAMPLES[1], {})
    loaded = load_model(str(tmp_path / "arcee"))
    ids = torch.arange(4, 28).reshape(2, 12)

    def finished(ratio: float) -> Any:
        *_, last = stream(spec(model=loaded.id, ratio=ratio, evaluate_length=32), loaded)
        return last

    with torch.no_grad():
        expected = loaded.model(ids).logits
        torch.testing.assert_close(finished(0.0).model.model(ids).logits, expected)
        pruned = finished(0.5)
        assert all(site.uncorrected_error <= site.error["none"] for site in pruned.result.sites)
        assert pruned.result.totals.parameters_after < pruned.result.totals.parameters_before
        save_model(pruned.model, tmp_path / "small", pruned.result)
        again = AutoModelForCausalLM.from_pretrained(tmp_path / "small", trust_remote_code=True).eval()
        assert torch.equal(again(ids).logits, pruned.model.model(ids).logits)


def mean_size(evidence: Evidence) -> Tensor:
    return evidence.moments.mean.abs()


@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_a_function_is_a_criterion_for_every_allocation(allocation: Allocation) -> None:
    result = run(spec(allocation=allocation, schedule="one-shot"), tiny.classifier(), criterion=mean_size)
    assert result.spec.criterion == "custom:mean_size"
    assert 0 < sum(site.kept for site in result.sites) < sum(site.units for site in result.sites)
    assert RunResult.model_validate_json(result.model_dump_json()) == result


def test_a_function_equal_to_a_shipped_criterion_gives_the_same_masks() -> None:
    """Also for heads, whose scores are sums over channels, and in a spec that names another criterion."""

    def copied(evidence: Evidence) -> Tensor:
        return criteria.wanda(evidence)

    loaded = tiny.classifier()
    ours, theirs, registered = (
        run(spec(criterion="wanda"), loaded),
        run(spec(criterion="obs"), loaded, criterion=copied),
        run(spec(criterion="obs"), loaded, criterion=criteria.wanda),
    )
    assert ours.sites == theirs.sites == registered.sites
    assert (theirs.spec.criterion, registered.spec) == ("custom:copied", ours.spec)
    assert theirs.spec.key != ours.spec.key


def test_two_functions_of_one_name_share_a_calibration_without_sharing_scores() -> None:
    from liar import calibrate

    def named(sign: float) -> Callable[[Evidence], Tensor]:
        def scores(evidence: Evidence) -> Tensor:
            return sign * criteria.magnitude(evidence)

        return scores

    loaded = tiny.classifier()
    calibration = calibrate(loaded, tokens=512, sequence_length=32)
    choices = spec(schedule="one-shot", allocation="uniform")
    best, worst = (run(choices, loaded, calibration=calibration, criterion=named(sign)) for sign in (1.0, -1.0))
    for first, second in zip(best.sites, worst.sites, strict=True):
        assert not set(first.kept_units) & set(second.kept_units)


def test_gradients_are_there_for_a_function_that_needs_them() -> None:
    def seen(evidence: Evidence) -> Tensor:
        assert evidence.gradients is not None
        return evidence.gradients.fisher

    seen.needs_gradients = True  # type: ignore[attr-defined]
    loaded = tiny.classifier()
    own = run(spec(), loaded, criterion=seen)
    assert own.spec.criterion == "custom-gradients:seen"
    assert own.sites == run(spec(criterion="fisher"), loaded).sites
    kept: list[Any] = []

    def unasked(evidence: Evidence) -> Tensor:
        kept.append(evidence.gradients)
        return criteria.magnitude(evidence)

    run(spec(allocation="loss-curve"), loaded, criterion=unasked)
    assert set(kept) == {None}, "sensitivities are no gradients of masks"


@pytest.mark.parametrize(
    ("function", "error", "words"),
    [
        (lambda evidence: torch.ones(3), InvalidSpecError, r"one score for each bundle of layers\.0\.\w+, \(4,\)"),
        (lambda evidence: [1.0] * evidence.site.bundles, InvalidSpecError, "scores of type list; return a tensor"),
        (lambda evidence: None, InvalidSpecError, "scores of type NoneType; return a tensor"),
        (
            lambda evidence: torch.ones(evidence.site.bundles, dtype=torch.complex64),
            InvalidSpecError,
            r"scores a tensor \(4,\) of complex64; return",
        ),
        (lambda evidence: torch.full((evidence.site.bundles,), torch.nan), NonFiniteError, "NaN or Inf"),
    ],
)
def test_scores_that_cannot_be_are_refused(
    function: Callable[[Evidence], Tensor], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        run(spec(), tiny.classifier(), criterion=function)


def test_a_stored_run_of_a_function_is_found_and_not_done_again(tmp_path: Path) -> None:
    store, loaded = RunStore(tmp_path, shipped=tmp_path / "none"), tiny.classifier()
    result = run(spec(), loaded, criterion=mean_size)
    store.save(result)
    named = PruneSpec.from_query(result.spec.to_query())
    assert store.find(named) == result
    with pytest.raises(InvalidSpecError, match="a function that only its own program has"):
        run(named, loaded)
    assert run(named, loaded, criterion=mean_size).sites == result.sites


def test_no_forecast_of_a_function_asks_to_apply_it() -> None:
    chosen = spec(criterion="custom:mine")
    with pytest.raises(InvalidSpecError, match="choose another criterion here"):
        forecast(chosen, tiny_atlas(chosen))


@pytest.mark.parametrize("name", ["mine", "custom:", "custom:a b", "custom:<script>", "custom:" + "a" * 200])
def test_other_names_are_no_criteria(name: str) -> None:
    with pytest.raises(InvalidSpecError, match=r"criterion should be 'random', .* or 'kfac', not"):
        PruneSpec.create(criterion=name)


def test_an_adapter_of_your_own_stays_with_the_copy_that_is_pruned() -> None:
    class Own(type(tiny.classifier().adapter)):  # type: ignore[misc]
        pass

    loaded = tiny.classifier()
    loaded = replace(loaded, adapter=Own(loaded.model))
    *_, last = stream(spec(), loaded)
    assert isinstance(last.model.adapter, Own)  # type: ignore[union-attr]
