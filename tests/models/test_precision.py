"""Products in half precision: where they may be."""

from __future__ import annotations

import pytest
import torch

from liar.runtime import devices
from liar.runtime.devices import fast_products
from tests.families import batches, build


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
