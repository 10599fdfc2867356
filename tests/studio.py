"""The services of a server that keeps everything in a temporary folder and loads no model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from components.shared.studio import Studio
from liar.explore.atlas_store import AtlasStore
from liar.store import RunStore
from server.job_queue import JobQueue
from server.model_registry import ModelRegistry
from server.profile import LOCAL
from tests import tiny


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """Empty stores, a queue of jobs, and a registry of placeholder models."""
    shipped = tmp_path / "shipped"
    jobs = JobQueue()
    yield Studio(
        RunStore(tmp_path / "runs", shipped=shipped),
        AtlasStore(tmp_path / "atlases", shipped=shipped),
        ModelRegistry(10**9, _load),
        jobs,
        LOCAL,
    )
    jobs.close()


def _load(model: str, *_: Any) -> Any:
    network: Any = torch.nn.Linear(1, 1)
    network.config = SimpleNamespace(model_type="llama", max_position_embeddings=8_192)
    tokenizer = tiny.tokenizer(8_192)
    return SimpleNamespace(
        id=model,
        model=network,
        embedder=None,
        adapter=SimpleNamespace(base=network),
        tokenizer=tokenizer,
        task=None,
        is_language_model=True,
        head="causal-lm",
        kind="language-model",
    )
