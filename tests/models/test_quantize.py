"""Int8 copies: close to their source model, which stays unchanged; measured in a run, saved and loaded again."""

from __future__ import annotations

import gc
import math
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch
from accelerate import cpu_offload
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from typer.testing import CliRunner

from liar import LoadedModel, PruneSpec, cli, load_model, run
from liar.data.text_reader import Samples
from liar.errors import InsufficientMemoryError, InvalidSpecError, UnsupportedModelError
from liar.evaluate import task_readers
from liar.evaluate.prepared_task import evaluate
from liar.evaluate.timing.size_and_speed import compare_steps
from liar.jobs import measures, pipeline
from liar.models import quantize
from liar.models.loaded import bytes_in_memory
from liar.models.quantize import quantized
from liar.progress import finish
from liar.results import MEASURED, RunResult
from liar.save.checkpoint import save_model
from liar.save.deliver import reload_difference
from liar.save.model_card import model_card
from tests import families, tiny
from tests.cut_models import cut, loaded, logits


def linears(model: LoadedModel) -> list[nn.Linear]:
    return [module for module in model.adapter.layers.modules() if isinstance(module, nn.Linear)]


def steps_of(weight: Tensor) -> Tensor:
    """Quantisation step of each row, (rows, 1): 256 steps span the largest absolute weight on both sides of zero."""
    return (weight.abs().amax(dim=1, keepdim=True) / 127.5).clamp(min=torch.finfo(torch.float32).eps)


# -- the copy ------------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), spread=st.floats(0, 3), size=st.floats(-6, 4))
def test_a_layer_is_off_by_half_a_step_for_each_input_at_most(seed: int, spread: float, size: float) -> None:
    """|y'_i - y_i| <= s_i / 2 * sum_j |x_j| with the step s_i of row i, for rows of any scale."""
    generator = torch.Generator().manual_seed(seed)
    model = tiny.classifier()
    layer = linears(model)[0]
    with torch.no_grad():
        layer.weight.normal_(generator=generator)
        layer.weight *= 10 ** (size + spread * torch.randn(len(layer.weight), 1, generator=generator))
    weight = layer.weight.clone()
    copy = linears(quantized(model))[0]
    steps = steps_of(weight)
    assert ((copy.weight.dequantize() - weight).abs() <= 0.5001 * steps).all()
    rows = torch.randn(7, layer.in_features, generator=generator)
    with torch.no_grad():
        difference = (copy(rows) - layer(rows)).abs()
    bound = 0.501 * rows.abs().sum(dim=1, keepdim=True) @ steps.T
    exact = rows.abs() @ weight.abs().T
    assert (difference <= bound + 1e-5 * (exact + 1)).all()


@pytest.mark.parametrize("family", [name for name in families.CORE if name != "gpt2"])
def test_every_family_computes_with_rounded_weights_and_stays_as_it_was(family: str) -> None:
    model = loaded(family)
    before = {name: (id(tensor), tensor.clone()) for name, tensor in model.model.state_dict(keep_vars=True).items()}
    exact = logits(model)
    copy = quantized(model)
    found = logits(copy)
    after = model.model.state_dict(keep_vars=True)
    assert all(id(after[name]) == key and torch.equal(after[name], tensor) for name, (key, tensor) in before.items())
    assert torch.equal(logits(model), exact)
    assert not hasattr(model.model.config, "quantization_config")

    assert {linear.weight.qdata.dtype for linear in linears(copy)} == {torch.int8}
    outside = {id(parameter) for parameter in model.model.parameters()}
    whole = [parameter for parameter in copy.model.parameters() if not hasattr(parameter, "qdata")]
    assert {id(parameter) for parameter in whole} <= outside, "what is not rounded is shared"
    assert len(whole) + len(linears(copy)) == len(outside)

    with torch.no_grad():
        for linear, other in zip(linears(model), linears(copy), strict=True):
            assert ((other.weight.dequantize() - linear.weight).abs() <= 0.5001 * steps_of(linear.weight)).all()
            linear.weight.copy_(other.weight.dequantize())
    torch.testing.assert_close(found, logits(model), rtol=1e-4, atol=1e-4)
    assert 0 < float((found - exact).norm() / exact.norm()) < 0.1


def test_a_byte_a_weight() -> None:
    model = tiny.language_model()
    layers = linears(model)
    weights = sum(linear.weight.numel() for linear in layers)
    rows = sum(linear.out_features for linear in layers)
    scales = bytes_in_memory(quantized(model).model) - (bytes_in_memory(model.model) - 3 * weights)
    assert 4 * rows <= scales <= 5 * rows, "a scale for each output channel, and at most a byte for its zero"


def test_half_precision_keeps_its_dtype() -> None:
    model = loaded("llama")
    model.model.to(torch.bfloat16)
    found = logits(quantized(model))
    assert found.dtype == torch.bfloat16
    assert torch.isfinite(found).all()


def test_what_cannot_be_copied_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.language_model()
    with pytest.raises(UnsupportedModelError, match="quantised already"):
        run(PruneSpec(), quantized(model))
    monkeypatch.setattr(quantize, "free_bytes", lambda _device: 10_000)
    with pytest.raises(InsufficientMemoryError, match="beside the model and 0\\.0 GB are free"):
        run(PruneSpec(quantize="int8"), model)
    streamed = tiny.language_model()
    cpu_offload(streamed.model, execution_device=torch.device("cpu"))
    monkeypatch.setattr(pipeline, "load_model", lambda *_, **__: streamed)
    with pytest.raises(InvalidSpecError, match="streamed model cannot be quantised"):
        run(PruneSpec(quantize="int8", criterion="obs", allocation="uniform"))


# -- in a run ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PruneSpec:
    """A run on letters: labelled letters replace the texts for sentiment, and random tokens those for perplexity."""
    generator = torch.Generator().manual_seed(2)
    windows = torch.randint(4, 30, (6, 24), generator=generator)
    tiny.replace_demo_samples(monkeypatch, tiny.labelled_letters(9))
    read = windows, Samples("letters", "test", iter(()))
    monkeypatch.setattr(task_readers, "held_out_windows", lambda *_, **__: read)
    chosen = {"targets": "both", "ratio": 0.5, "quantize": "int8"}
    return PruneSpec(calibration=tiny.letters_file(tmp_path), tokens=256, sequence_length=16, model="tiny", **chosen)


@pytest.mark.parametrize("task", ["perplexity", "sentiment"])
@pytest.mark.parametrize("schedule", ["one-shot", "sequential"])
def test_a_run_measures_the_dense_and_the_repaired_model_twice(spec: PruneSpec, task: str, schedule: str) -> None:
    model = tiny.language_model() if task == "perplexity" else tiny.classifier(positions=256)
    chosen = spec.model_copy(update={"evaluate": (task,), "schedule": schedule})
    first, second = run(chosen, model), run(chosen, model)
    assert [item.variant for item in first.evaluations] == list(MEASURED)
    assert all(item.n > 0 and item.stderr > 0 and math.isfinite(item.value) for item in first.evaluations)
    assert (first.evaluations, first.sites, first.weight_bytes) == (
        second.evaluations,
        second.sites,
        second.weight_bytes,
    ), "bit for bit"
    assert [item.variant for item in first.speeds] == ["dense", "dense-int8", "reconstructed", "reconstructed-int8"]
    sizes = first.weight_bytes
    assert sizes["reconstructed-int8"] < sizes["dense-int8"] < sizes["dense"]
    assert sizes["reconstructed-int8"] < sizes["reconstructed"] < sizes["dense"]
    plain = run(chosen.model_copy(update={"quantize": "none"}), model)
    assert plain.sites == first.sites
    assert plain.evaluations == [item for item in first.evaluations if "int8" not in item.variant]
    assert plain.changes == first.changes


def test_the_figures_are_those_of_the_copies(spec: PruneSpec) -> None:
    model = tiny.language_model()
    last, pruned = tiny.finished(spec.model_copy(update={"evaluate": ("perplexity",)}), model)
    values = {item.variant: item.value for item in last.result.evaluations}
    for exact, name in ((model, "dense"), (pruned, "reconstructed")):
        assert evaluate(exact, "perplexity").value == values[name]
        assert evaluate(quantized(exact), "perplexity").value == values[f"{name}-int8"] != values[name]
    assert not any(hasattr(parameter, "qdata") for parameter in pruned.model.parameters())


def test_one_copy_at_a_time_and_none_afterwards(spec: PruneSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[weakref.ref[nn.Module]] = []

    def watched(model: LoadedModel) -> LoadedModel:
        gc.collect()
        assert all(known() is None for known in alive)
        copy = quantized(model)
        alive.append(weakref.ref(copy.model))
        return copy

    monkeypatch.setattr(measures, "quantized", watched)
    result = run(spec.model_copy(update={"evaluate": ("perplexity",)}), tiny.language_model())
    gc.collect()
    assert len(alive) == 2
    assert all(known() is None for known in alive)
    assert run(spec, tiny.language_model()).weight_bytes == {}, "nothing is measured, so nothing is copied"
    assert len(alive) == 2
    assert set(result.weight_bytes) == set(MEASURED)


# -- saved ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "kind", "form"), [("llama", "ffn", "stock"), ("bert", "attention", "ragged")])
def test_a_saved_copy_gives_the_same_outputs_in_a_fresh_process(
    family: str, kind: str, form: str, tmp_path: Path
) -> None:
    model = cut(loaded(family), kind, lambda layer: 2 if kind == "attention" else 20)
    copy = quantized(model)
    saved = save_model(copy, tmp_path / "int8")
    assert saved.form == form
    assert "torchao" in saved.sentence
    assert saved.bytes < save_model(model, tmp_path / "exact").bytes
    assert reload_difference(saved, copy) == 0
    assert reload_difference(saved, model) > 0
    again = load_model(str(saved.folder), "cpu", "float32")
    assert torch.equal(logits(again), logits(copy))
    with pytest.raises(UnsupportedModelError, match="quantised already"):
        again.adapter.sites()


def test_the_command_line_saves_the_rounded_model(
    spec: PruneSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "load_model", lambda *_, **__: tiny.language_model())
    chosen = [*("--calibration", spec.calibration, "--tokens", "256", "--sequence-length", "16")]
    chosen += ["--evaluate", "perplexity", "--allocation", "uniform", "--schedule", "one-shot"]
    folder, json = tmp_path / "saved", tmp_path / "run.json"
    arguments = ["prune", "tiny", *chosen, "--quantize", "int8", "--save", str(folder), "--json", str(json)]
    done = CliRunner().invoke(cli.app, arguments, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    for words in ("dense-int8", "Int8 weights: ", "They take ", "where torchao is installed", "differ by 0 at most"):
        assert words in done.output
    result = RunResult.model_validate_json(json.read_text())
    assert result.spec.quantize == "int8"
    assert "pip install torchao" in (folder / "README.md").read_text()
    assert any(hasattr(parameter, "qdata") for parameter in load_model(str(folder)).model.parameters())
    assert "pip install torchao" not in model_card(result, "AutoModelForCausalLM", trust=False)


# -- without quantization ------------------------------------------------------------------------------------------------


def test_torchao_is_neither_loaded_by_the_page_nor_prints_at_import() -> None:
    """transformers imports torchao by itself; the page and --help import neither of them."""
    code = (
        "import sys, liar, liar.cli, components.rail.recipe, components.measured.accuracy; assert 'torchao' not in sys.modules;"
        "import liar.loading.catalog"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_int8_copy_is_compared_with_what_it_was_made_from() -> None:
    model = tiny.language_model()
    found = finish(compare_steps(model, quantized(model), repeats=2))
    assert found.pruned.macs_per_token == found.dense.macs_per_token
    assert found.pruned.widths == found.dense.widths
    assert found.pruned.bytes_in_memory < found.dense.bytes_in_memory


def test_a_gpt2_is_not_rounded() -> None:
    """Its Conv1D would not load as a rounded linear layer."""
    with pytest.raises(InvalidSpecError, match=r"GPT-2 keeps .* leave its weights as they are\."):
        quantized(loaded("gpt2"))
