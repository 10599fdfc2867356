"""Half precision everywhere, and the accelerator where there is one."""

from __future__ import annotations

import copy

import pytest
import torch
from accelerate import cpu_offload

from liar.models.adapter import adapt
from liar.models.catalog import LoadedModel
from liar.quantize import quantized
from liar.walk import walk
from tests.families import batches, build
from tests.test_families import half, logits, prune
from tests.tiny import tokenizer

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")


@pytest.mark.parametrize("name", ["llama", "bert"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_models_have_fp32_moments_and_keep_their_dtype(name: str, dtype: torch.dtype) -> None:
    model = build(name).to(dtype)
    adapter = adapt(model)
    for visit in walk(adapter, batches(1), "both"):
        assert visit.moments.plain.covariance.dtype == torch.float32
        assert visit.moments.norm_aware is not None
        assert visit.moments.norm_aware.covariance.dtype == torch.float32
    prune(adapter, half(adapter))
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    assert torch.isfinite(logits(model, batches(1)[0])).all()


@needs_cuda
@pytest.mark.parametrize("name", ["llama", "bert"])
@pytest.mark.parametrize("sequential", [False, True])
def test_cuda_prunes_like_the_cpu(name: str, sequential: bool) -> None:
    expected = build(name)
    model = copy.deepcopy(expected).cuda()
    prune(adapt(expected), half(adapt(expected)), sequential=sequential)
    prune(adapt(model), half(adapt(model)), sequential=sequential)
    batch = batches(1)[0]
    found = logits(model, {key: tensor.cuda() for key, tensor in batch.items()}).cpu()
    torch.testing.assert_close(found, logits(expected, batch), rtol=1e-6, atol=1e-6)


@needs_cuda
@pytest.mark.parametrize("name", ["llama", "bert"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cuda_rounds_like_the_cpu(name: str, dtype: torch.dtype) -> None:
    """Pruned widths too, which are multiples of nothing."""
    model = build(name)
    prune(adapt(model), {site: max(1, site.bundles // 2 - 1) for site in adapt(model).sites()})
    model.to(dtype)
    there = copy.deepcopy(model).cuda()
    expected = quantized(LoadedModel(name, model, tokenizer(64), adapt(model), None)).model
    found = quantized(LoadedModel(name, there, tokenizer(64), adapt(there), None)).model
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
    prune(adapter, half(adapter), sequential=True)
    assert all(parameter.is_meta for parameter in adapter.layers.parameters())
    assert torch.cuda.memory_allocated() < 50_000_000
