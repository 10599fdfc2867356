"""Engines that build the bare model: a check of a statement in docs/elsewhere.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from liar.save.checkpoint import save_model
from tests.cut_models import cut, loaded


def test_a_ragged_checkpoint_has_no_class_for_an_engine_that_builds_the_bare_model(tmp_path: Path) -> None:
    """vLLM's transformers backend needs an AutoModel class; docs/elsewhere.md states that ragged checkpoints have none."""
    saved = save_model(cut(loaded("llama"), "ffn", lambda layer: 10 + 7 * layer), tmp_path / "model")
    code = (
        "import sys; from transformers import AutoConfig, AutoModel\n"
        "config = AutoConfig.from_pretrained(sys.argv[1], trust_remote_code=True)\n"
        "AutoModel.from_config(config, trust_remote_code=True)"
    )
    asked = [sys.executable, "-c", code, str(saved.folder)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "Unrecognized configuration class" in done.stderr
