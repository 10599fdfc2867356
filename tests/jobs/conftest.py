"""Tiny models and texts of letters for runs."""

from __future__ import annotations

import pytest
import torch

from liar.data.tasks import LabelledText
from liar.models.catalog import LoadedModel
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
def letters(monkeypatch: pytest.MonkeyPatch) -> LabelledText:
    """Replace the film reviews by labelled texts of random letters."""
    generator = torch.Generator().manual_seed(2)
    texts = [
        " ".join(tiny.LETTERS[int(letter)] for letter in torch.randint(0, 26, (12,), generator=generator))
        for _ in range(60)
    ]
    items = LabelledText(texts, torch.randint(0, 2, (60,), generator=generator).tolist(), ("negative", "positive"))
    monkeypatch.setattr("liar.evaluate.tasks.task_items", lambda *_: items)
    return items
