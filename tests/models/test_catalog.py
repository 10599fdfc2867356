"""Loading by name: demo models, local folders of tiny random models, and everything that should be refused."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertLMHeadModel,
    BertModel,
    BertTokenizer,
    GPT2Config,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)

from liar import PruneSpec, presets, run
from liar.errors import (
    InsufficientMemoryError,
    InvalidSpecError,
    LiarError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from liar.evaluate.tasks import evaluate
from liar.models import placement, source, weights
from liar.models.catalog import load_model
from liar.models.memory import PlannedWork
from liar.models.offload import is_offloaded
from liar.presets import PRESETS

REPOSITORY = Path(__file__).resolve().parents[2]
BERT = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 12}
LLAMA = {**BERT, "num_key_value_heads": 1, "num_attention_heads": 2, "max_position_embeddings": 64}


def _save(model: PreTrainedModel, folder: Path) -> str:
    """Save a model with a tiny tokenizer; returns the folder as a model name."""
    model.save_pretrained(folder)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d", "e", "f", "g"]
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(words))
    tokenizer = BertTokenizer(str(vocabulary))
    tokenizer.eos_token = "[SEP]"
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_a_local_language_model_loads_as_one(tmp_path: Path) -> None:
    model = LlamaForCausalLM(LlamaConfig(**LLAMA)).eval()
    loaded = load_model(_save(model, tmp_path), device="cpu")
    assert loaded.task == "perplexity"
    assert loaded.is_language_model
    assert loaded.adapter.family == "llama"
    assert not loaded.model.training
    assert loaded.model.dtype is torch.float32
    assert loaded.tokenizer.pad_token is not None
    tokens = torch.tensor([[5, 6, 7]])
    torch.testing.assert_close(loaded.model(tokens).logits, model(tokens).logits)


@pytest.mark.parametrize(
    ("labels", "task"),
    [(("negative", "positive"), "sentiment"), (("POSITIVE", "NEGATIVE"), "sentiment"), (("cat", "dog"), None)],
)
def test_a_local_classifier_is_known_by_its_labels(tmp_path: Path, labels: tuple[str, ...], task: str | None) -> None:
    config = BertConfig(**BERT, id2label=dict(enumerate(labels)))
    loaded = load_model(_save(BertForSequenceClassification(config), tmp_path), device="cpu")
    assert loaded.task == task
    assert isinstance(loaded.model, BertForSequenceClassification)
    assert not loaded.is_language_model


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        (BertModel, "none"),
        (BertForMaskedLM, "masked-lm"),
        (BertForTokenClassification, "token-classification"),
        (BertForQuestionAnswering, "question-answering"),
    ],
)
def test_other_encoders_load_with_their_head_and_without_a_task(
    tmp_path: Path, kind: type[PreTrainedModel], head: str
) -> None:
    model = kind(BertConfig(**BERT)).eval()
    loaded = load_model(_save(model, tmp_path), device="cpu")
    assert (loaded.task, loaded.head) == (None, head)
    tokens = torch.tensor([[5, 6, 7]])
    torch.testing.assert_close(loaded.model(tokens)[0], model(tokens)[0])


@pytest.mark.parametrize("kind", [BertForMultipleChoice, BertForPreTraining, BertLMHeadModel])
def test_a_head_that_would_be_lost_is_refused(tmp_path: Path, kind: type[PreTrainedModel]) -> None:
    name = _save(kind(BertConfig(**BERT)), tmp_path)
    with pytest.raises(UnsupportedModelError, match=f"head of {kind.__name__} cannot be kept"):
        load_model(name, device="cpu")


def test_a_config_that_names_no_architecture_does_not_lose_a_head(tmp_path: Path) -> None:
    name = _save(BertForSequenceClassification(BertConfig(**BERT)), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["architectures"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedModelError, match=r"classifier\.bias would be lost"):
        load_model(name, device="cpu")


@pytest.mark.parametrize(
    ("kind", "config", "says"),
    [
        (BertModel, BertConfig(**BERT), "this model has none"),
        (BertForMaskedLM, BertConfig(**BERT), "has one for masked-lm"),
        (LlamaForCausalLM, LlamaConfig(**LLAMA), "streamed here"),
    ],
)
def test_a_run_that_needs_a_loss_is_refused_before_weights_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[PreTrainedModel], config: PreTrainedConfig, says: str
) -> None:
    name = _save(kind(config), tmp_path)
    monkeypatch.setattr(kind, "from_pretrained", lambda *_, **__: pytest.fail("read the weights"))
    monkeypatch.setattr(weights, "place", lambda *_: "streamed")
    with pytest.raises(InvalidSpecError, match=says):
        run(PruneSpec(model=name, device="cpu"))


def test_a_folder_without_a_tokenizer_is_told_how_to_get_one(tmp_path: Path) -> None:
    """transformers makes an empty tokenizer for a BERT without one, and has an error of its own for a LLaMA."""
    for kind, config in ((BertModel, BertConfig(**BERT)), (LlamaForCausalLM, LlamaConfig(**LLAMA))):
        kind(config).save_pretrained(tmp_path / kind.__name__)
        with pytest.raises(ModelNotFoundError, match=r"no tokenizer; add .*save_pretrained"):
            load_model(str(tmp_path / kind.__name__), device="cpu")


def test_a_tokenizer_that_knows_no_word_is_none(tmp_path: Path) -> None:
    name = _save(BertModel(BertConfig(**BERT)), tmp_path)
    for file in ("vocab.txt", "tokenizer.json"):
        (tmp_path / file).unlink(missing_ok=True)
    with pytest.raises(ModelNotFoundError, match="no tokenizer"):
        load_model(name, device="cpu")


def test_a_llama_classifier_without_a_padding_token_reads_many_texts_at_once(tmp_path: Path) -> None:
    """The tokenizer ends its texts with [SEP], its end token: padding with that would hide the token that is read."""
    config = LlamaConfig(**LLAMA, pad_token_id=None, id2label={0: "negative", 1: "positive"})
    model = LlamaForSequenceClassification(config).eval()
    name = _save(model, tmp_path)
    settings = tmp_path / "tokenizer_config.json"
    kept = {key: value for key, value in json.loads(settings.read_text()).items() if key != "pad_token"}
    settings.write_text(json.dumps(kept | {"pad_token": None}))
    table = tmp_path / "own.csv"
    table.write_text(
        "text,label\n" + "\n".join(f"{'a b ' * (n % 3 + 1)}c,{('negative', 'positive')[n % 2]}" for n in range(9))
    )
    loaded = load_model(name, device="cpu")
    assert loaded.model.config.pad_token_id == loaded.tokenizer.pad_token_id == loaded.tokenizer.unk_token_id
    right = 0
    for n in range(9):
        ids = loaded.tokenizer(f"{'a b ' * (n % 3 + 1)}c", return_tensors="pt")["input_ids"]
        right += int(model(ids).logits.argmax()) == n % 2
    assert evaluate(loaded, "sentiment", data=str(table), sequence_length=32).value == pytest.approx(right / 9)


@pytest.mark.parametrize("wrong", [5, -1])
def test_padding_of_a_llama_classifier_is_the_tokenizers_whatever_its_config_says(tmp_path: Path, wrong: int) -> None:
    """Else the short texts of a batch are read at a token of padding."""
    config = LlamaConfig(**LLAMA, pad_token_id=None, id2label={0: "negative", 1: "positive"})
    model = LlamaForSequenceClassification(config).eval()
    model.config.pad_token_id = wrong
    loaded = load_model(_save(model, tmp_path), device="cpu")
    assert loaded.model.config.pad_token_id == loaded.tokenizer.pad_token_id != wrong
    texts = ["a b", "a b c d e f"]
    together = loaded.model(**loaded.tokenizer(texts, padding=True, return_tensors="pt")).logits
    for text, logits in zip(texts, together, strict=True):
        alone = loaded.model(**loaded.tokenizer(text, return_tensors="pt")).logits[0]
        torch.testing.assert_close(logits, alone)


def test_a_llama_classifier_that_cannot_pad_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = LlamaConfig(**LLAMA, pad_token_id=None, id2label={0: "negative", 1: "positive"})
    name = _save(LlamaForSequenceClassification(config), tmp_path)
    settings = tmp_path / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"pad_token": None}))
    monkeypatch.setattr("liar.models.catalog._padding", lambda tokenizer: None)
    with pytest.raises(UnsupportedModelError, match="no token to pad with"):
        load_model(name, device="cpu")


def test_dtype_is_followed(tmp_path: Path) -> None:
    loaded = load_model(_save(LlamaForCausalLM(LlamaConfig(**LLAMA)), tmp_path), device="cpu", dtype="bfloat16")
    assert loaded.model.dtype is torch.bfloat16


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_offloaded_model_computes_the_same(tmp_path: Path, tied: bool, dtype: str) -> None:
    name = _save(LlamaForCausalLM(LlamaConfig(**LLAMA, tie_word_embeddings=tied)), tmp_path / "model")
    resident = load_model(name, device="cpu", dtype=dtype)
    offloaded = load_model(name, device="cpu", dtype=dtype, offload_folder=tmp_path / "offload")
    assert is_offloaded(offloaded.model)
    assert all(parameter.is_meta for parameter in offloaded.model.parameters())
    tokens = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        torch.testing.assert_close(offloaded.model(tokens).logits, resident.model(tokens).logits)


def test_loading_leaves_the_global_random_state_alone(tmp_path: Path) -> None:
    name = _save(LlamaForCausalLM(LlamaConfig(**LLAMA)), tmp_path)
    before = torch.random.get_rng_state()
    load_model(name, device="cpu")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_an_unknown_id_without_a_network_fails_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    start = time.perf_counter()
    with pytest.raises(ModelNotFoundError, match="nobody/no-such-model"):
        load_model("nobody/no-such-model", device="cpu")
    assert time.perf_counter() - start < 20


_LOAD = "import sys; from liar.models.catalog import load_model; load_model(sys.argv[1], device='cpu')"


def test_a_hub_that_never_answers_is_given_up_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(source, "PROBE_SECONDS", 0.5)
        monkeypatch.setattr(source, "hf_hub_url", lambda model, name, revision: f"{endpoint}/{model}/{name}")
        start = time.perf_counter()
        with pytest.raises(ModelNotFoundError, match="cannot be reached"):
            load_model("nobody/no-such-model", device="cpu")
        assert time.perf_counter() - start < 5


def test_a_cached_hub_model_loads_without_a_network(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--somebody--tiny"
    _save(LlamaForCausalLM(LlamaConfig(**LLAMA)), repository / "snapshots" / ("0" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HTTPS_PROXY": "http://127.0.0.1:9"}
    command = [sys.executable, "-c", _LOAD, "somebody/tiny"]
    start = time.perf_counter()
    subprocess.run(command, check=True, cwd=REPOSITORY, env=environment)
    assert time.perf_counter() - start < 20


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        (GatedRepoError, 403, "gated"),
        (RepositoryNotFoundError, 401, "no model"),
        (HfHubHTTPError, 503, "cannot be reached"),
    ],
)
def test_what_the_hub_answers_is_explained(
    monkeypatch: pytest.MonkeyPatch, kind: type[HfHubHTTPError], status: int, words: str
) -> None:
    def answer(url: str, timeout: float) -> None:
        raise kind("no", response=SimpleNamespace(status_code=status, headers={}, request=None))  # type: ignore[arg-type]

    monkeypatch.setattr(source, "get_hf_file_metadata", answer)
    with pytest.raises(ModelNotFoundError, match=words):
        load_model("somebody/something", device="cpu")


COMMIT = "0123456789abcdef" * 2 + "01234567"


@pytest.mark.parametrize(("model", "revision"), [("somebody/pinned", COMMIT), ("somebody/else", None)])
@pytest.mark.parametrize("reachable", [True, False])
def test_a_preset_is_asked_for_at_its_revision(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: str, revision: str | None, reachable: bool
) -> None:
    asked: list[str | None] = []

    def cached(model: str, name: str, revision: str | None = None) -> str:
        asked.append(revision)
        return str(tmp_path / name)

    def answer(url: str, timeout: float) -> None:
        asked.append(COMMIT if COMMIT in url else None)
        if not reachable:
            raise OSError("no network")

    preset = presets.Preset("somebody/pinned", "", "llama", None, 1.0, COMMIT, "MIT")
    assert preset.is_pinned
    monkeypatch.setattr(presets, "PRESETS", (preset,))
    monkeypatch.setattr(source, "get_hf_file_metadata", answer)
    monkeypatch.setattr(source, "try_to_load_from_cache", cached)
    found = source.find_model(model)
    assert asked == ([revision] if reachable else [revision, revision])
    assert found.options.get("revision") == (revision if reachable else None)


@pytest.mark.parametrize("name", ["demo/unknown", "/no/such/folder", "not an id", "", "a/b/c"])
def test_names_that_lead_nowhere(name: str) -> None:
    with pytest.raises(ModelNotFoundError):
        load_model(name, device="cpu")


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"config\.json"):
        load_model(str(tmp_path), device="cpu")


@pytest.mark.parametrize("model_type", ["gpt2", "no-such-family"])
def test_an_unsupported_family_names_those_that_are(tmp_path: Path, model_type: str) -> None:
    config = GPT2Config().to_dict() | {"model_type": model_type}
    (tmp_path / "config.json").write_text(json.dumps(config, default=str))
    with pytest.raises(UnsupportedModelError, match=r"llama.*bert"):
        load_model(str(tmp_path), device="cpu")


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    model = LlamaForCausalLM(LlamaConfig(**LLAMA))
    name = _save(model, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(UnsupportedModelError, match="safetensors"):
        load_model(name, device="cpu")
    way_out = tmp_path / "new"
    AutoModelForCausalLM.from_pretrained(name).save_pretrained(way_out)
    AutoTokenizer.from_pretrained(name).save_pretrained(way_out)
    loaded = load_model(str(way_out), device="cpu").model.state_dict()
    assert all(torch.equal(loaded[key], weight) for key, weight in model.state_dict().items())


def test_remote_code_is_never_run(tmp_path: Path) -> None:
    name = _save(LlamaForCausalLM(LlamaConfig(**LLAMA)), tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    code = {"auto_map": {"AutoModelForCausalLM": "modeling_evil.Evil", "AutoConfig": "modeling_evil.Evil"}}
    config.write_text(json.dumps(json.loads(config.read_text()) | code))
    (tmp_path / "model" / "modeling_evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with suppress(LiarError):
        load_model(name, device="cpu")
    assert not (tmp_path / "ran").exists()


def test_damaged_weights(tmp_path: Path) -> None:
    name = _save(LlamaForCausalLM(LlamaConfig(**LLAMA)), tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelNotFoundError, match="damaged"):
        load_model(name, device="cpu")


def test_weights_that_are_missing_are_not_invented(tmp_path: Path) -> None:
    name = _save(BertForSequenceClassification(BertConfig(**BERT)), tmp_path / "whole")
    config = json.loads((tmp_path / "whole" / "config.json").read_text())
    name = _save(BertModel(BertConfig(**BERT)), tmp_path / "bare")
    (tmp_path / "bare" / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedModelError, match="classifier"):
        load_model(name, device="cpu")


def test_weights_that_do_not_fit_their_config(tmp_path: Path) -> None:
    name = _save(LlamaForCausalLM(LlamaConfig(**LLAMA)), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"intermediate_size": 20}))
    with pytest.raises(UnsupportedModelError, match="belong together"):
        load_model(name, device="cpu")


def test_too_little_memory_says_what_would_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = _save(LlamaForCausalLM(LlamaConfig(**LLAMA)), tmp_path)
    monkeypatch.setattr(placement, "free_bytes", lambda device: 1_000)
    with pytest.raises(InsufficientMemoryError, match="would fit"):
        load_model(name, device="cpu")


@pytest.mark.demo
def test_memory_is_looked_at_before_a_demo_classifier_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "free_bytes", lambda device: 1_000)
    with pytest.raises(InsufficientMemoryError, match="would fit"):
        load_model("demo/minilm-sentiment", device="cpu")


@pytest.mark.parametrize(("small", "words"), [("cpu", "would fit"), ("cuda", "are free")])
def test_a_demo_classifier_needs_room_on_host_and_accelerator(
    small: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused before its weights are read: there are none."""
    adapter, empty = tmp_path / "adapter", tmp_path / "base"
    for folder in (adapter, empty):
        folder.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    config = BertConfig(**BERT, architectures=["BertForSequenceClassification"])
    monkeypatch.setattr(placement, "free_bytes", lambda device: 1_000 if device.type == small else 10**12)
    base = source.Source(str(empty), local_only=True)
    with pytest.raises(InsufficientMemoryError, match=words):
        weights.load_classifier(base, config, adapter, torch.bfloat16, torch.device("cuda"), PlannedWork())
    monkeypatch.setattr(placement, "free_bytes", lambda device: 10**12)
    with pytest.raises(UnsupportedModelError, match="no safetensors weights"):
        weights.load_classifier(base, config, adapter, torch.bfloat16, torch.device("cuda"), PlannedWork())


def test_a_model_larger_than_its_accelerator_is_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = {"cuda": 20_000_000_000, "cpu": 40_000_000_000}
    monkeypatch.setattr(placement, "free_bytes", lambda device: memory[device.type])
    cuda = torch.device("cuda")
    assert placement.place(7_000_000_000, torch.bfloat16, cuda, 5_000_000_000) == "resident"
    assert placement.place(7_000_000_000, torch.bfloat16, cuda, 7_000_000_000) == "streamed"
    assert placement.place(13_000_000_000, torch.bfloat16, cuda, 0) == "streamed"
    with pytest.raises(InsufficientMemoryError):
        placement.place(70_000_000_000, torch.bfloat16, cuda, 0)


@pytest.mark.parametrize("device", ["cuda:99", "tpu", "meta", "cpu:x"])
def test_a_device_that_is_not_there(device: str) -> None:
    with pytest.raises(InvalidSpecError, match="no device"):
        placement.choose_device(device)


def test_an_unknown_dtype() -> None:
    with pytest.raises(InvalidSpecError, match="float32"):
        placement.choose_dtype("float8", torch.device("cpu"))


def test_an_unknown_demo_model_names_those_that_are() -> None:
    with pytest.raises(ModelNotFoundError) as refused:
        load_model("demo/unknown", device="cpu")
    assert all(preset.id in str(refused.value) for preset in PRESETS if preset.id.startswith("demo/"))


@pytest.mark.demo
@pytest.mark.parametrize("preset", [preset for preset in PRESETS if preset.id.startswith("demo/")], ids=lambda p: p.id)
def test_demo_models_load_as_their_preset_says(preset) -> None:  # type: ignore[no-untyped-def]
    loaded = load_model(preset.id, device="cpu")
    assert loaded.task == preset.task
    assert loaded.adapter.family == preset.family
    count = sum(parameter.numel() for parameter in loaded.model.parameters())
    assert count / 1e6 == pytest.approx(preset.parameters, abs=0.1)


def test_memory_that_torch_keeps_for_reuse_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a large run its freed blocks stay with torch, and the driver counts them as taken."""
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (1_000, 80_000))
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda device: 60_000)
    monkeypatch.setattr("torch.cuda.memory_allocated", lambda device: 20_000)
    assert placement.free_bytes(torch.device("cuda")) == 1_000 + 40_000
