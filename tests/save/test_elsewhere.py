"""Stock checkpoints in llama.cpp's format: checks of the statements in docs/elsewhere.md."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from liar import LoadedModel, PruneSpec, load_model
from liar.save.checkpoint import save_model
from tests import tiny
from tests.cut_models import INPUTS, cut, loaded, logits
from tests.gguf_file import expected_sizes, tensors, write_gguf

NO_ENGINE = "llama-cpp-python is not installed (pip install llama-cpp-python compiles llama.cpp, some minutes)"
NO_CONVERTER = "LLAMA_CPP does not name a folder with llama.cpp's convert_hf_to_gguf.py"


def pruned(kind: str, *, repaired: bool) -> LoadedModel:
    """A LLaMA pruned evenly at the sites ``kind``: ffn, attention or both."""
    model = loaded("llama-tied" if kind == "both" else "llama")
    for part in ("ffn", "attention") if kind == "both" else (kind,):
        kept = 20 if part == "ffn" else 2
        cut(model, part, lambda layer, kept=kept: kept, repaired=repaired)
    return model


@pytest.mark.parametrize("repaired", [True, False])
@pytest.mark.parametrize("kind", ["ffn", "attention", "both"])
def test_every_weight_has_a_name_and_the_size_that_llama_cpp_expects(kind: str, repaired: bool, tmp_path: Path) -> None:
    saved = save_model(pruned(kind, repaired=repaired), tmp_path / "model")
    assert saved.form == "stock"
    found = {name: tuple(tensor.shape) for name, tensor in tensors(saved.folder).items()}
    expected = expected_sizes(saved.folder)
    blocks = {name: size for name, size in found.items() if name.startswith("blk.")}
    assert blocks.items() <= expected.items()
    assert {name for name in expected if name.endswith("weight")} <= set(found)
    assert any(name.endswith("ffn_down.bias") for name in found) == (repaired and kind != "attention")
    assert any(name.endswith("attn_output.bias") for name in found) == (repaired and kind != "ffn")


@pytest.mark.parametrize("kind", ["ffn", "attention", "both"])
def test_a_gguf_is_read_back_by_transformers(kind: str, tmp_path: Path) -> None:
    model = pruned(kind, repaired=False)
    saved = save_model(model, tmp_path / "model")
    write_gguf(saved.folder, tmp_path / "model.gguf")
    fields = gguf.GGUFReader(tmp_path / "model.gguf").fields
    config = json.loads((saved.folder / "config.json").read_text())
    assert fields["llama.feed_forward_length"].contents() == config["intermediate_size"]
    assert fields["llama.attention.head_count"].contents() == config["num_attention_heads"]
    again = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf", dtype=torch.float32).eval()
    with torch.no_grad():
        assert torch.allclose(again(**INPUTS)[0], logits(model), atol=1e-5)


@pytest.mark.parametrize("repaired", [True, False])
@pytest.mark.parametrize("kind", ["ffn", "attention", "both"])
def test_llama_cpp_finds_the_same_logits(kind: str, repaired: bool, tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp", reason=NO_ENGINE)
    model = pruned(kind, repaired=repaired)
    saved = save_model(model, tmp_path / "model")
    write_gguf(saved.folder, tmp_path / "model.gguf")
    ids = INPUTS["input_ids"][0].tolist()
    found = scores(engine(tmp_path / "model.gguf", context=64), ids)
    assert np.abs(found - logits(model)[0].numpy()).max() < 1e-3


def engine(path: Path, context: int) -> Any:
    """llama.cpp with keys and values in fp32 instead of its default, half precision."""
    from llama_cpp import Llama

    return Llama(str(path), n_ctx=context, logits_all=True, verbose=False, type_k=0, type_v=0)


def scores(llama: Any, ids: list[int]) -> np.ndarray[Any, Any]:
    llama.reset()
    llama.eval(ids)
    return np.array(llama.scores[: len(ids)])


@pytest.mark.demo
@pytest.mark.parametrize(("targets", "reconstruction"), [("ffn", "least-squares"), ("ffn", "none"), ("heads", "liar")])
def test_llama_cpp_converts_a_run_and_generates_the_same_tokens(
    targets: str, reconstruction: str, tmp_path: Path
) -> None:
    """With llama.cpp's own converter, which converts the tokenizer too."""
    pytest.importorskip("llama_cpp", reason=NO_ENGINE)
    converter = Path(os.environ.get("LLAMA_CPP", ""), "convert_hf_to_gguf.py")
    if not converter.is_file():
        pytest.skip(NO_CONVERTER)
    quick = {"allocation": "uniform", "criterion": "fluctuation", "schedule": "one-shot", "tokens": 512}
    chosen = {"model": "demo/smollm2-135m", "targets": targets, "reconstruction": reconstruction, **quick}
    last, small = tiny.finished(PruneSpec(sequence_length=128, **chosen))
    folder = save_model(small, tmp_path / "model", last.result).folder
    target = tmp_path / "model.gguf"
    converting = [sys.executable, str(converter), str(folder), "--outtype", "f32", "--outfile", str(target)]
    subprocess.run(converting, check=True, capture_output=True, timeout=300)
    model = load_model(str(folder))
    llama = engine(target, context=64)
    prompt = "The capital of France is"
    ids = model.tokenizer(prompt).input_ids
    assert llama.tokenize(prompt.encode(), add_bos=False) == ids
    for _ in range(16):
        found = scores(llama, ids)
        with torch.no_grad():
            expected = model.model(torch.tensor([ids]))[0][0].numpy()
        assert np.abs(found - expected).max() < 1e-2
        ids = [*ids, int(expected[-1].argmax())]
        assert int(found[-1].argmax()) == ids[-1]


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
