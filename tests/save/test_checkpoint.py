"""Saved models load again, also in another process, with outputs equal to the last bit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from accelerate import cpu_offload, disk_offload
from safetensors.torch import load_file
from transformers import MistralConfig, MistralForSequenceClassification, PreTrainedModel

from benchmarks.small_models import DECODER, randomize
from liar import PruneSpec, load_model
from liar.choices import Reconstruction
from liar.errors import InvalidSpecError, LiarError
from liar.models.families import adapt
from liar.models.loaded import LoadedModel
from liar.models.surgery import ConsumerParameters, install
from liar.runtime.offload import is_offloaded
from liar.save import checkpoint
from liar.save.checkpoint import CARD_FILE, RESULT_FILE, save_model
from liar.save.deliver import reload_difference
from tests import families, tiny
from tests.cut_models import cut, elsewhere, loaded, logits
from tests.fakes import language_run

NO_FFN_BIAS = {
    "nomic_bert",
    "mistral",
    "ministral",
    "ministral3",
    "qwen2",
    "qwen3",
    "qwen3_5_text",
    "hunyuan_v1_dense",
} | {*("stablelm", "gemma", "gemma2", "gemma3_text", "phi3", "olmo2")}
"""Types whose config has no switch for a bias of the FFN, so that a repaired one is ragged."""


@pytest.mark.parametrize("family", families.CORE)
@pytest.mark.parametrize(
    ("kind", "kept", "repaired"),
    [
        ("ffn", lambda layer: 20, True),
        ("ffn", lambda layer: 20, False),
        ("ffn", lambda layer: 10 + 7 * layer, True),
        ("attention", lambda layer: 2, True),
        ("attention", lambda layer: 1 + layer % 2, False),
    ],
    ids=["ffn", "ffn-bare", "ffn-ragged", "heads", "heads-ragged"],
)
def test_every_family_gives_the_same_outputs_after_loading(
    family: str, kind: str, kept: Callable[[int], int], repaired: bool, tmp_path: Path
) -> None:
    dense = loaded(family)
    if kind == "attention" and dense.adapter.prunable == "ffn":
        pytest.skip("only its neurons can go")
    model = cut(dense, kind, kept, repaired=repaired)
    before = logits(model)
    saved = save_model(model, tmp_path / "model")
    if kind == "ffn" and kept(0) == kept(1):
        assert saved.form == ("ragged" if repaired and family in NO_FFN_BIAS else "stock")
    # The Conv1D of a GPT-2 that is not cut multiplies in another order than the linear layer in its place.
    atol = 1e-5 if family == "gpt2" else 0.0
    torch.testing.assert_close(elsewhere(saved), before, rtol=0, atol=atol)
    again = load_model(str(saved.folder))
    torch.testing.assert_close(logits(again), before, rtol=0, atol=atol)
    assert [site.units for site in again.adapter.sites()] == [site.units for site in model.adapter.sites()]
    assert saved.bytes >= sum(p.numel() * 4 for p in again.model.parameters())
    assert {path.stat().st_mode & 0o777 for path in saved.folder.iterdir()} == {0o644}, "others may read it"


@pytest.mark.parametrize(("family", "name"), [("mistral-no-window", "Mistral"), ("qwen2-no-window", "Qwen2")])
@pytest.mark.parametrize("kind", ["ffn", "attention"])
def test_a_repaired_model_whose_config_knows_no_bias_is_saved_as_a_llama_if_it_is_one(
    family: str, name: str, kind: str, tmp_path: Path
) -> None:
    model = cut(loaded(family), kind, lambda layer: 2)
    saved = save_model(model, tmp_path / "model", language_run())
    assert (saved.form, saved.instead_of) == ("stock", f"{name}ForCausalLM")
    assert f"the config of a {name}ForCausalLM knows no bias, a LLaMA's does and computes the same" in saved.sentence
    config = json.loads((saved.folder / "config.json").read_text())
    assert (config["model_type"], config["architectures"]) == ("llama", ["LlamaForCausalLM"])
    assert torch.equal(elsewhere(saved), logits(model))
    assert type(model.model).__name__ == f"{name}ForCausalLM", "the model in memory stays what it is"
    assert "`--no-intercept`" in (saved.folder / CARD_FILE).read_text()


@pytest.mark.parametrize("family", ["mistral", "qwen2", "ministral"])
def test_a_window_shorter_than_the_positions_keeps_a_model_what_it_is(family: str, tmp_path: Path) -> None:
    saved = save_model(cut(loaded(family), "ffn", lambda layer: 2), tmp_path / "model")
    assert (saved.form, saved.instead_of) == ("ragged", None)


def test_a_classifier_of_texts_is_saved_as_a_llama_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = MistralConfig(**DECODER, sliding_window=None, num_labels=3, id2label={0: "a", 1: "b", 2: "c"})
    network = randomize(MistralForSequenceClassification(config))
    model = LoadedModel("tiny/mistral", network, tiny.tokenizer(64), adapt(network), None)
    saved = save_model(cut(model, "ffn", lambda layer: 2), tmp_path / "model")
    assert saved.instead_of == "MistralForSequenceClassification"
    assert torch.equal(elsewhere(saved), logits(model))
    assert load_model(str(saved.folder)).model.config.id2label == {0: "a", 1: "b", 2: "c"}


def test_a_checkpoint_that_is_not_the_model_in_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the reason: here a weight changes while it is written."""
    write = checkpoint.save_weights

    def wrong(model: PreTrainedModel, *arguments: object, **options: object) -> None:
        with torch.no_grad():
            model.model.layers[1].mlp.down_proj.weight *= 2
        write(model, *arguments, **options)  # type: ignore[arg-type]
        with torch.no_grad():
            model.model.layers[1].mlp.down_proj.weight /= 2

    monkeypatch.setattr(checkpoint, "save_weights", wrong)
    with pytest.raises(LiarError, match=r"would not be the model in memory: behind layer 1 it differs by 0\.\d+"):
        save_model(loaded("llama"), tmp_path / "model")
    assert not list(tmp_path.iterdir()), "nothing is left of it"


def test_loaded_weights_are_aligned_like_those_in_memory(tmp_path: Path) -> None:
    """Equal alignment gives equal order of sums, so that a copy in memory has the same outputs to the last bit."""
    saved = save_model(cut(loaded("bert"), "attention", lambda layer: 2), tmp_path / "model")
    again = load_model(str(saved.folder))
    assert {parameter.data_ptr() % 64 for parameter in again.model.parameters()} == {0}


def test_a_ragged_model_can_be_pruned_and_saved_again(tmp_path: Path) -> None:
    first = save_model(cut(loaded("llama"), "ffn", lambda layer: 30 + layer), tmp_path / "first")
    again = cut(load_model(str(first.folder)), "ffn", lambda layer: 9 + layer)
    second = save_model(again, tmp_path / "second")
    assert (first.form, second.form) == ("ragged", "ragged")
    assert torch.equal(elsewhere(second), logits(again))
    assert (second.folder / "modeling_liar.py").read_text() == (first.folder / "modeling_liar.py").read_text()
    plain = save_model(cut(load_model(str(first.folder)), "ffn", lambda layer: 9), tmp_path / "plain")
    assert plain.form == "stock", "even layers need nothing of ours any more"
    assert "liar" not in (plain.folder / "config.json").read_text()
    assert not (plain.folder / "modeling_liar.py").exists()


@pytest.mark.parametrize("form", ["stock", "ragged"])
def test_the_tokenizer_says_nothing_of_its_origin_and_needs_no_code(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the model card loads it: transformers asks on the terminal whether to run code, unless a choice says no."""
    first = save_model(loaded("llama"), tmp_path / "first")
    again = load_model(str(first.folder))
    assert "is_local" in again.tokenizer.init_kwargs
    model = cut(again, "ffn", lambda layer: 9 + (form == "ragged") * layer)
    saved = save_model(model, tmp_path / "model", language_run())
    assert saved.form == form
    assert (
        not {"is_local", "local_files_only"} & json.loads((saved.folder / "tokenizer_config.json").read_text()).keys()
    )
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("transformers asks whether to run code"))
    (line,) = re.findall(r"^tokenizer = (.*)$", (saved.folder / CARD_FILE).read_text(), flags=re.MULTILINE)
    tokenizer = eval(line, {"AutoTokenizer": transformers.AutoTokenizer, "path": str(saved.folder)})
    assert tokenizer("a b c") == model.tokenizer("a b c")


@pytest.mark.parametrize(("family", "form"), [("llama", "stock"), ("mistral", "ragged"), ("qwen3", "ragged")])
def test_a_patch_with_a_bias_needs_a_config_that_knows_one(family: str, form: str, tmp_path: Path) -> None:
    model = loaded(family)
    site = model.adapter.sites("ffn")[0]
    consumer = model.adapter.consumer(site)
    install(consumer, ConsumerParameters(consumer.weight, torch.full((consumer.out_features,), 0.1)))
    model.adapter.remove_blocks(range(1, 2))
    model.adapter.after_surgery()
    saved = save_model(model, tmp_path / "model")
    assert saved.form == form
    assert torch.equal(elsewhere(saved), logits(model))


@pytest.mark.parametrize(
    "name", ["BertForQuestionAnswering", "BertForTokenClassification", "BertForMaskedLM", "LlamaForTokenClassification"]
)
def test_a_head_without_a_task_is_kept_by_pruning_saving_and_loading(name: str, tmp_path: Path) -> None:
    kind = getattr(transformers, name)
    sizes = {"vocab_size": 30, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    torch.manual_seed(0)
    config = kind.config_class(**sizes, num_attention_heads=4, pad_token_id=0, initializer_range=0.3)
    kind(config).save_pretrained(tmp_path / "dense")
    tiny.tokenizer(64).save_pretrained(tmp_path / "dense")
    recipe = {"criterion": "obs", "allocation": "error-curve", "calibration": tiny.letters_file(tmp_path)}
    spec = PruneSpec(
        model=str(tmp_path / "dense"), device="cpu", targets="both", tokens=256, sequence_length=32, **recipe
    )
    last, model = tiny.finished(spec)
    saved = save_model(model, tmp_path / "saved", last.result)
    assert saved.form == "ragged"
    if name in ("BertForQuestionAnswering", "LlamaForTokenClassification"):
        assert reload_difference(saved, model) == 0
    again = load_model(str(saved.folder), device="cpu")
    assert isinstance(again.model, kind)
    assert torch.equal(logits(again), logits(model))


@pytest.mark.parametrize("reconstruction", ["least-squares", "scale"])
def test_a_run_is_saved_with_its_figures(reconstruction: Reconstruction, tmp_path: Path) -> None:
    text = tiny.letters_file(tmp_path)
    chosen = PruneSpec(
        model="tiny/llama", calibration=text, tokens=256, sequence_length=16, reconstruction=reconstruction
    )
    last, model = tiny.finished(chosen, tiny.language_model())
    saved = save_model(model, tmp_path / "model", last.result)
    kept = json.loads((saved.folder / RESULT_FILE).read_text())
    assert kept["spec"]["ratio"] == 0.5
    assert "tiny/llama" in (saved.folder / "README.md").read_text()
    parameters = last.result.totals.parameters_after
    assert sum(p.numel() for p in load_model(str(saved.folder)).model.parameters()) == parameters


@pytest.mark.long
@pytest.mark.demo
@pytest.mark.parametrize(
    ("model", "targets", "allocation", "form"),
    [
        ("demo/smollm2-135m", "ffn", "uniform", "stock"),
        ("demo/smollm2-135m", "ffn", "error-curve", "ragged"),
        ("demo/minilm-sentiment", "ffn", "uniform", "stock"),
        ("demo/minilm-topic", "heads", "uniform", "ragged"),
    ],
)
def test_a_demo_model_is_as_small_as_planned_and_the_same_elsewhere(
    model: str, targets: str, allocation: str, form: str, tmp_path: Path
) -> None:
    quick = {"criterion": "fluctuation", "schedule": "one-shot", "tokens": 512, "sequence_length": 128}
    last, pruned = tiny.finished(PruneSpec(model=model, targets=targets, allocation=allocation, **quick))
    saved = save_model(pruned, tmp_path / "model", last.result)
    assert saved.form == form
    (weights,) = saved.folder.glob("*.safetensors")
    header = 8 + int.from_bytes(weights.read_bytes()[:8], "little")
    assert saved.bytes - header == 4 * last.result.totals.parameters_after
    assert reload_difference(saved, pruned) == 0


@pytest.mark.parametrize("where", ["host", "disk"])
@pytest.mark.parametrize("family", ["llama-tied", "bert"])
def test_a_streamed_model_is_saved_from_host_or_disk(family: str, where: str, tmp_path: Path) -> None:
    expected = save_model(cut(loaded(family), "ffn", lambda layer: 20), tmp_path / "resident")
    streamed = loaded(family)
    if where == "host":
        cpu_offload(streamed.model, execution_device=torch.device("cpu"))
    else:
        disk_offload(streamed.model, str(tmp_path / "weights"), execution_device=torch.device("cpu"))
    saved = save_model(cut(streamed, "ffn", lambda layer: 20), tmp_path / "streamed")
    assert is_offloaded(streamed.model), "it goes on being streamed"
    assert not hasattr(streamed.model, "hf_device_map")
    assert saved.form == expected.form == "stock"
    for name in ("model.safetensors", "config.json"):
        assert (saved.folder / name).read_bytes() == (expected.folder / name).read_bytes()
    assert reload_difference(saved, streamed) == 0


def test_weights_are_rounded_and_split_as_asked(tmp_path: Path) -> None:
    model = cut(loaded("llama-tied"), "ffn", lambda layer: 10 + 7 * layer)
    before = {name: tensor.clone() for name, tensor in model.model.state_dict().items()}
    whole = save_model(model, tmp_path / "whole")
    saved = save_model(model, tmp_path / "half", dtype="bfloat16", shard_bytes=20_000)
    shards = sorted(saved.folder.glob("*.safetensors"))
    assert len(shards) > 2
    assert max(path.stat().st_size for path in shards) < 20_000
    tensors = {name: tensor for path in shards for name, tensor in load_file(path).items()}
    index = json.loads((saved.folder / "model.safetensors.index.json").read_text())
    assert index["weight_map"].keys() == tensors.keys()
    assert index["metadata"]["total_size"] == sum(t.numel() * 2 for t in tensors.values())
    assert json.loads((saved.folder / "config.json").read_text())["dtype"] == "bfloat16"
    assert 0.45 * whole.bytes < saved.bytes < 0.6 * whole.bytes
    scale = logits(model).abs().max()
    assert 0 < reload_difference(saved, model) < 0.05 * scale, "rounding is seen, and no more than that"
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.model.state_dict().items())
    assert load_model(str(saved.folder), dtype="bfloat16").model.dtype == torch.bfloat16
    with pytest.raises(InvalidSpecError, match="no dtype 'int3'"):
        save_model(model, tmp_path / "never", dtype="int3")
    assert not (tmp_path / "never").exists()
