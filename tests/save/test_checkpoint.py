"""Saved models load again, elsewhere too, and say the same to the last bit; what cannot be written leaves nothing."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from accelerate import cpu_offload, disk_offload
from huggingface_hub import ModelCard
from safetensors import SafetensorError
from safetensors.torch import load_file

from liar import LoadedModel, PruneSpec, load_model, stream
from liar.errors import InvalidSpecError, ModelNotFoundError, StorageError, UnsupportedModelError
from liar.events import Finished
from liar.maths.reconstruct import Solution
from liar.models.families import adapt
from liar.models.offload import is_offloaded, resident
from liar.models.surgery import ConsumerParameters, kept_channels, shrink
from liar.save.checkpoint import RESULT_FILE, Saved, save_model
from liar.save.deliver import reload_difference
from liar.save.model_card import model_card
from tests import families, tiny
from tests.fakes import language_run

INPUTS = {"input_ids": torch.arange(3, 19).unsqueeze(0), "attention_mask": torch.ones(1, 16, dtype=torch.long)}


def loaded(family: str) -> LoadedModel:
    model = families.build(family).float()
    adapter = adapt(model)
    return LoadedModel(f"tiny/{family}", model, tiny.tokenizer(64), adapter, None)


def cut(model: LoadedModel, kind: str, kept: Callable[[int], int], *, repaired: bool = True) -> LoadedModel:
    """Keep the first ``kept(layer)`` bundles of every site of ``kind``, with a bias that is not zero where ``repaired``."""
    sites = [site for site in model.adapter.sites() if site.kind == kind]
    for site in sites:
        bundles = torch.arange(kept(site.layer))
        channels = kept_channels(site, bundles, torch.device("cpu"))
        consumer = model.adapter.consumer(site)
        weight = consumer.weight.T[channels]
        change = torch.full((weight.shape[1],), 0.1 if repaired else 0.0)
        shrink(model.adapter, site, bundles, ConsumerParameters.install_of(consumer, Solution(weight, change)))
    model.adapter.after_surgery(sites)
    return model


def logits(model: LoadedModel) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.model.eval()(**INPUTS)[0]
    return found


def elsewhere(saved: Saved) -> torch.Tensor:
    """What transformers makes of the folder by itself.

    Weights mapped from a file begin at any address, where some CPUs add up in another order; copies do not.
    """
    loader = getattr(transformers, saved.loader)
    model = loader.from_pretrained(saved.folder, trust_remote_code=saved.form == "ragged").eval()
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    with torch.no_grad():
        found: torch.Tensor = model(**INPUTS)[0]
    return found


UNIFORM_FFN = {"llama": "stock", "llama-tied": "stock", "llama-biased": "stock", "bert": "stock", "roberta": "stock"}
"""The other families have no name for the bias of a repaired layer."""


@pytest.mark.parametrize("family", families.BUILDERS)
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
def test_every_family_says_the_same_after_loading(
    family: str, kind: str, kept: Callable[[int], int], repaired: bool, tmp_path: Path
) -> None:
    model = cut(loaded(family), kind, kept, repaired=repaired)
    before = logits(model)
    saved = save_model(model, tmp_path / "model")
    if kind == "ffn" and kept(0) == kept(1):
        assert saved.form == ("stock" if not repaired else UNIFORM_FFN.get(family, "ragged"))
    assert torch.equal(elsewhere(saved), before)
    again = load_model(str(saved.folder))
    assert torch.equal(logits(again), before)
    assert [site.units for site in again.adapter.sites()] == [site.units for site in model.adapter.sites()]
    assert saved.bytes >= sum(p.numel() * 4 for p in again.model.parameters())
    assert {path.stat().st_mode & 0o777 for path in saved.folder.iterdir()} == {0o644}, "others may read it"


def test_loaded_weights_begin_where_those_in_memory_do(tmp_path: Path) -> None:
    """A copy, which begins there, then gives the same bits as the model that was loaded."""
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


@pytest.mark.parametrize("kept", [lambda layer: 20, lambda layer: 10 + 7 * layer], ids=["stock", "ragged"])
def test_a_fresh_process_without_liar_finds_the_same_logits(kept: Callable[[int], int], tmp_path: Path) -> None:
    model = cut(loaded("llama"), "ffn", kept)
    saved = save_model(model, tmp_path / "model")
    assert reload_difference(saved, model) == 0
    with torch.no_grad():
        next(model.model.parameters()).add_(0.5)
    assert reload_difference(saved, model) > 0, "a difference is seen"


HEADS_BESIDE_THE_FAMILIES = (
    transformers.BertForQuestionAnswering,
    transformers.BertForTokenClassification,
    transformers.BertForMaskedLM,
    transformers.LlamaForTokenClassification,
)


@pytest.mark.parametrize("kind", HEADS_BESIDE_THE_FAMILIES, ids=lambda kind: kind.__name__)
def test_a_head_without_a_task_is_kept_by_pruning_saving_and_loading(
    kind: type[transformers.PreTrainedModel], tmp_path: Path
) -> None:
    sizes = {"vocab_size": 30, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    torch.manual_seed(0)
    config = kind.config_class(**sizes, num_attention_heads=4, pad_token_id=0, initializer_range=0.3)
    kind(config).save_pretrained(tmp_path / "dense")
    tiny.tokenizer(64).save_pretrained(tmp_path / "dense")
    text = tmp_path / "letters.txt"
    text.write_text("\n\n".join("a b c d e f g h i j k l" for _ in range(40)))
    recipe = {"allocation": "error-curve", "calibration": str(text), "tokens": 256, "sequence_length": 32}
    spec = PruneSpec(model=str(tmp_path / "dense"), device="cpu", targets="both", **recipe)
    finished = next(event for event in stream(spec) if isinstance(event, Finished))
    assert finished.model is not None
    saved = save_model(finished.model, tmp_path / "saved", finished.result)
    assert saved.form == "ragged"
    if kind in (transformers.BertForQuestionAnswering, transformers.LlamaForTokenClassification):
        assert reload_difference(saved, finished.model) == 0
    again = load_model(str(saved.folder), device="cpu")
    assert isinstance(again.model, kind)
    assert torch.equal(logits(again), logits(finished.model))


def test_a_run_is_saved_with_its_figures(tmp_path: Path) -> None:
    text = tmp_path / "letters.txt"
    text.write_text("\n\n".join(" ".join(tiny.LETTERS[i:] + tiny.LETTERS[:i]) for i in range(26)))
    chosen = PruneSpec(model="tiny/llama", calibration=str(text), tokens=256, sequence_length=16, schedule="one-shot")
    finished = list(stream(chosen, tiny.language_model()))[-1]
    assert isinstance(finished, Finished)
    assert finished.model is not None
    saved = save_model(finished.model, tmp_path / "model", finished.result)
    kept = json.loads((saved.folder / RESULT_FILE).read_text())
    assert kept["spec"]["ratio"] == 0.5
    assert "tiny/llama" in (saved.folder / "README.md").read_text()
    parameters = finished.result.totals.parameters_after
    assert sum(p.numel() for p in load_model(str(saved.folder)).model.parameters()) == parameters


@pytest.mark.parametrize("trust", [False, True])
def test_the_model_card_says_what_it_is_and_how_to_load_it(trust: bool) -> None:
    run = language_run(ratio=0.5)
    card = ModelCard(model_card(run, "AutoModelForCausalLM", trust=trust))
    assert card.data.base_model == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert (card.data.license, card.data.pipeline_tag) == ("apache-2.0", "text-generation")
    assert (card.data.library_name, card.data.tags) == ("transformers", ["pruned", "liar"])
    (measured,) = card.data.eval_results
    assert (measured.task_type, measured.metric_type, measured.metric_value) == ("text-generation", "perplexity", 42.4)
    assert ("trust_remote_code=True" in card.text) == trust
    for words in ("110.7", "42.4", "liar prune demo/smollm2-135m", "fewer parameters", "Apache-2.0"):
        assert words in card.text
    unmeasured = run.model_copy(update={"evaluations": [], "spec": run.spec.model_copy(update={"model": "a/folder"})})
    card = ModelCard(model_card(unmeasured, "AutoModel", trust=False))
    assert (card.data.license, card.data.pipeline_tag, card.data.base_model) == (None, None, "a/folder")
    assert "model-index" not in card.content
    assert "| n |" not in card.text


@pytest.mark.parametrize("model", ["/home/somebody/model", "here", "~/model", "a/b/c"])
def test_a_folder_is_no_base_model_on_the_hub(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own check of the metadata needs the network; a path in it is what is known to be refused."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    card = ModelCard(model_card(language_run(model=model), "AutoModelForCausalLM", trust=False))
    assert card.data.base_model is None


# -- what cannot be ------------------------------------------------------------------------------------------------------


def nothing_left(folder: Path) -> bool:
    return list(folder.iterdir()) == []


def test_what_exists_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(StorageError, match="exists already"):
        save_model(loaded("llama"), tmp_path / "model")
    with pytest.raises(StorageError, match="does not exist"):
        save_model(loaded("llama"), tmp_path / "no" / "model")


@pytest.mark.parametrize(
    "failure", [OSError(errno.ENOSPC, "No space left on device"), SafetensorError("No space left on device")]
)
def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    failure: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object, **_options: object) -> None:
        raise failure

    model = loaded("llama")
    monkeypatch.setattr(type(model.model), "save_pretrained", full)
    with pytest.raises(StorageError, match="No space left on device"):
        save_model(model, tmp_path / "model")
    assert nothing_left(tmp_path)


def test_a_killed_save_leaves_no_folder(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from tests.save.test_checkpoint import loaded; import liar.save.checkpoint as c\n"
        "m = loaded('llama'); real = m.tokenizer.save_pretrained\n"
        "m.tokenizer.save_pretrained = lambda folder: (real(folder), print('half', flush=True), time.sleep(60))\n"
        "c.save_model(m, Path(sys.argv[1]))"
    )
    target = tmp_path / "model"
    process = subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    assert not target.exists()
    assert [entry.name.startswith(".model-") for entry in tmp_path.iterdir()] == [True]


def test_damage_and_disagreement_are_named(tmp_path: Path) -> None:
    saved = save_model(cut(loaded("llama"), "ffn", lambda layer: 10 + 7 * layer), tmp_path / "model")
    config = saved.folder / "config.json"
    whole = config.read_text()
    config.write_text(whole.replace("[\n      48,\n      17,", "[\n      48,\n      16,", 1))
    assert config.read_text() != whole
    with pytest.raises(UnsupportedModelError, match="belong together"):
        load_model(str(saved.folder))
    config.write_text(whole)
    weights = saved.folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ModelNotFoundError, match="damaged"):
        load_model(str(saved.folder))
    os.remove(weights)
    with pytest.raises((ModelNotFoundError, UnsupportedModelError)):
        load_model(str(saved.folder))


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    saved = save_model(cut(loaded("llama"), "ffn", lambda layer: 20), tmp_path / "model", shard_bytes=20_000)
    shards = sorted(saved.folder.glob("*.safetensors"))
    assert len(shards) > 2
    os.remove(shards[1])
    with pytest.raises(ModelNotFoundError, match="incomplete or out of reach"):
        load_model(str(saved.folder))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("linears", None),
        ("linears", [1, 2]),
        ("linears", {"model.nowhere.x": [1, 1, True]}),
        ("linears", {"model.layers.0.mlp.down_proj": ["a", 1, True]}),
        ("linears", {"model.layers.0.mlp.down_proj": [-1, 1, True]}),
        ("linears", {"model.layers.0.mlp.down_proj": [10**7, 10**7, True]}),
        ("attributes", {"model.layers.0.mlp": {"forward": 5}}),
        ("attributes", {"model.layers.0.mlp": {"nothing": 5}}),
        ("model_type", "liar_bert"),
    ],
)
def test_a_config_that_was_tampered_with_is_one_sentence(field: str, value: object, tmp_path: Path) -> None:
    saved = save_model(cut(loaded("llama"), "ffn", lambda layer: 10 + 7 * layer), tmp_path / "model")
    path = saved.folder / "config.json"
    config = json.loads(path.read_text())
    config[field] = value
    path.write_text(json.dumps({name: item for name, item in config.items() if item is not None}))
    with pytest.raises(UnsupportedModelError, match="belong together"):
        load_model(str(saved.folder))


def test_the_code_of_a_checkpoint_is_never_run_by_us(tmp_path: Path) -> None:
    saved = save_model(cut(loaded("bert"), "attention", lambda layer: 2), tmp_path / "model")
    mark = tmp_path / "ran"
    (saved.folder / "modeling_liar.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    load_model(str(saved.folder))
    time.sleep(0.1)
    assert not mark.exists()


# -- the demo models -----------------------------------------------------------------------------------------------------


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
    chosen = PruneSpec(
        model=model,
        targets=targets,
        allocation=allocation,
        criterion="fluctuation",
        schedule="one-shot",
        tokens=512,
        sequence_length=128,
    )
    finished = list(stream(chosen))[-1]
    assert isinstance(finished, Finished)
    assert finished.model is not None
    saved = save_model(finished.model, tmp_path / "model", finished.result)
    assert saved.form == form
    (weights,) = saved.folder.glob("*.safetensors")
    header = 8 + int.from_bytes(weights.read_bytes()[:8], "little")
    assert saved.bytes - header == 4 * finished.result.totals.parameters_after
    assert reload_difference(saved, finished.model) == 0


@pytest.mark.parametrize("where", ["host", "disk"])
@pytest.mark.parametrize("family", ["llama-tied", "bert"])
def test_a_streamed_model_is_saved_from_where_its_weights_lie(family: str, where: str, tmp_path: Path) -> None:
    def cut_half(model: LoadedModel) -> LoadedModel:
        return cut(model, "ffn", lambda layer: 20)

    expected = save_model(cut_half(loaded(family)), tmp_path / "resident")
    streamed = loaded(family)
    if where == "host":
        cpu_offload(streamed.model, execution_device=torch.device("cpu"))
    else:
        disk_offload(streamed.model, str(tmp_path / "weights"), execution_device=torch.device("cpu"))
    for site in [site for site in streamed.adapter.sites() if site.kind == "ffn"]:
        with resident(streamed.adapter.layers[site.layer]):
            channels = torch.arange(20)
            consumer = streamed.adapter.consumer(site)
            solution = Solution(consumer.weight.T[channels], torch.full((consumer.out_features,), 0.1))
            shrink(streamed.adapter, site, channels, ConsumerParameters.install_of(consumer, solution))
    streamed.adapter.after_surgery([site for site in streamed.adapter.sites() if site.kind == "ffn"])
    saved = save_model(streamed, tmp_path / "streamed")
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
