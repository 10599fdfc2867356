"""Loading by name: heads, tokenizers, precision and offloading of local folders, and the demo models."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertLMHeadModel,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)

from liar import PruneSpec, run
from liar.errors import InvalidSpecError, ModelNotFoundError, UnsupportedModelError
from liar.evaluate.prepared_task import evaluate
from liar.loading import catalog, weights
from liar.loading.catalog import load_model
from liar.presets import PRESETS
from liar.runtime.offload import is_offloaded
from liar.tasks.demo import TOPICS
from tests.folders import BERT, LLAMA, change, save


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        (("negative", "positive"), "sentiment"),
        (("Positive", "NEGATIVE"), "sentiment"),
        (TOPICS, "topic"),
        (("no match", "match"), "match"),
        (("negative", "neutral", "positive"), None),
        (("LABEL_0", "LABEL_1"), None),
        (("cat", "dog"), None),
        (("score",), None),
    ],
)
def test_a_local_classifier_is_known_by_its_labels(tmp_path: Path, labels: tuple[str, ...], task: str | None) -> None:
    config = BertConfig(**BERT, id2label=dict(enumerate(labels)))
    loaded = load_model(save(BertForSequenceClassification(config), tmp_path), device="cpu")
    assert loaded.task == task
    assert isinstance(loaded.model, BertForSequenceClassification)
    assert not loaded.is_language_model


@pytest.mark.parametrize(
    ("kind", "head", "task"),
    [
        (LlamaForCausalLM, "causal-lm", "perplexity"),
        (BertModel, "none", "wiki-search"),
        (BertForMaskedLM, "masked-lm", None),
        (BertForTokenClassification, "token-classification", None),
        (BertForQuestionAnswering, "question-answering", "span"),
    ],
)
def test_a_local_model_loads_with_its_head_and_the_task_that_it_fits(
    tmp_path: Path, kind: type[PreTrainedModel], head: str, task: str | None
) -> None:
    is_llama = kind is LlamaForCausalLM
    model = kind(LlamaConfig(**LLAMA) if is_llama else BertConfig(**BERT)).eval()
    loaded = load_model(save(model, tmp_path), device="cpu")
    assert (loaded.task, loaded.head, loaded.is_language_model) == (task, head, is_llama)
    assert loaded.adapter.family == ("llama" if is_llama else "bert")
    assert not loaded.model.training
    assert loaded.model.dtype is torch.float32
    assert loaded.tokenizer.pad_token is not None
    tokens = torch.tensor([[5, 6, 7]])
    torch.testing.assert_close(loaded.model(tokens)[0], model(tokens)[0])


@pytest.mark.parametrize("kind", [BertForMultipleChoice, BertForPreTraining, BertLMHeadModel])
def test_a_head_that_would_be_lost_is_refused(tmp_path: Path, kind: type[PreTrainedModel]) -> None:
    name = save(kind(BertConfig(**BERT)), tmp_path)
    with pytest.raises(UnsupportedModelError, match=f"head of {kind.__name__} cannot be kept"):
        load_model(name, device="cpu")


def test_a_config_that_names_no_architecture_does_not_lose_a_head(tmp_path: Path) -> None:
    name = save(BertForSequenceClassification(BertConfig(**BERT)), tmp_path)
    change(tmp_path / "config.json", architectures=None)
    with pytest.raises(UnsupportedModelError, match=r"classifier\.bias would be lost"):
        load_model(name, device="cpu")


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        (BertForMaskedLM, BertConfig(**BERT), "has one for masked-lm"),
        (LlamaForCausalLM, LlamaConfig(**LLAMA), "streamed here"),
    ],
)
def test_a_run_that_needs_a_loss_is_refused_before_weights_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[PreTrainedModel], config: PreTrainedConfig, message: str
) -> None:
    name = save(kind(config), tmp_path)
    monkeypatch.setattr(kind, "from_pretrained", lambda *_, **__: pytest.fail("read the weights"))
    monkeypatch.setattr(weights, "place", lambda *_: "streamed")
    with pytest.raises(InvalidSpecError, match=message):
        run(PruneSpec(model=name, device="cpu"))


def test_a_folder_without_a_tokenizer_is_refused_with_a_remedy(tmp_path: Path) -> None:
    """Without one, transformers makes an empty tokenizer for a BERT and raises its own error for a LLaMA."""
    for kind, config in ((BertModel, BertConfig(**BERT)), (LlamaForCausalLM, LlamaConfig(**LLAMA))):
        kind(config).save_pretrained(tmp_path / kind.__name__)
        with pytest.raises(ModelNotFoundError, match=r"no tokenizer; add .*save_pretrained"):
            load_model(str(tmp_path / kind.__name__), device="cpu")


def test_a_tokenizer_without_words_counts_as_missing(tmp_path: Path) -> None:
    name = save(BertModel(BertConfig(**BERT)), tmp_path)
    for file in ("vocab.txt", "tokenizer.json"):
        (tmp_path / file).unlink(missing_ok=True)
    with pytest.raises(ModelNotFoundError, match="no tokenizer"):
        load_model(name, device="cpu")


def llama_classifier() -> LlamaForSequenceClassification:
    config = LlamaConfig(**LLAMA, pad_token_id=None, id2label={0: "negative", 1: "positive"})
    return LlamaForSequenceClassification(config).eval()


def test_a_llama_classifier_without_a_padding_token_reads_many_texts_at_once(tmp_path: Path) -> None:
    """The classifier reads the last token that is not padding, [SEP]; padding with [SEP] would hide it."""
    model = llama_classifier()
    name = save(model, tmp_path)
    change(tmp_path / "tokenizer_config.json", pad_token=None)
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
def test_padding_of_a_llama_classifier_is_that_of_its_tokenizer(tmp_path: Path, wrong: int) -> None:
    """A wrong padding token in the config would make the model classify short texts at a padding token."""
    model = llama_classifier()
    model.config.pad_token_id = wrong
    loaded = load_model(save(model, tmp_path), device="cpu")
    assert loaded.model.config.pad_token_id == loaded.tokenizer.pad_token_id != wrong
    texts = ["a b", "a b c d e f"]
    together = loaded.model(**loaded.tokenizer(texts, padding=True, return_tensors="pt")).logits
    for text, logits in zip(texts, together, strict=True):
        alone = loaded.model(**loaded.tokenizer(text, return_tensors="pt")).logits[0]
        torch.testing.assert_close(logits, alone)


def test_a_llama_classifier_that_cannot_pad_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = save(llama_classifier(), tmp_path)
    change(tmp_path / "tokenizer_config.json", pad_token=None)
    monkeypatch.setattr(catalog, "_padding", lambda tokenizer: None)
    with pytest.raises(UnsupportedModelError, match="no token to pad with"):
        load_model(name, device="cpu")


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_offloaded_model_computes_the_same(tmp_path: Path, tied: bool, dtype: str) -> None:
    name = save(LlamaForCausalLM(LlamaConfig(**LLAMA, tie_word_embeddings=tied)), tmp_path / "model")
    resident = load_model(name, device="cpu", dtype=dtype)
    offloaded = load_model(name, device="cpu", dtype=dtype, offload_folder=tmp_path / "offload")
    assert resident.model.dtype == offloaded.model.dtype == getattr(torch, dtype)
    assert is_offloaded(offloaded.model)
    assert all(parameter.is_meta for parameter in offloaded.model.parameters())
    tokens = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        torch.testing.assert_close(offloaded.model(tokens).logits, resident.model(tokens).logits)


def test_loading_leaves_the_global_random_state_alone(tmp_path: Path) -> None:
    name = save(LlamaForCausalLM(LlamaConfig(**LLAMA)), tmp_path)
    before = torch.random.get_rng_state()
    load_model(name, device="cpu")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_an_unknown_demo_model_is_refused_with_the_known_names() -> None:
    with pytest.raises(ModelNotFoundError) as refused:
        load_model("demo/unknown", device="cpu")
    assert all(preset.id in str(refused.value) for preset in PRESETS if preset.id.startswith("demo/"))


@pytest.mark.demo
@pytest.mark.parametrize("preset", [preset for preset in PRESETS if preset.id.startswith("demo/")], ids=lambda p: p.id)
def test_demo_models_agree_with_their_presets(preset) -> None:  # type: ignore[no-untyped-def]
    loaded = load_model(preset.id, device="cpu")
    assert loaded.task == preset.task
    assert loaded.adapter.family == preset.family
    count = sum(parameter.numel() for parameter in loaded.model.parameters())
    assert count / 1e6 == pytest.approx(preset.parameters, abs=0.1)
