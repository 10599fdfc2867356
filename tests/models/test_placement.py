"""Room for a model and its work on host and accelerator, names of devices and precisions, and products in half precision."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, LlamaConfig, LlamaForCausalLM

from liar.errors import InsufficientMemoryError, InvalidSpecError, ModelNotFoundError
from liar.loading import source, weights
from liar.loading.catalog import load_model
from liar.runtime import devices, placement
from liar.runtime.devices import fast_products
from liar.runtime.memory import PlannedWork
from tests.families import batches, build
from tests.folders import BERT, LLAMA, save


def test_too_little_memory_is_refused_with_what_would_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = save(LlamaForCausalLM(LlamaConfig(**LLAMA)), tmp_path)
    monkeypatch.setattr(placement, "free_bytes", lambda device: 1_000)
    with pytest.raises(InsufficientMemoryError, match="would fit"):
        load_model(name, device="cpu")


PIECES = """
import psutil
from liar.runtime.placement import release_freed

megabyte = 1 << 20
held = b"x" * (2 * megabyte)
del held  # from now on blocks of this size are pieces of the heap
held = [b"x" * megabyte for _ in range(400)]
held = held[-1:]  # the block at the end of the heap stays
before = psutil.Process().memory_info().rss
release_freed()
print(before - psutil.Process().memory_info().rss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="another allocator")
def test_freed_memory_goes_back_to_the_system() -> None:
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("another allocator")
    done = subprocess.run([sys.executable, "-c", PIECES], check=True, capture_output=True, text=True)
    assert int(done.stdout) > 300e6


@pytest.mark.parametrize(("small", "words"), [("cpu", "would fit"), ("cuda", "are free")])
def test_a_demo_classifier_needs_room_on_host_and_accelerator(
    small: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder has no weights, so a refusal for lack of memory must precede reading them."""
    adapter, empty = tmp_path / "adapter", tmp_path / "base"
    for folder in (adapter, empty):
        folder.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    config = BertConfig(**BERT, architectures=["BertForSequenceClassification"])
    monkeypatch.setattr(placement, "free_bytes", lambda device: 1_000 if device.type == small else 10**12)
    base = source.Source(str(empty), local_only=True)
    with pytest.raises(InsufficientMemoryError, match=words):
        weights.load_classifier(base, config, adapter, torch.bfloat16, torch.device("cuda"), PlannedWork())
    monkeypatch.setattr(placement, "free_bytes", lambda device: 10**12)
    with pytest.raises(ModelNotFoundError, match="a config and no weights"):
        weights.load_classifier(base, config, adapter, torch.bfloat16, torch.device("cuda"), PlannedWork())


def test_a_model_larger_than_its_accelerator_is_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = {"cuda": 20_000_000_000, "cpu": 40_000_000_000}
    monkeypatch.setattr(placement, "free_bytes", lambda device: memory[device.type])
    cuda = torch.device("cuda")
    assert placement.place(7_000_000_000, torch.bfloat16, cuda, 5_000_000_000) == "resident"
    assert placement.place(7_000_000_000, torch.bfloat16, cuda, 7_000_000_000) == "streamed"
    assert placement.place(13_000_000_000, torch.bfloat16, cuda, 0) == "streamed"
    with pytest.raises(InsufficientMemoryError):
        placement.place(70_000_000_000, torch.bfloat16, cuda, 0)


@pytest.mark.parametrize("device", ["cuda:99", "tpu", "meta", "cpu:x"])
def test_a_missing_device_is_refused(device: str) -> None:
    with pytest.raises(InvalidSpecError, match="no device"):
        placement.choose_device(device)


def test_an_unknown_dtype() -> None:
    with pytest.raises(InvalidSpecError, match="float32"):
        placement.choose_dtype("float8", torch.device("cpu"))


def test_memory_that_torch_keeps_for_reuse_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver counts the blocks that torch keeps after a large run as used."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1_000, 80_000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 60_000)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 20_000)
    assert placement.free_bytes(torch.device("cuda")) == 1_000 + 40_000


@pytest.mark.parametrize(("dtype", "fast"), [(torch.float32, True), (torch.float64, False), (torch.float16, False)])
@pytest.mark.parametrize("able", [True, False])
def test_only_products_of_fp32_models_are_fast(
    dtype: torch.dtype, fast: bool, able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "has_fast_half", lambda: able)
    model = build("llama").to(dtype)
    with torch.no_grad(), fast_products(model):
        found = model(**batches(1)[0]).logits
    assert found.dtype == (torch.bfloat16 if fast and able else dtype)


@pytest.mark.parametrize(("known", "able"), [({}, False), ({"avx512_bf16": True}, True), ({"amx_bf16": True}, True)])
def test_the_processor_is_asked(known: dict[str, bool], able: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
    assert devices.has_fast_half.__wrapped__() == able
