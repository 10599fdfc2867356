"""Tiny models, texts of letters and the default spec of the tests of runs, and the end of a run."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from liar import PruneSpec
from liar.events import Finished
from liar.models.loaded import LoadedModel
from liar.tasks.samples import Sample
from tests import tiny


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A calibration file of letters, each 1 to 3 places after the one before, so that they are predictable."""
    generator = torch.Generator().manual_seed(0)
    path = tmp_path_factory.mktemp("text") / "letters.txt"
    lines = []
    for _ in range(120):
        start = int(torch.randint(0, 26, (), generator=generator))
        steps = torch.randint(1, 4, (30,), generator=generator).cumsum(0)
        lines.append(" ".join(tiny.LETTERS[(start + int(step)) % 26] for step in steps))
    path.write_text("\n\n".join(lines))
    return str(path)


@pytest.fixture
def model() -> LoadedModel:
    return tiny.language_model()


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> list[Sample]:
    """Replace the film reviews by labelled texts of random letters."""
    samples = tiny.labelled_letters(12)
    tiny.replace_demo_samples(monkeypatch, samples)
    return samples


def spec(text: str, **choices: object) -> PruneSpec:
    defaults = {"calibration": text, "tokens": 640, "sequence_length": 32, "targets": "both", "ratio": 0.5}
    return PruneSpec.create(model="tiny/llama", **{**defaults, **choices})


def finished(chosen: PruneSpec, loaded: LoadedModel | None, **given: Any) -> Finished:
    """The last event of a run that answers a prompt, so that its models stay in memory."""
    return tiny.finished(chosen, loaded, **{"prompts": ["a b c"], "max_new_tokens": 3, **given})[0]
