"""Saved models of every form give the same outputs in a virtual environment with only torch and transformers.

Takes minutes, because it installs both.
"""

from __future__ import annotations

import os
import subprocess
import venv
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from liar import LoadedModel, PruneSpec, load_model
from liar.save.checkpoint import Saved, save_model
from tests import tiny

_ELSEWHERE = """
import sys, torch, transformers
from importlib.util import find_spec
from safetensors.torch import save_file
assert not any(map(find_spec, ("liar", "accelerate", "peft", "gradio"))), "the environment is not clean"
folder, loader, trust, threads, answer = sys.argv[1:]
torch.set_num_threads(int(threads))
trust = trust == "yes"
tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=trust)
model = getattr(transformers, loader).from_pretrained(folder, trust_remote_code=trust).eval()
for parameter in model.parameters():  # those mapped from a file may be unaligned: another order of sums
    parameter.data = parameter.data.clone()
with torch.no_grad():
    logits = model(**tokenizer("The old bridge was rebuilt in 1904.", return_tensors="pt"))[0]
save_file({"logits": logits.contiguous()}, answer)
print(sum(parameter.numel() for parameter in model.parameters()))
"""


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    wanted = [f"torch=={version('torch').split('+')[0]}", f"transformers=={version('transformers')}"]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
    return python


@pytest.mark.demo
@pytest.mark.parametrize(
    ("model", "choices", "form"),
    [
        ("demo/smollm2-135m", {"targets": "ffn", "allocation": "uniform"}, "stock"),
        ("demo/smollm2-135m", {"targets": "ffn", "allocation": "error-curve"}, "ragged"),
        ("demo/minilm-sentiment", {"targets": "ffn", "allocation": "uniform"}, "stock"),
        ("demo/minilm-topic", {"targets": "heads", "allocation": "uniform"}, "ragged"),
    ],
    ids=["llama-stock", "llama-ragged", "bert-stock", "bert-heads"],
)
def test_a_saved_model_gives_the_same_outputs(
    model: str, choices: dict[str, str], form: str, clean_python: Path, tmp_path: Path
) -> None:
    spec = PruneSpec(model=model, criterion="magnitude", schedule="one-shot", tokens=512).model_copy(update=choices)
    end, pruned = tiny.finished(spec)
    saved = save_model(pruned, tmp_path / "model", end.result)
    assert saved.form == form
    logits, parameters = elsewhere(saved, clean_python, tmp_path)
    assert parameters == end.result.totals.parameters_after
    header = 8 + int.from_bytes((saved.folder / "model.safetensors").read_bytes()[:8], "little")
    assert saved.bytes == header + 4 * parameters, "to the byte"
    assert torch.equal(logits, here(pruned))
    assert torch.equal(logits, here(load_model(str(saved.folder))))


def elsewhere(saved: Saved, python: Path, scratch: Path) -> tuple[torch.Tensor, int]:
    answer = scratch / "answer"
    trust = "yes" if saved.form == "ragged" else "no"
    arguments = [saved.folder, saved.loader, trust, torch.get_num_threads(), answer]
    unchanged = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", _ELSEWHERE, *map(str, arguments)],
        cwd=scratch,
        env=unchanged | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return load_file(answer)["logits"], int(done.stdout.split()[-1])


def here(loaded: LoadedModel) -> torch.Tensor:
    words = loaded.tokenizer("The old bridge was rebuilt in 1904.", return_tensors="pt")
    with torch.no_grad():
        logits: torch.Tensor = loaded.model(**words)[0]
    return logits
