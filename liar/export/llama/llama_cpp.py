"""The folder for llama.cpp and Ollama: a GGUF file and a Modelfile."""

from __future__ import annotations

import torch

from liar.export.job import Job, Writing, Written
from liar.export.llama import gguf_check
from liar.export.llama.gguf_file import TYPES, architecture_of, write_gguf

_CODE = 'from llama_cpp import Llama\n\nmodel = Llama("{name}")  # or: ollama create NAME -f Modelfile'


def write_llama_cpp(job: Job) -> Writing:
    """Write the file, and compare it with torch where llama-cpp-python is installed."""
    name = f"{job.name}-{TYPES[job.weights]}.gguf"
    yield job.pace.at("write", "save", 0, 2, f"Writing {name}", fraction=0.0)
    left = write_gguf(job.loaded, job.folder / name, job.weights, job.name)
    (job.folder / "Modelfile").write_text(f"FROM ./{name}\n", encoding="utf-8")
    yield job.pace.at("check", "save", 1, 2, "Comparing it with torch", fraction=0.0)
    checks = gguf_check.checks(job.loaded, job.folder / name, job.weights, torch.get_num_threads())
    notes = [] if checks is not None else [gguf_check.NOT_INSTALLED]
    if left:
        notes.append(
            f"{len(left)} weights are in f16: their rows are no multiple of 32, which q8_0 rounds together; prune with "
            "`--multiple 32`."
        )
    code = _CODE.format(name=name)
    return Written(architecture_of(job.loaded), (name,), tuple(checks or ()), code, tuple(notes))
