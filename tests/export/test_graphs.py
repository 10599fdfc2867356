"""ONNX and OpenVINO: every kind of head, stock and ragged, answers as torch does, for any number and length of texts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from liar import LoadedModel
from liar.errors import InvalidSpecError, LiarError, StorageError, UnsupportedModelError
from liar.export import graph, parity
from liar.export.exporting import export_steps, exported
from liar.export.onnx import onnx_run
from liar.export.openvino import openvino_run
from liar.models.embedder import Embedder
from liar.progress import finish
from liar.report.exported import Export, Format, Weights
from liar.save.checkpoint import save_model
from tests import small_heads, subwords, tiny
from tests.cut_models import cut

MODELS = {
    "classifier": lambda: small_heads.classifier(("a", "b", "c")),
    "regressor": small_heads.regressor,
    "marker": small_heads.marker,
    "embedder": lambda: small_heads.embedder(Embedder("cls", torch.nn.Sequential(torch.nn.Linear(16, 8)))),
    "masked": tiny.mute,
    "reader": subwords.loaded,
}
FORMATS = ["onnx", pytest.param("openvino", marks=pytest.mark.long)]
FORMS = pytest.mark.parametrize(
    ("to", "ragged"),
    [
        pytest.param("onnx", True, id="onnx-ragged"),
        pytest.param("onnx", False, id="onnx-stock", marks=pytest.mark.long),
        pytest.param("openvino", True, id="openvino-ragged", marks=pytest.mark.long),
    ],
)
RUNS = {"onnx": onnx_run, "openvino": openvino_run}


def write(loaded: LoadedModel, to: Format, out: Path, weights: Weights = "fp32", *, cache: bool = True) -> Export:
    return finish(exported(loaded, to, out, weights, cache=cache))


def made(name: str, *, ragged: bool) -> LoadedModel:
    loaded = MODELS[name]()
    if ragged:
        cut(loaded, "ffn", lambda layer: 7 + 4 * layer)
        cut(loaded, "attention", lambda layer: 1 + layer % 2)
    return loaded


@FORMS
@pytest.mark.parametrize("name", MODELS)
def test_any_texts_are_answered_as_by_torch(name: str, ragged: bool, to: Format, tmp_path: Path) -> None:
    loaded = made(name, ragged=ragged)
    record = write(loaded, to, tmp_path / "out")
    assert record.checks[0].value < 1e-4
    path = next(tmp_path / "out" / file for file in record.files if not file.endswith(".bin"))
    run, ours = RUNS[to](path, 1), graph.torch_run(loaded)
    for texts, length in ((1, 1), (1, 40), (5, 9)):
        ids = torch.randint(4, 9, (texts, length), generator=torch.Generator().manual_seed(length))
        mask = torch.ones_like(ids)
        mask[1:, length // 2 :] = 0
        feed = {"input_ids": ids, "attention_mask": mask}
        if parity.needs_types(loaded):
            feed["token_type_ids"] = torch.zeros_like(ids)
        compared = next(parity.compare(ours, run, [feed]))
        assert parity.largest_difference([compared]).value < 1e-4


def test_an_embedder_gives_its_vector_and_its_states(tmp_path: Path) -> None:
    loaded = made("embedder", ragged=True)
    record = write(loaded, "onnx", tmp_path / "out")
    feed = next(parity.feeds(loaded, parity.texts_for(loaded, 3), 3))
    found = onnx_run(tmp_path / "out" / record.files[0], 1)(feed)
    states = loaded.model(**feed).last_hidden_state
    assert loaded.embedder is not None
    assert torch.allclose(found["last_hidden_state"], states, atol=1e-5)
    assert torch.allclose(
        found["sentence_embedding"], loaded.embedder.vectors(states, feed["attention_mask"]), atol=1e-5
    )
    assert found["sentence_embedding"].norm(dim=1) == pytest.approx([1, 1, 1], abs=1e-5)


@FORMS
def test_a_language_model_goes_on_from_its_cache(ragged: bool, to: Format, tmp_path: Path) -> None:
    loaded = made("reader", ragged=ragged)
    record = write(loaded, to, tmp_path / "out")
    path = next(tmp_path / "out" / file for file in record.files if not file.endswith(".bin"))
    run = RUNS[to](path, 1)
    ids = torch.tensor([[5, 9, 300, 77]])
    answer = run({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    for _ in range(8):
        token = answer["logits"][:, -1].argmax(dim=-1, keepdim=True)
        ids = torch.cat([ids, token], dim=1)
        answer = run({"input_ids": token, "attention_mask": torch.ones_like(ids), **graph.continued(answer)})
    wanted = loaded.model.generate(  # type: ignore[operator]
        ids[:, :4],
        attention_mask=torch.ones(1, 4),
        max_new_tokens=8,
        min_new_tokens=8,
        do_sample=False,
        eos_token_id=None,
    )
    assert ids.tolist() == wanted.tolist()


def test_without_a_cache_it_reads_whole_texts(tmp_path: Path) -> None:
    import onnxruntime

    record = write(made("reader", ragged=True), "onnx", tmp_path / "out", cache=False)
    session = onnxruntime.InferenceSession(tmp_path / "out" / record.files[0])
    assert [each.name for each in session.get_inputs()] == ["input_ids", "attention_mask"]
    assert [each.name for each in session.get_outputs()] == ["logits"]


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("name", ["classifier", "embedder", "reader"])
def test_rounded_weights_are_smaller_and_say_what_is_left(name: str, to: Format, tmp_path: Path) -> None:
    loaded = made(name, ragged=True)
    whole, rounded = write(loaded, to, tmp_path / "whole"), write(loaded, to, tmp_path / "int8", "int8")
    difference, left = rounded.checks
    assert difference.value < 1e-4
    assert left.value == pytest.approx(1, abs=0.1)
    assert whole.weights == "fp32"
    assert rounded.weights == "int8"
    if to == "onnx":
        assert rounded.files == ("onnx/model_quantized.onnx",)
    found = json.loads((tmp_path / "int8" / "export.json").read_text())
    assert Export.model_validate(found) == rounded


def test_the_folder_has_a_plain_config_and_no_code(tmp_path: Path) -> None:
    loaded = made("classifier", ragged=True)
    write(loaded, "onnx", tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["model_type"] == "bert"
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert not {"auto_map", "linears", "attributes"} & set(config)
    assert list(config["id2label"].values()) == ["a", "b", "c"]
    assert not list((tmp_path / "out").rglob("*.py"))
    assert not list(tmp_path.glob(".*"))


def test_a_saved_folder_is_exported_with_its_card_and_its_pooling(tmp_path: Path) -> None:
    saved = save_model(made("embedder", ragged=True), tmp_path / "saved")
    record = finish(export_steps(str(saved.folder), "onnx", tmp_path / "out"))
    assert record.source == "saved"
    assert "SentenceTransformer" in record.code


def test_a_file_that_answers_otherwise_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "MOST_DIFFERENCE", -1.0)
    with pytest.raises(LiarError, match="answers otherwise than torch"):
        write(made("classifier", ragged=False), "onnx", tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("to", "weights", "error", "words"),
    [
        ("onnx", "fp16", InvalidSpecError, "take fp32 or int8"),
        ("gguf", "fp32", UnsupportedModelError, "takes language models"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(
    to: Format, weights: Weights, error: type[LiarError], words: str, tmp_path: Path
) -> None:
    saved = save_model(made("classifier", ragged=True), tmp_path / "saved")
    with pytest.raises(error, match=words):
        finish(export_steps(str(saved.folder), to, tmp_path / "out", weights))
    assert not (tmp_path / "out").exists()


def test_an_existing_folder_and_a_missing_package_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match="exists already"):
        finish(export_steps("tiny", "onnx", tmp_path))
    monkeypatch.setattr("liar.export.exporting.find_spec", lambda name: None if name == "openvino" else name)
    with pytest.raises(InvalidSpecError, match=r"needs openvino; .*liar\[openvino\]"):
        finish(export_steps("tiny", "openvino", tmp_path / "out"))
