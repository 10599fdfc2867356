"""Half precision, the accelerator of the machine if it has one, and a stand-in as strict as a real accelerator."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch
from accelerate import cpu_offload
from accelerate.hooks import AlignDevicesHook

from liar import PruneSpec, RunResult, stream
from liar.calibration.activations import walk
from liar.data.text_reader import Samples
from liar.errors import UnsupportedModelError
from liar.evaluate import task_readers
from liar.evaluate.answering.ask import ask
from liar.jobs.draw_atlas import atlas_steps
from liar.jobs.mask_table import MaskCell, mask_table_steps
from liar.jobs.restore import restore_steps
from liar.jobs.sweep import sweep_steps
from liar.models.families import adapt
from liar.models.loaded import LoadedModel
from liar.models.quantize import quantized
from liar.models.variants import Variants
from liar.progress import finish
from liar.results import Generation
from liar.runtime import devices
from liar.runtime.placement import free_bytes
from liar.spec import SCHEDULES, Schedule, SweepSpec
from tests import tiny
from tests.families import batches, build, logits
from tests.models.test_families import half, prune
from tests.stand_in import device_that_refuses, moved
from tests.tiny import tokenizer


@pytest.fixture(autouse=True)
def _same_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU that a device is compared with multiplies in the same precision."""
    monkeypatch.setattr(devices, "has_fast_half", lambda: False)


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")


@pytest.mark.parametrize("name", ["llama", "bert"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_models_have_fp32_moments_and_keep_their_dtype(name: str, dtype: torch.dtype) -> None:
    model = build(name).to(dtype)
    adapter = adapt(model)
    for visit in walk(adapter, batches(1), "both"):
        assert visit.moments.plain.covariance.dtype == torch.float32
        assert visit.moments.norm_aware.covariance.dtype == torch.float32
    prune(adapter, half(adapter))
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    assert torch.isfinite(logits(model, batches(1)[0])).all()


@needs_cuda
@pytest.mark.parametrize("name", ["llama", "bert"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_cuda_prunes_like_the_cpu(name: str, schedule: Schedule) -> None:
    expected = build(name)
    model = copy.deepcopy(expected).cuda()
    prune(adapt(expected), half(adapt(expected)), schedule=schedule)
    prune(adapt(model), half(adapt(model)), schedule=schedule)
    batch = batches(1)[0]
    found = logits(model, {key: tensor.cuda() for key, tensor in batch.items()}).cpu()
    torch.testing.assert_close(found, logits(expected, batch), rtol=1e-6, atol=1e-6)


@needs_cuda
@pytest.mark.parametrize("name", ["llama", "bert"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cuda_rounds_like_the_cpu(name: str, dtype: torch.dtype) -> None:
    """Pruned widths included, which are multiples of no tile size."""
    model = build(name)
    prune(adapt(model), {site: max(1, site.bundles // 2 - 1) for site in adapt(model).sites()})
    model.to(dtype)
    on_device = copy.deepcopy(model).cuda()
    expected = quantized(LoadedModel(name, model, tokenizer(64), adapt(model), None)).model
    found = quantized(LoadedModel(name, on_device, tokenizer(64), adapt(on_device), None)).model
    for (key, weight), other in zip(expected.named_parameters(), found.parameters(), strict=True):
        if hasattr(weight, "qdata"):
            assert other.qdata.is_cuda
            assert (other.qdata.cpu().int() - weight.qdata.int()).abs().max() <= 1, key
    batch = batches(1)[0]
    tolerance = 1e-3 if dtype == torch.float32 else 0.2
    torch.testing.assert_close(
        logits(found, {key: tensor.cuda() for key, tensor in batch.items()}).cpu(),
        logits(expected, batch),
        rtol=tolerance,
        atol=tolerance,
    )


@needs_cuda
def test_a_streamed_model_needs_one_block_of_device_memory() -> None:
    model = build("llama").float()
    cpu_offload(model, execution_device=torch.device("cuda"))
    torch.cuda.reset_peak_memory_stats()
    adapter = adapt(model)
    prune(adapter, half(adapter), schedule="sequential")
    assert all(parameter.is_meta for parameter in adapter.layers.parameters())
    assert torch.cuda.memory_allocated() < 50_000_000


# -- the stand-in -------------------------------------------------------------------------------------------------------

MAKERS: dict[str, Callable[[], LoadedModel]] = {
    "llama": tiny.language_model,
    "bert": lambda: tiny.classifier(positions=256),
}


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PruneSpec:
    """A recipe that calibrates and evaluates on random letters, with calls that need a real device patched away."""
    samples = tiny.labelled_letters(30)
    text = tmp_path / "letters.txt"
    text.write_text("\n\n".join(sample.text for sample in samples))
    tiny.replace_demo_samples(monkeypatch, samples)
    windows = torch.randint(4, 30, (6, 16), generator=torch.Generator().manual_seed(0))
    source = Samples("letters", "test", iter(()))
    monkeypatch.setattr(task_readers, "held_out_windows", lambda *_, **__: (windows, source))
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda *_: None)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: free_bytes(torch.device("cpu")))
    monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: 0)
    return PruneSpec(calibration=str(text), tokens=320, sequence_length=32, targets="both")


def moved_to(loaded: LoadedModel, device: torch.device) -> LoadedModel:
    model = moved(loaded.model, device)
    return dataclasses.replace(loaded, model=model, adapter=adapt(model))


def finished(spec: PruneSpec, loaded: LoadedModel, **choices: object) -> tuple[RunResult, Variants]:
    task = loaded.task or "perplexity"
    asked = spec.model_copy(update={"evaluate": (task,), "evaluate_limit": 6, **choices})
    *_, end = stream(asked, loaded, prompts=["a b c"], max_new_tokens=3)
    return end.result, end.variants


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("kind", ["mps", "xla"])
def test_an_atlas_of_every_criterion_is_drawn_on_the_device(name: str, kind: str, spec: PruneSpec) -> None:
    """The MPS stand-in refuses fp64 and factorisations; the other one only forbids mixing with host tensors."""
    on_host = MAKERS[name]()
    with device_that_refuses(kind) as device:
        on_device = moved_to(MAKERS[name](), device)
        atlas = finish(atlas_steps(on_device, spec))
    numpy.testing.assert_allclose(
        atlas.arrays["ffn"].error, finish(atlas_steps(on_host, spec)).arrays["ffn"].error, rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    ("kind", "choices"),
    [
        ("mps", {"schedule": "one-shot", "criterion": "obs", "allocation": "loss-curve"}),
        ("mps", {"schedule": "sequential", "criterion": "taylor", "allocation": "error-curve"}),
        ("xla", {"schedule": "sequential", "criterion": "wanda", "allocation": "global", "reconstruction": "liar"}),
    ],
    ids=["one-shot", "sequential", "liar"],
)
def test_a_run_is_pruned_measured_and_asked_on_the_device(
    name: str, kind: str, choices: dict[str, object], spec: PruneSpec
) -> None:
    expected, _ = finished(spec, MAKERS[name](), **choices)
    with device_that_refuses(kind) as device:
        result, variants = finished(spec, moved_to(MAKERS[name](), device), **choices)
        answers = list(ask(variants, "a b c", max_new_tokens=3, temperature=0.7, seed=1))
    assert sum(isinstance(answer, Generation) for answer in answers) == 3
    assert [site.kept_units for site in result.sites] == [site.kept_units for site in expected.sites]
    for site, other in zip(result.sites, expected.sites, strict=True):
        assert site.error == pytest.approx(other.error, rel=1e-3)
    assert [item.value for item in result.evaluations] == pytest.approx([item.value for item in expected.evaluations])
    assert len(result.generations) == 3
    assert len(result.gains) == 1


def test_masks_are_compared_swept_and_restored_on_the_device(spec: PruneSpec) -> None:
    with device_that_refuses("mps") as device:
        loaded = moved_to(tiny.language_model(), device)
        cells = list(mask_table_steps(spec, ("obs", "taylor"), ("liar", "least-squares"), loaded))
        sweep = SweepSpec.create(base=spec.model_copy(update={"multiple": 8}), ratios=(0.3, 0.6))
        runs = [step for step in sweep_steps(sweep, loaded) if isinstance(step, RunResult)]
        variants = finish(restore_steps(runs[0], loaded))
        answers = list(ask(variants, "a b c", max_new_tokens=2))
    assert sum(isinstance(cell, MaskCell) for cell in cells) == 4
    assert len(runs) == 2
    assert sum(isinstance(answer, Generation) for answer in answers) == 3


def test_the_stand_in_refuses_what_a_device_refuses() -> None:
    with device_that_refuses("mps") as device:
        tensor = torch.ones(3, 3, device=device)
        with pytest.raises(RuntimeError, match="same device"):
            tensor + torch.ones(3)
        with pytest.raises(TypeError, match="numpy"):
            tensor.numpy()
        for make in (
            tensor.double,
            lambda: tensor.to("cpu", torch.float64),
            lambda: torch.zeros(2, device=device).double(),
        ):
            with pytest.raises(TypeError, match="float64"):
                make()
        with pytest.raises(NotImplementedError, match="MPS"):
            torch.linalg.eigvalsh(tensor)
        assert float((tensor @ tensor).sum()) == 27
        assert tensor.cpu().double().numpy().sum() == 9


def test_a_model_on_several_devices_is_refused_before_any_work() -> None:
    """The walk calls modules inside the blocks and so bypasses the hooks that move tensors between devices."""
    with device_that_refuses("xla") as device:
        model = tiny.language_model().model
        moved(model.model.layers[1], device)
        with pytest.raises(UnsupportedModelError, match=r"spread over cpu, xla:0; load it onto one device"):
            adapt(model)
    hooked = tiny.language_model().model
    for index, layer in enumerate(hooked.model.layers):
        hook = AlignDevicesHook(execution_device=torch.device("cuda", index), offload=True, weights_map={})
        object.__setattr__(layer, "_hf_hook", hook)
    with pytest.raises(UnsupportedModelError, match=r"cuda:0, cuda:1"):
        adapt(hooked)
