"""A family is let in by its own forward: the walk over its blocks equals it, or is refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import OlmoConfig, OlmoForCausalLM, StableLmConfig, StableLmForCausalLM

from benchmarks.small_models import DECODER, randomize, write
from liar import PruneSpec, load_model
from liar.errors import UnsupportedModelError
from liar.models import families, self_check
from liar.models.families import adapt
from liar.models.families.granite import GraniteAdapter
from liar.models.families.llama import LlamaAdapter
from liar.models.self_check import check_walk, largest_difference
from tests import tiny
from tests.families import BUILDERS, build


@pytest.mark.parametrize("name", BUILDERS)
def test_the_walk_of_each_family_is_its_forward(name: str) -> None:
    adapter = adapt(build(name))
    assert check_walk(adapter)
    assert largest_difference(adapter) < 1e-12


def test_a_residual_that_is_scaled_is_refused_by_layer() -> None:
    model = build("llama")
    block: Any = model.model.layers[1]
    block.register_forward_hook(lambda _module, _arguments, output: output * 0.22)
    with pytest.raises(UnsupportedModelError, match=r"Behind layer 1 .* by .* where 0.0001 may be rounding"):
        check_walk(adapt(model))


def test_a_model_that_gives_no_numbers_is_left_to_those_who_name_the_weight() -> None:
    model = build("llama")
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight[0, 0] = torch.nan
    assert not check_walk(adapt(model))
    assert check_walk(adapt(build("llama")))


def test_a_model_is_checked_once_for_each_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIAR_CACHE", str(tmp_path / "cache"))
    checked: list[str] = []

    def counted(adapter: Any) -> bool:
        checked.append(adapter.config.model_type)
        return check_walk(adapter)

    monkeypatch.setattr(self_check, "check_walk", counted)
    for model_type in ("llama", "bert"):
        write(model_type, tmp_path / model_type)
        for _ in range(2):
            load_model(str(tmp_path / model_type), device="cpu")
    write("llama", tmp_path / "other", intermediate_size=32)
    load_model(str(tmp_path / "other"), device="cpu")
    load_model(str(tmp_path / "llama"), device="cpu", dtype="bfloat16")
    assert checked == ["llama", "bert", "llama", "llama"]


def test_a_folder_that_cannot_be_written_to_is_no_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LIAR_CACHE", str(tmp_path / "file" / "cache"))
    write("llama", tmp_path / "llama")
    assert load_model(str(tmp_path / "llama"), device="cpu").adapter.family == "llama"


def test_a_type_that_is_not_listed_is_let_in_with_a_note(tmp_path: Path) -> None:
    """OLMo has a LLaMA's modules and other norms."""
    torch.manual_seed(0)
    write("llama", tmp_path)
    randomize(OlmoForCausalLM(OlmoConfig(**DECODER))).save_pretrained(tmp_path)
    text = {"calibration": str(tmp_path / "text.txt"), "tokens": 512, "sequence_length": 32}
    last, _ = tiny.finished(PruneSpec(model=str(tmp_path), device="cpu", dtype="float32", targets="both", **text))
    note = "olmo is not a listed type; it runs as LLaMA, checked against its own forward."
    assert last.result.warnings.count(note) == 1
    assert all(
        site.error["least-squares"] <= site.error["none"] for site in last.result.sites if site.kept < site.units
    )


def test_a_type_that_is_not_listed_and_is_none_of_ours_is_refused_by_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Granite scales what it adds by 0.22; without its family it would be taken for a LLaMA."""
    monkeypatch.setattr(families, "FAMILIES", [each for each in families.FAMILIES if each is not GraniteAdapter])
    write("granite", tmp_path)
    words = (
        r"Behind layer 0 this model of type 'granite' differs from what its blocks give, run as those of LLaMA: by \d"
    )
    with pytest.raises(UnsupportedModelError, match=words):
        load_model(str(tmp_path), device="cpu")


def test_a_model_that_surgery_would_break_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head count that stays as it was; as of a family whose adapter forgets it."""
    monkeypatch.setattr(LlamaAdapter, "keep_units", lambda *_: None)
    write("stablelm", tmp_path)
    text = {"calibration": str(tmp_path / "text.txt"), "tokens": 512, "sequence_length": 32}
    spec = PruneSpec(model=str(tmp_path), device="cpu", dtype="float32", targets="heads", schedule="one-shot", **text)
    with pytest.raises(
        UnsupportedModelError, match=r"The blocks of this model of type 'stablelm' do not run as those of"
    ):
        tiny.finished(spec)


def test_heads_that_share_a_weight_stay() -> None:
    config = StableLmConfig(**DECODER, qk_layernorm=True)
    adapter = adapt(randomize(StableLmForCausalLM(config)))
    with pytest.raises(
        UnsupportedModelError, match="The heads of StableLM cannot go, because its attentions have weights"
    ):
        adapter.sites("heads")
    assert len(adapter.sites("ffn")) == 3


@pytest.mark.parametrize("model_type", ["gpt2", "deberta-v2"])
def test_a_family_that_cannot_be_streamed_says_so_before_its_weights_are_read(model_type: str, tmp_path: Path) -> None:
    write(model_type, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"unread")
    with pytest.raises(UnsupportedModelError, match=r"cannot be streamed; choose a device that holds it\."):
        load_model(str(tmp_path / "model"), device="cpu", offload_folder=tmp_path / "weights")
