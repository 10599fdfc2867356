"""Deliver the model of a run: write a checkpoint, load it again in a fresh process, pack it as a zip on request."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from liar.errors import LiarError
from liar.events import Progress
from liar.files import pack
from liar.jobs.plan import saving_parts
from liar.models.loaded import LoadedModel, bytes_in_memory
from liar.models.quantize import quantized
from liar.progress import Pace
from liar.results import RunResult
from liar.runtime.devices import execution_device
from liar.runtime.environment import readable_failures
from liar.runtime.placement import choose_dtype
from liar.save.checkpoint import SHARD_BYTES, Saved, save_model

_CHECK_TOKENS = 16

# Weights mapped from a file may be unaligned, so some CPUs sum in another order; clones are aligned as torch's own.
_RELOAD = """
import sys, torch, transformers
from safetensors.torch import load_file, save_file
folder, loader, trust, threads, asked, answered = sys.argv[1:]
torch.set_num_threads(int(threads))
transformers.logging.set_verbosity_error()
model = getattr(transformers, loader).from_pretrained(folder, trust_remote_code=trust == "yes", dtype="auto").eval()
for parameter in model.parameters():
    parameter.data = parameter.data.clone()
with torch.no_grad():
    outputs = model(**load_file(asked)).to_tuple()
save_file({str(at): each.contiguous() for at, each in enumerate(outputs) if torch.is_tensor(each)}, answered)
"""


@dataclass(frozen=True, slots=True)
class Delivered:
    """A checkpoint, and the largest difference between its logits and those of the model in memory."""

    saved: Saved
    difference: float

    @property
    def sentence(self) -> str:
        """Sentence for the user: what was written, how it loads, and the difference after loading it again."""
        return (
            f"Saved {self.saved.folder}, {self.saved.bytes / 1e6:,.1f} MB of weights ({self.saved.precision}). "
            f"{self.saved.sentence} Loaded again in a fresh process: its logits differ by {self.difference:g} at most."
        )


def weight_bytes_as(loaded: LoadedModel, dtype: str) -> int:
    """Most bytes that the weights take when they are saved as ``dtype``, see :func:`liar.save.checkpoint.save_model`."""
    size = bytes_in_memory(loaded.model)
    if dtype == "auto":
        return size
    return size * choose_dtype(dtype, torch.device("cpu")).itemsize // loaded.model.dtype.itemsize


def saving_steps(
    loaded: LoadedModel,
    folder: Path,
    result: RunResult,
    *,
    dtype: str = "auto",
    shard_bytes: int = SHARD_BYTES,
    archive: Path | None = None,
) -> Generator[Progress, None, Delivered]:
    """Save ``loaded`` to a new ``folder`` and check that it loads; ``archive`` is the path of an additional zip.

    The weights are quantized if the run of ``result`` quantized. Raises the errors of
    :func:`liar.save.checkpoint.save_model` and :func:`reload_difference`.
    """
    steps = 2 if archive is None else 3
    with readable_failures():
        pace = Pace(saving_parts(bytes_in_memory(loaded.model), packed=archive is not None))
        yield pace.at("write", "save", 0, steps, f"Writing {folder.name}", fraction=0.0)
        model = quantized(loaded) if result.spec.quantize == "int8" else loaded
        saved = save_model(model, folder, result, dtype=dtype, shard_bytes=shard_bytes)
        yield pace.at("reload", "save", 1, steps, "Loading it in a fresh process", fraction=0.0)
        difference = reload_difference(saved, model)
        if archive is not None:
            yield pace.at("pack", "save", 2, steps, f"Packing {archive.name}", fraction=0.0)
            pack(folder, archive)
        return Delivered(saved, difference)


def reload_difference(saved: Saved, loaded: LoadedModel) -> float:
    """Largest difference between the logits of ``loaded`` and those of its checkpoint in a fresh process without LIAR.

    For a model without logits its hidden states are compared, for one with several outputs (start and end of an answer)
    all of them. 0 on a CPU if the precision was kept: same shapes, weights and number of threads. Raises
    :class:`LiarError` if the process cannot load the checkpoint.
    """
    ids = torch.arange(_CHECK_TOKENS).remainder(loaded.model.config.vocab_size).unsqueeze(0)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with tempfile.TemporaryDirectory() as scratch:
        asked, answered = Path(scratch, "asked"), Path(scratch, "answered")
        save_file(inputs, asked)
        trust = "yes" if saved.form == "ragged" else "no"
        arguments = [saved.folder.resolve(), saved.loader, trust, torch.get_num_threads(), asked, answered]
        done = subprocess.run(
            [sys.executable, "-c", _RELOAD, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=scratch,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            check=False,
        )
        if done.returncode != 0:
            reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
            raise LiarError(f"The checkpoint in {saved.folder} was written but does not load again ({reason}).")
        again = load_file(answered)
    device = execution_device(loaded.model)
    with torch.no_grad():
        outputs = loaded.model(**{name: tensor.to(device) for name, tensor in inputs.items()}).to_tuple()
    here = {str(at): each.cpu() for at, each in enumerate(outputs) if torch.is_tensor(each)}
    return max(float((again[name].float() - each.float()).abs().max()) for name, each in here.items())
