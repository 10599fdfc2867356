"""A saved folder, stock or ragged, is fine-tuned with LoRA by the lines of docs/elsewhere.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from liar.save.checkpoint import save_model
from tests import subwords
from tests.cut_models import cut
from tests.test_layout import ROOT


@pytest.mark.parametrize("ragged", [False, True], ids=["stock", "ragged"])
def test_a_saved_model_learns_with_lora(ragged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = cut(subwords.loaded(), "ffn", lambda layer: 13 + 8 * layer if ragged else 20)
    saved = save_model(loaded, tmp_path / "smaller")
    assert saved.form == ("ragged" if ragged else "stock")
    section = (ROOT / "docs" / "elsewhere.md").read_text(encoding="utf-8").partition("## Fine-tune it with PEFT")[2]
    code = section.partition("```python\n")[2].partition("```")[0]
    if not ragged:
        code = code.replace('{"trust_remote_code": True}  # {} for a stock folder', "{}")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    exec(code, names)
    losses = names["losses"]
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])
    batch = names["batch"]
    with torch.no_grad():
        tuned, again = names["tuned"].eval()(**batch).logits, names["again"].eval()(**batch).logits
    assert torch.allclose(tuned, again, atol=1e-6)
    assert not torch.allclose(tuned, loaded.model(**batch).logits, atol=1e-2)
