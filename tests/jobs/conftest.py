"""Tiny models and texts of letters for runs."""

from __future__ import annotations

import pytest
import torch

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
