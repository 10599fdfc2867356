"""Folders of sentence-transformers: read without its code, and loaded by it after a run, with equal vectors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import BertForMaskedLM, BertForSequenceClassification, LlamaConfig, LlamaForCausalLM

from liar import PruneSpec, load_model, stream
from liar.errors import UnsupportedModelError
from liar.evaluate.embedding import vector_steps
from liar.models.embedder import POOLINGS
from liar.models.loaded import LoadedModel
from liar.progress import finish
from liar.save.checkpoint import CARD_FILE, save_model
from liar.save.deliver import reload_difference
from tests.small_heads import SIZES, TOKENIZER, embedder, regressor

TEXTS = ["red", "green blue x", "longer longer red", "x " * 30]
PROMPTS = {"query": "blue ", "document": "x x "}


def saved(model: Any, folder: Path) -> str:
    model.save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return str(folder)


def sentence_folder(folder: Path, *modules: nn.Module, model: Any = None, **choices: Any) -> str:
    """What sentence-transformers itself saves."""
    plain = saved(embedder().model if model is None else model, folder / "plain")
    made = SentenceTransformer(modules=[Transformer(plain, max_seq_length=24), *modules], device="cpu", **choices)
    made.save(str(folder / "sentence"))
    return str(folder / "sentence")


def theirs(folder: str, role: str | None = None, *, trust: bool = False) -> Tensor:
    model = SentenceTransformer(folder, device="cpu", trust_remote_code=trust)
    return normalize(torch.tensor(model.encode(TEXTS, prompt_name=role)), dim=1)


def ours(loaded: LoadedModel, role: Any = None) -> Tensor:
    prompt = None if role is None else loaded.embedder.prompt_of(role)
    return finish(vector_steps(loaded, TEXTS, 64, prompt))[0]


def pruned(loaded: LoadedModel, text: str, **choices: Any) -> LoadedModel:
    spec = PruneSpec(
        model=loaded.id,
        calibration=text,
        tokens=128,
        sequence_length=24,
        device="cpu",
        **{"targets": "both", **choices},
    )
    model = finish(stream(spec, loaded)).model
    assert model is not None
    return model


@pytest.fixture(name="text")
def _text(tmp_path: Path) -> str:
    path = tmp_path / "texts.txt"
    path.write_text("\n\n".join(f"{a} {b} {c}" for a in TEXTS[:3] for b in TEXTS[:3] for c in ("x", "blue")), "utf-8")
    return str(path)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("targets", ["ffn", "both"])
def test_a_folder_goes_in_and_comes_out(pooling: str, targets: str, tmp_path: Path, text: str) -> None:
    width = SIZES["hidden_size"]
    modules = [Pooling(width, pooling), Dense(width, 12), Normalize()]
    folder = sentence_folder(tmp_path, *modules, prompts=PROMPTS, default_prompt_name="document")
    loaded = load_model(folder, device="cpu")
    for role in (None, "query", "document"):
        torch.testing.assert_close(ours(loaded, role), theirs(folder, role), atol=1e-5, rtol=0)
    allocation = "uniform" if targets == "ffn" else "loss-curve"
    smaller, out = pruned(loaded, text, targets=targets, allocation=allocation), tmp_path / "out"
    written = save_model(smaller, out)
    assert written.form == ("stock" if targets == "ffn" else "ragged")
    assert written.encoder == "SentenceTransformer"
    assert f"SentenceTransformer({str(out)!r}" in written.sentence
    assert reload_difference(written, smaller) == 0
    trust = written.form == "ragged"
    for role in (None, "query", "document"):
        torch.testing.assert_close(theirs(str(out), role, trust=trust), ours(smaller, role), atol=1e-5, rtol=0)
    assert not torch.allclose(ours(smaller), ours(loaded), atol=1e-3)
    again = load_model(str(out), device="cpu")
    assert torch.equal(ours(again), ours(smaller))
    for name in (
        "modules.json",
        "config_sentence_transformers.json",
        "1_Pooling/config.json",
        "2_Dense/model.safetensors",
    ):
        assert (out / name).read_bytes() == (Path(folder) / name).read_bytes()


def test_a_smaller_vocabulary_has_the_tokens_and_vectors_of_the_dense_model(tmp_path: Path, text: str) -> None:
    folder = sentence_folder(tmp_path, Pooling(SIZES["hidden_size"], "mean"), Normalize())
    (tmp_path / "few.txt").write_text("red\n\nx longer", encoding="utf-8")
    spec = PruneSpec(
        model=folder, targets="both", ratio=0.0, calibration=text, tokens=128, sequence_length=24, device="cpu"
    )
    done = finish(stream(spec.model_copy(update={"vocabulary": str(tmp_path / "few.txt")})))
    save_model(done.model, tmp_path / "out")
    smaller, whole = (SentenceTransformer(each, device="cpu") for each in (str(tmp_path / "out"), folder))
    assert len(smaller.tokenizer) == done.result.vocabulary.kept < len(whole.tokenizer)
    for words in ("red", "x longer red"):
        assert smaller.tokenizer.tokenize(words) == whole.tokenizer.tokenize(words)
        assert smaller.encode(words) == pytest.approx(whole.encode(words), abs=1e-5)
    assert "[UNK]" in smaller.tokenizer.tokenize("green")


def test_a_run_from_a_folder_has_a_card_that_loads_it(tmp_path: Path, text: str) -> None:
    folder = sentence_folder(tmp_path, Pooling(SIZES["hidden_size"], "mean"))
    spec = PruneSpec(model=folder, targets="both", calibration=text, tokens=128, sequence_length=24, device="cpu")
    done = finish(stream(spec))
    save_model(done.model, tmp_path / "out", done.result)
    card = (tmp_path / "out" / CARD_FILE).read_text(encoding="utf-8")
    assert "library_name: sentence-transformers" in card
    assert "pipeline_tag: sentence-similarity" in card
    assert "from sentence_transformers import SentenceTransformer" in card
    assert "model = SentenceTransformer(path, trust_remote_code=True)" in card


def test_a_folder_without_modules_is_an_embedder_with_mean_pooling_and_says_so(tmp_path: Path, text: str) -> None:
    folder = saved(embedder().model, tmp_path / "plain")
    loaded = load_model(folder, device="cpu")
    torch.testing.assert_close(ours(loaded), theirs(folder), atol=1e-5, rtol=0)
    spec = PruneSpec(model=folder, targets="ffn", calibration=text, tokens=128, sequence_length=24, device="cpu")
    warnings = finish(stream(spec)).result.warnings
    assert any("taken as an embedder with mean pooling" in warning for warning in warnings)
    save_model(pruned(loaded, text), tmp_path / "out")
    assert not (tmp_path / "out" / "modules.json").exists()
    assert theirs(str(tmp_path / "out"), trust=True).shape == (len(TEXTS), SIZES["hidden_size"])


@pytest.mark.parametrize("kind", ["masked", "decoder"])
def test_a_head_that_the_vectors_do_not_pass_stays_behind(kind: str, tmp_path: Path) -> None:
    """As of embedders that were saved with the class they were trained as, among them decoders."""
    torch.manual_seed(0)
    if kind == "masked":
        model = BertForMaskedLM(embedder().model.config).eval()
    else:
        model = LlamaForCausalLM(LlamaConfig(**SIZES, num_hidden_layers=2, pad_token_id=0)).eval()
    folder = sentence_folder(tmp_path, Pooling(SIZES["hidden_size"], "lasttoken"), model=model)
    saved(model, Path(folder))
    loaded = load_model(folder, device="cpu")
    assert loaded.head == "none"
    torch.testing.assert_close(ours(loaded), theirs(folder), atol=1e-5, rtol=0)


def test_a_reranker_goes_in_and_comes_out(tmp_path: Path, text: str) -> None:
    model = regressor().model
    CrossEncoder(saved(model, tmp_path / "plain"), device="cpu").save(str(tmp_path / "cross"))
    loaded = load_model(str(tmp_path / "cross"), device="cpu")
    assert isinstance(loaded.model, BertForSequenceClassification)
    assert loaded.embedder is None
    assert loaded.task == "wiki-rerank"
    smaller = pruned(loaded, text)
    written = save_model(smaller, tmp_path / "out")
    assert written.sentence.endswith(f"CrossEncoder({str(tmp_path / 'out')!r}, trust_remote_code=True) loads it.")
    again = CrossEncoder(str(tmp_path / "out"), device="cpu", trust_remote_code=True)
    pairs = [(first, second) for first in TEXTS[:3] for second in TEXTS[:3]]
    read = smaller.tokenizer([a for a, _ in pairs], [b for _, b in pairs], padding=True, return_tensors="pt")
    wanted = smaller.model(**read).logits[:, 0].sigmoid()
    torch.testing.assert_close(torch.tensor(again.predict(pairs)), wanted, atol=1e-5, rtol=0)


# -- what cannot be kept ------------------------------------------------------------------------------------------------


def changed(file: Path, **fields: Any) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    content = [*content, fields] if isinstance(content, list) else {**content, **fields}
    file.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("1_Pooling/config.json", {"pooling_mode": "max"}, "pools by max; mean, cls, lasttoken can be pruned"),
        ("1_Pooling/config.json", {"pooling_mode": ["mean", "cls"]}, "pools by mean and cls"),
        ("1_Pooling/config.json", {"include_prompt": False}, "leaves its prompt out"),
        ("2_Dense/config.json", {"activation_function": "os.system"}, "has a Dense at 2_Dense with an activation"),
        ("2_Dense/config.json", {"use_residual": True}, "connection that cannot be computed"),
        ("2_Dense/config.json", {"out_features": 5}, "without fitting safetensors weights"),
        ("modules.json", {"path": "3", "type": "sentence_transformers.models.LSTM"}, "has the module LSTM, which"),
        ("modules.json", {"path": "../../x", "type": "sentence_transformers.models.Dense"}, "a module outside"),
        ("modules.json", {"path": "/etc", "type": "sentence_transformers.models.Dense"}, "a module outside"),
    ],
)
def test_what_would_be_lost_is_refused(name: str, fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    width = SIZES["hidden_size"]
    folder = sentence_folder(tmp_path, Pooling(width, "mean"), Dense(width, 12))
    changed(Path(folder) / name, **fields)
    with pytest.raises(UnsupportedModelError, match=rf"folder of sentence-transformers and .*{message}"):
        load_model(folder, device="cpu")


@pytest.mark.parametrize(
    ("content", "message"),
    [("[]", "no list of modules"), ("{", "is no JSON"), ('[{"path": "0", "type": "a.Transformer"}]', "does not begin")],
)
def test_a_damaged_list_of_modules_is_one_sentence(content: str, message: str, tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path, Pooling(SIZES["hidden_size"], "mean"))
    (Path(folder) / "modules.json").write_text(content, encoding="utf-8")
    with pytest.raises(UnsupportedModelError, match=message):
        load_model(folder, device="cpu")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("1_Pooling/config.json", "[]", "without named fields"),
        ("config_sentence_transformers.json", "3", "without named fields"),
        ("config_sentence_transformers.json", '{"prompts": ["a"]}', "cannot be read"),
        ("sentence_bert_config.json", '{"max_seq_length": "long"}', "cannot be read"),
        ("sentence_bert_config.json", "no", "is no JSON"),
    ],
)
def test_a_damaged_setting_is_one_sentence(name: str, content: str, message: str, tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path, Pooling(SIZES["hidden_size"], "mean"))
    (Path(folder) / name).write_text(content, encoding="utf-8")
    with pytest.raises(UnsupportedModelError, match=message):
        load_model(folder, device="cpu")


def test_a_list_without_pooling_is_refused(tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path, Pooling(SIZES["hidden_size"], "mean"), Normalize())
    listed = [
        each for each in json.loads((Path(folder) / "modules.json").read_text("utf-8")) if "Pooling" not in each["type"]
    ]
    (Path(folder) / "modules.json").write_text(json.dumps(listed), encoding="utf-8")
    with pytest.raises(UnsupportedModelError, match="lists no pooling"):
        load_model(folder, device="cpu")


def test_flags_of_older_folders_are_read(tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path, Pooling(SIZES["hidden_size"], "cls"))
    old = {
        "word_embedding_dimension": SIZES["hidden_size"],
        "pooling_mode_cls_token": True,
        "pooling_mode_mean_tokens": False,
    }
    (Path(folder) / "1_Pooling" / "config.json").write_text(json.dumps(old), encoding="utf-8")
    assert load_model(folder, device="cpu").embedder.pooling == "cls"
    shutil.rmtree(folder)
