"""Every listed type of model, as a small random model of its real config class: what can go, and the form that it saves in.

Each loses half of its neurons, heads or both, or a third of its layers, all layers alike, and is repaired, saved, and loaded
again in a fresh process that cannot import this library, where its logits are compared. What cannot go has the reason.

    python benchmarks/families.py           prints the table (a minute on two cores); exits 1 if logits differ by over 1e-4
    python benchmarks/families.py --write   also puts it into docs/results/families.md, between its markers
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from readme import command_line, show, table
from small_models import VOCABULARY, write

from liar import PruneSpec, save_model, stream
from liar.errors import UnsupportedModelError
from liar.events import Finished
from liar.presets import ARCHITECTURES
from liar.save.checkpoint import Saved

WAYS: dict[str, dict[str, Any]] = {
    "neurons": {"targets": "ffn", "ratio": 0.5},
    "neurons, no intercept": {"targets": "ffn", "ratio": 0.5, "intercept": False},
    "heads": {"targets": "heads", "ratio": 0.5},
    "both": {"targets": "both", "ratio": 0.5},
    "layers": {"targets": "layers", "ratio": 0.34},
}
"""What goes: the columns of the table."""

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    **{each.title: (each.model_type, {}) for each in ARCHITECTURES},
    "Mistral, no window": ("mistral", {"sliding_window": None}),
    "Qwen2, no window": ("qwen2", {"use_sliding_window": False}),
}
"""Type and sizes of each row; the small Mistral and Qwen2 have a sliding window shorter than their positions."""
LIMIT = 1e-4
"""Largest difference of the logits: a GPT-2 multiplies in another order once it is loaded by other code."""

_RELOAD = """
import json, sys, torch, transformers
sys.modules["liar"] = None  # an import of it fails
transformers.logging.set_verbosity_error()
for line in sys.stdin:
    folder, loader, trust, vocabulary = json.loads(line)
    model = getattr(transformers, loader).from_pretrained(folder, trust_remote_code=trust).eval()
    for parameter in model.parameters():  # mapped from a file they may be unaligned: another order of sums
        parameter.data = parameter.data.clone()
    with torch.no_grad():
        logits = model(torch.arange(4, vocabulary).remainder(30).view(3, -1)[:, :24]).logits
    print(json.dumps(logits.flatten().tolist()), flush=True)
"""


@dataclass
class Cell:
    """What went of one model: the sentence of a refusal, or how it was saved, its logits, and the seconds of run and save."""

    model: str
    refused: str = ""
    saved: Saved | None = None
    logits: torch.Tensor | None = None
    seconds: float = 0.0
    difference: float = 0.0

    @property
    def form(self) -> str:
        if self.saved is None:
            return "no"
        return self.saved.form if self.saved.instead_of is None else "stock, as a LLaMA"


def main() -> int:
    writes = command_line(__doc__).parse_args().write
    with tempfile.TemporaryDirectory() as scratch:
        rows = {model: cells_of(model, Path(scratch)) for model in MODELS}
        compare([cell for cells in rows.values() for cell in cells.values()])
    show("families", text(rows), writes)
    return 1 if max(cell.difference for cells in rows.values() for cell in cells.values()) > LIMIT else 0


def text(rows: dict[str, dict[str, Cell]]) -> str:
    """One line for each model, and what cannot go."""
    lines = []
    why: dict[str, list[str]] = {}
    for model, cells in rows.items():
        difference, seconds = (fmt(getattr(cell, name) for cell in cells.values()) for name, fmt in _FIGURES.items())
        lines.append([model, f"`{MODELS[model][0]}`", *(cell.form for cell in cells.values()), difference, seconds])
        for sentence in {cell.refused for cell in cells.values() if cell.refused}:
            what, _, reason = sentence.partition(f" of {model} ")
            why.setdefault(f"{what} of {{}} {reason}", []).append(model)
    found = table(["model", "type", *WAYS, "largest difference of logits", "seconds"], lines)
    return "\n\n".join(
        [found, "\n".join(f"- {sentence.format(', '.join(models))}" for sentence, models in why.items())]
    )


_FIGURES = {"difference": lambda values: f"{max(values):.1g}", "seconds": lambda values: f"{sum(values):.1f}"}


def cells_of(model: str, scratch: Path) -> dict[str, Cell]:
    """Prune a small model in every way, and save what is left of it below ``scratch``."""
    model_type, sizes = MODELS[model]
    folder = scratch / model
    write(model_type, folder, **sizes)
    return {way: cell_of(model, way, folder) for way in WAYS}


def cell_of(model: str, way: str, folder: Path) -> Cell:
    cell = Cell(model)
    text = {"calibration": str(folder / "text.txt"), "tokens": 1024, "sequence_length": 32}
    # Layers of one width show what a config can express.
    spec = PruneSpec(model=str(folder), allocation="uniform", device="cpu", dtype="float32", **text, **WAYS[way])
    start = time.perf_counter()
    try:
        *_, last = stream(spec)
    except UnsupportedModelError as error:
        cell.refused = str(error)
        return cell
    assert isinstance(last, Finished)
    assert last.model is not None
    cell.saved = save_model(last.model, folder.with_name(f"{model}, {way}"), last.result)
    cell.seconds = time.perf_counter() - start
    with torch.no_grad():
        cell.logits = last.model.model(_ids()).logits.flatten()
    return cell


def _ids() -> torch.Tensor:
    return torch.arange(4, VOCABULARY).remainder(30).view(3, -1)[:, :24]


def compare(cells: list[Cell]) -> None:
    """Note in ``cells`` how much their logits differ in a fresh process."""
    saved = [(cell, cell.saved, cell.logits) for cell in cells if cell.saved is not None]
    for (cell, _, logits), again in zip(saved, _reloaded([each for _, each, _ in saved]), strict=True):
        assert logits is not None
        cell.difference = float((logits - torch.tensor(again)).abs().max())


def _reloaded(models: Sequence[Saved]) -> list[list[float]]:
    asked = [json.dumps([str(each.folder), each.loader, each.form == "ragged", VOCABULARY]) for each in models]
    with tempfile.TemporaryDirectory() as elsewhere:
        done = subprocess.run(
            [sys.executable, "-c", _RELOAD],
            input="\n".join(asked),
            capture_output=True,
            text=True,
            cwd=elsewhere,
            check=False,
        )
    if done.returncode != 0:
        raise SystemExit(f"A checkpoint does not load elsewhere: {done.stderr.strip().splitlines()[-1]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]


if __name__ == "__main__":
    sys.exit(main())
