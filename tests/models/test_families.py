"""Every family on tiny random configs: the walk equals the model's own forward, and surgery follows the plan."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    Cache,
    DynamicCache,
    PreTrainedModel,
)

from liar.calibration import activations
from liar.calibration.activations import Visit, walk
from liar.calibration.gradients import gradient_steps
from liar.choices import Reconstruction
from liar.errors import NonFiniteError, UnsupportedModelError
from liar.maths import drift
from liar.maths.criteria import channels_of
from liar.maths.drift import share_of
from liar.maths.moments import Moments
from liar.maths.reconstruct import reconstruct_all
from liar.models.adapter import Adapter
from liar.models.families import adapt
from liar.models.surgery import ConsumerParameters, shrink
from liar.runtime.devices import Batch
from liar.sites import Site
from liar.spec import Needs, Schedule, Targets
from tests.families import CORE, DECODERS, batches, build, gradients, logits, typed

FAMILIES = CORE


def prune(
    adapter: Adapter,
    keep: dict[Site, int],
    method: Reconstruction = "least-squares",
    *,
    schedule: Schedule = "one-shot",
):
    """Keep the last bundles of each site; returns the kept channels of each site."""
    kept: dict[Site, Tensor] = {}
    for visit in walk(adapter, batches(), adapter.prunable, schedule=schedule, on_attenuation=adapter.attenuate):
        kept[visit.site] = cut(adapter, visit, keep[visit.site], method)
    adapter.after_surgery()
    return kept


def cut(adapter: Adapter, visit: Visit, count: int, method: Reconstruction = "least-squares") -> Tensor:
    """Keep the last ``count`` bundles of a visited site; returns its kept channels."""
    site, consumer = visit.site, adapter.consumer(visit.site)
    bundles = torch.arange(site.bundles)[-count:]
    channels = channels_of(site, bundles)
    solutions = reconstruct_all(
        visit.moments.plain, consumer.weight.T, channels, (method,), drift=visit.drift, site=site.name
    )
    shrink(adapter, site, bundles, ConsumerParameters.install_of(consumer, solutions[method]))
    visit.kept = channels
    return channels


def read_by(adapter: Adapter, sites: list[Site], data: list[Batch]) -> dict[Site, Tensor]:
    """Inputs of the consumers of ``sites`` in the model's own forward, (real tokens, channels) each, caught by hooks."""
    caught: dict[Site, list[Tensor]] = {site: [] for site in sites}
    handles = [
        adapter.consumer(site).register_forward_pre_hook(
            lambda _module, inputs, site=site: caught[site].append(inputs[0])
        )
        for site in sites
    ]
    for batch in data:
        logits(adapter.model, batch)
    for handle in handles:
        handle.remove()
    return {site: real_rows(parts, data) for site, parts in caught.items()}


def real_rows(parts: list[Tensor], data: list[Batch]) -> Tensor:
    """Rows of the real tokens of each batch; OPT flattens its batches."""
    masks = [batch["attention_mask"].bool() for batch in data]
    return torch.cat([part.view(*mask.shape, -1)[mask] for part, mask in zip(parts, masks, strict=True)])


def half(adapter: Adapter) -> dict[Site, int]:
    return {site: max(1, site.bundles // 2) for site in adapter.sites()}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("padded", [False, True])
def test_walk_reads_what_the_consumers_read(name: str, padded: bool) -> None:
    """Moments of the walk equal those of the inputs in the model's own forward, padding left out."""
    adapter, data = adapt(build(name)), batches(padded=padded)
    rows = read_by(adapter, adapter.sites(), data)
    visited = []
    for visit in walk(adapter, data, adapter.prunable):
        expected = Moments.of(rows[visit.site])
        torch.testing.assert_close(visit.moments.plain.mean, expected.mean, rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(visit.moments.plain.covariance, expected.covariance, rtol=1e-8, atol=1e-10)
        assert visit.moments.plain.tokens == sum(int(batch["attention_mask"].sum()) for batch in data)
        visited.append(visit.site)
    assert visited == adapter.sites()


@pytest.mark.parametrize("name", FAMILIES)
def test_neither_walk_nor_backward_fills_a_cache(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of keys and values over all layers and batches would grow with the calibration text."""
    adapter = adapt(build(name))
    assert name not in DECODERS or adapter.config.use_cache  # the default of every decoder
    monkeypatch.setattr(DynamicCache, "update", lambda *_, **__: pytest.fail("keys and values were kept"))
    data = batches(1, size=2)
    for context in adapter.embed(data[0]).contexts:
        assert not any(isinstance(value, Cache) for value in context.values())
    assert list(walk(adapter, data, adapter.prunable))
    assert gradients(gradient_steps(adapter, data, adapter.prunable, Needs(masks=True, sensitivity=True)))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("targets", ["ffn", "heads"])
def test_walk_visits_only_the_targets(name: str, targets: Targets) -> None:
    adapter = adapt(build(name))
    if targets == "heads" and adapter.prunable == "ffn":
        with pytest.raises(UnsupportedModelError, match=f"The heads of {adapter.title} cannot go, because"):
            list(walk(adapter, batches(1), targets))
        return
    kinds = {visit.site.kind for visit in walk(adapter, batches(1), targets)}
    assert kinds == {"ffn" if targets == "ffn" else "attention"}


@pytest.mark.parametrize("name", FAMILIES)
def test_keeping_every_unit_changes_nothing(name: str) -> None:
    model = build(name)
    pruned = copy.deepcopy(model)
    adapter = adapt(pruned)
    prune(adapter, {site: site.bundles for site in adapter.sites()})
    batch = batches(1, padded=True)[0]
    assert torch.equal(logits(model, batch), logits(pruned, batch))


@pytest.mark.parametrize("name", FAMILIES)
def test_surgery_equals_masking(name: str) -> None:
    """Without a repair the smaller model equals the dense one with the removed channels set to zero."""
    model = build(name)
    pruned = copy.deepcopy(model)
    kept = prune(adapt(pruned), half(adapt(pruned)), "none")
    masked = adapt(model)
    with torch.no_grad():
        for site, channels in kept.items():
            weight = masked.consumer(site).weight
            weight *= torch.zeros(weight.shape[1]).index_fill_(0, channels, 1.0)
    for batch in batches(2, padded=True, seed=5):
        torch.testing.assert_close(logits(pruned, batch), logits(model, batch))


@pytest.mark.parametrize("name", FAMILIES)
def test_shapes_and_parameters_equal_the_plan(name: str) -> None:
    model = build(name)
    adapter = adapt(model)
    keep = half(adapter)
    before = sum(parameter.numel() for parameter in model.parameters())
    planned = sum((site.bundles - keep[site]) * adapter.bundle_parameters(site) for site in keep)
    prune(adapter, keep, "none")
    for site in adapter.sites():
        dense = next(old for old in keep if old.name == site.name)
        assert site.bundles == keep[dense]
        assert adapter.consumer(site).weight.shape[1] == site.channels == adapter.consumer(site).in_features
        for producer in adapter.producers(site):
            assert producer.offset + site.bundles * producer.rows <= producer.module.weight.shape[0]
        for linear in {producer.module for producer in adapter.producers(site)}:
            rows = [each.rows for each in adapter.producers(site) if each.module is linear]
            assert linear.weight.shape[0] == site.bundles * sum(rows) == linear.out_features
    after = sum(parameter.numel() for parameter in model.parameters())
    assert before - after == planned


@pytest.mark.parametrize("name", FAMILIES)
def test_repair_helps_on_the_calibration_text(name: str) -> None:
    dense = build(name)
    errors = {}
    for method in ("none", "least-squares"):
        model = copy.deepcopy(dense)
        adapter = adapt(model)
        prune(adapter, half(adapter), method, schedule="sequential")  # type: ignore[arg-type]
        errors[method] = sum(float((logits(model, b) - logits(dense, b)).square().sum()) for b in batches())
    assert errors["least-squares"] < errors["none"]


@pytest.mark.parametrize("name", FAMILIES)
def test_sequential_reads_the_already_pruned_model(name: str) -> None:
    """Moments of the last site equal those of a plain forward of a model whose earlier sites are pruned."""
    adapter = adapt(build(name))
    visit = halved_up_to_the_last(adapter, batches(), "sequential")
    expected = Moments.of(read_by(adapter, [visit.site], batches())[visit.site])
    torch.testing.assert_close(visit.moments.plain.covariance, expected.covariance, rtol=1e-8, atol=1e-10)


def halved_up_to_the_last(adapter: Adapter, data: list[Batch], schedule: Schedule) -> Visit:
    """Keep half of every site but the last one; the visit of that one."""
    (first, *_, last), keep = adapter.sites(), half(adapter)
    for visit in walk(adapter, data, adapter.prunable, schedule=schedule):
        has_drift = schedule == "corrective" and visit.site != first
        assert (visit.drift is not None) == has_drift, "nothing is lost before the first site"
        if visit.site == last:
            break
        cut(adapter, visit, keep[visit.site])
    return visit


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("padded", [False, True])
def test_drift_is_what_the_stream_has_lost(name: str, padded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the last site equals the difference of two plain forwards: of the dense model, and of the model so far."""
    adapter, dense, data = adapt(build(name)), adapt(build(name)), batches(padded=padded)
    monkeypatch.setattr(activations, "ordinary", lambda streams, _: [torch.ones(1)] * len(streams))
    visit = halved_up_to_the_last(adapter, data, "corrective")
    last, drift = visit.site, visit.drift
    (rows, now), (_, before) = behind(adapter, last, data), behind(dense, last, data)
    lost = before - now
    lost = lost * share_of(last.layer, len(adapter.layers))
    torch.testing.assert_close(drift.mean, lost.mean(dim=0), rtol=1e-8, atol=1e-10)
    expected = (rows - rows.mean(dim=0)).T @ (lost - lost.mean(dim=0)) / len(rows)
    torch.testing.assert_close(drift.cross, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("targets", ["ffn", "heads", "both"])
def test_attenuation_is_the_slope_between_the_last_states(
    name: str, targets: Targets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two plain forwards, of the dense and of the pruned model. A model without a last norm has none."""
    monkeypatch.setattr(activations, "MEAN_TOKENS", 10**9)
    monkeypatch.setattr(drift, "LEAST_FACTOR", 0.0)
    model = build(name)
    adapter, dense, keep = adapt(model), copy.deepcopy(model), half(adapt(model))
    if targets != "ffn" and adapter.prunable == "ffn":
        pytest.skip("only its neurons can go")
    found: list[float] = []
    for visit in walk(adapter, batches(padded=True), targets, schedule="corrective", on_attenuation=found.append):
        cut(adapter, visit, keep[visit.site])
    if adapter.last_norm() is None:
        assert not found
        return
    states = []
    for each in (dense, model):
        with torch.no_grad():
            outputs = [
                each.base_model(**batch).last_hidden_state[batch["attention_mask"].bool()]
                for batch in batches(padded=True)
            ]
        rows = torch.cat(outputs)
        states.append(rows - rows.mean(dim=0))
    slope = float((states[0] * states[1]).sum() / states[1].square().sum())
    assert found == [pytest.approx(slope, rel=1e-8)]
    assert 0 < slope < 1


def last_states(model: PreTrainedModel, batch: Batch) -> Tensor:
    """What the head reads, in fp32: some norms round to it."""
    with torch.no_grad():
        return model.base_model(**batch).last_hidden_state.float()


@pytest.mark.parametrize("name", [name for name in DECODERS if name != "opt-post-norm"])
def test_attenuation_scales_what_the_head_reads_whatever_the_last_norm_does_with_its_weight(name: str) -> None:
    """Gemma multiplies by 1 + weight, StableLM adds a bias."""
    model = build(name)
    adapter, data = adapt(model), batches(2)
    for parameter in adapter.last_norm().parameters():
        parameter.data.normal_(std=0.3)
    before = [last_states(model, batch) for batch in data]
    adapter.attenuate(0.75)
    for batch, expected in zip(data, before, strict=True):
        torch.testing.assert_close(last_states(model, batch), 0.75 * expected)


def test_whole_layers_take_their_entry_of_every_list_of_the_config_with_them(tmp_path: Path) -> None:
    """SmolLM3 lists the layers without rotary embeddings; lists of token ids may be as long as a model has layers."""
    choices = {"no_rope_layers": [1, 0, 1, 0], "use_sliding_window": True, "sliding_window": 6}
    sizes = {"num_hidden_layers": 4, "eos_token_id": [2, 3, 4, 5]}
    adapter = adapt(typed("smollm3", **sizes, **choices).double().eval())
    kinds = list(adapter.config.layer_types)
    assert len(set(kinds)) == 2
    adapter.remove_blocks(range(1, 3))
    assert adapter.config.no_rope_layers == [1, 0]
    assert adapter.config.layer_types == [kinds[0], kinds[3]]
    assert adapter.config.eos_token_id == [2, 3, 4, 5]
    adapter.model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float64).eval()
    batch = batches(1)[0]
    torch.testing.assert_close(logits(loaded, batch), logits(adapter.model, batch))


def behind(adapter: Adapter, site: Site, data: list[Batch]) -> tuple[Tensor, Tensor]:
    """Input of the consumer of a block's FFN and the sum that its output enters, (real tokens, width) each."""
    streams: list[Tensor] = []
    block = adapter.layers[site.layer]
    modules, factor = dict(block.named_modules()), getattr(adapter.config, "residual_multiplier", 1.0)
    # In a family that normalises the sum, or what is added to it, that norm reads it.
    norms = ["output.LayerNorm", "output_layer_norm", "post_mlp_layernorm", "post_feedforward_layernorm"]
    if getattr(adapter.config, "do_layer_norm_before", None) is False:
        norms.append("final_layer_norm")
    norm = next((modules[name] for name in norms if name in modules), None)
    hook = (
        norm.register_forward_pre_hook(lambda _module, inputs: streams.append(inputs[0]))
        if norm is not None
        else block.register_forward_hook(lambda _module, _inputs, output: streams.append(output / factor))
    )
    rows = read_by(adapter, [site], data)[site]
    hook.remove()
    return rows, real_rows(streams, data)


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("uniform", [True, False])
def test_generation_with_a_cache_equals_generation_without(name: str, uniform: bool) -> None:
    model = build(name)
    adapter = adapt(model)
    keep = half(adapter)
    if not uniform:
        keep = {site: count if site.layer else site.bundles for site, count in keep.items()}
    prune(adapter, keep)
    prompt = batches(1, size=1, length=7)[0]
    options = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": None}
    cached = model.generate(**prompt, use_cache=True, **options)
    assert torch.equal(cached, model.generate(**prompt, use_cache=False, **options))


def test_closing_the_walk_leaves_the_model_as_it_was() -> None:
    model = build("llama")
    names = [name for name, _ in model.named_modules()]
    model.train()
    visits = walk(adapt(model), batches(), "both", schedule="sequential")
    next(visits)
    visits.close()  # type: ignore[attr-defined]
    assert [name for name, _ in model.named_modules()] == names
    assert model.training


def test_a_nan_weight_is_named() -> None:
    model = build("llama")
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match=r"layers\.1\.ffn"):
        list(walk(adapt(model), batches(1), "both"))
