"""Token batches: windows without padding for language models, single texts for the others."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, RobertaConfig

from liar.data import calibration_batches, evaluation_windows
from liar.data.packing import longest_sequence
from liar.data.splits import split_of
from liar.errors import CalibrationError, InvalidSpecError
from liar.models.catalog import load_model
from tests.tiny import LETTERS, classifier, encoder, language_model, tokenizer

EOS = 3


@pytest.fixture
def text(tmp_path: Path) -> str:
    """120 texts of 1 to 40 letters."""
    draw = random.Random(0)
    path = tmp_path / "own.txt"
    path.write_text("\n\n".join(" ".join(draw.choices(LETTERS, k=draw.randint(1, 40))) for _ in range(120)))
    return str(path)


@pytest.fixture
def labelled(tmp_path: Path) -> str:
    """Texts of n letters; even n is Positive."""
    path = tmp_path / "own.csv"
    rows = [f"{' '.join('a' * n)},{'negative' if n % 2 else 'Positive'}" for n in range(1, 41)]
    path.write_text("\n".join(["text,label", *rows]))
    return str(path)


@pytest.mark.parametrize("tokens", [1, 64, 65, 500])
def test_windows_are_whole_and_unpadded(text: str, tokens: int) -> None:
    batches = calibration_batches(text, language_model(), tokens, 32, seed=0, batch_size=3)
    assert sum(batch["input_ids"].numel() for batch in batches) == -(-tokens // 32) * 32
    for batch in batches:
        assert batch["input_ids"].shape[1] == 32
        assert batch["attention_mask"].all()
        assert (batch["input_ids"] != 0).all()
        assert len(batch["input_ids"]) <= 3


def test_texts_are_joined_by_the_end_of_text_token(tmp_path: Path) -> None:
    path = tmp_path / "own.txt"
    path.write_text("a b c\n\nd e\n\nf g h")
    loaded = language_model()
    windows = evaluation_windows(loaded, data=str(path), sequence_length=5)
    letters = loaded.tokenizer("a b c d e f g h", add_special_tokens=False)["input_ids"]
    assert windows.flatten().tolist() == [*letters[:3], EOS, *letters[3:5], EOS, *letters[5:]]


def test_the_seed_decides_the_batches(text: str) -> None:
    first, again, other = (calibration_batches(text, language_model(), 256, 32, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(one["input_ids"], two["input_ids"]) for one, two in zip(first, again, strict=True))
    assert any(not torch.equal(one["input_ids"], two["input_ids"]) for one, two in zip(first, other, strict=True))


def test_encoders_get_whole_texts_until_there_are_enough_tokens(text: str) -> None:
    batches = calibration_batches(text, encoder(), 600, 30, seed=0)
    real = sum(int(batch["attention_mask"].sum()) for batch in batches)
    assert 600 <= real < 630
    for batch in batches:
        lengths = batch["attention_mask"].sum(dim=1)
        assert batch["input_ids"].shape[1] == lengths.max() <= 30
        assert (batch["input_ids"][:, 0] == 2).all()
        assert (batch["input_ids"].gather(1, lengths[:, None] - 1) == EOS).all()
        assert ((batch["input_ids"] == 0) == (batch["attention_mask"] == 0)).all()
        assert "labels" not in batch


def test_labels_are_the_models_own_classes(labelled: str) -> None:
    batches = calibration_batches(labelled, classifier(("positive", "negative")), 600, 64, seed=0)
    for batch in batches:
        letters = batch["attention_mask"].sum(dim=1) - 2
        assert torch.equal(batch["labels"], letters % 2)  # odd is negative, which this model has in second place


def test_labels_of_a_regression_are_numbers(labelled: str) -> None:
    table = Path(labelled)
    rated = table.read_text().replace("negative", "-1.5").replace("Positive", "2")
    table.write_text(rated)
    for batch in calibration_batches(labelled, classifier(("score",)), 600, 64, seed=0):
        letters = batch["attention_mask"].sum(dim=1) - 2
        assert torch.equal(batch["labels"], torch.where(letters % 2 == 1, -1.5, 2.0))
    table.write_text(rated.replace("-1.5", "bad"))
    assert "labels" not in calibration_batches(labelled, classifier(("score",)), 600, 64, seed=0)[0]


def test_labels_that_the_head_does_not_know_are_left_out(labelled: str) -> None:
    batches = calibration_batches(labelled, classifier(("good", "bad")), 600, 64, seed=0)
    assert all("labels" not in batch for batch in batches)


def test_too_little_text_says_how_much_there_is(text: str, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"holds [\d,]+ usable tokens and 100,000 are asked"):
        calibration_batches(text, language_model(), 100_000, 32, seed=0)
    with pytest.raises(CalibrationError, match="100,000"):
        calibration_batches(text, encoder(), 100_000, 32, seed=0)
    short = tmp_path / "short.txt"
    short.write_text("a b c")
    with pytest.raises(CalibrationError, match="too short"):
        calibration_batches(str(short), language_model(), 32, 32, seed=0)
    with pytest.raises(CalibrationError, match="at least 2"):
        evaluation_windows(language_model(), data=str(short), sequence_length=3)


def test_sequences_beyond_the_models_positions_are_refused(text: str) -> None:
    with pytest.raises(InvalidSpecError, match="at most 64"):
        calibration_batches(text, encoder(), 600, 65, seed=0)
    with pytest.raises(InvalidSpecError, match="at most 128"):
        evaluation_windows(language_model(positions=128), data=text, sequence_length=129)


def test_roberta_has_fewer_positions_than_its_table() -> None:
    config = RobertaConfig(max_position_embeddings=514, pad_token_id=1)
    assert longest_sequence(config, tokenizer(10_000)) == 512
    assert longest_sequence(BertConfig(max_position_embeddings=512), tokenizer(10_000)) == 512
    assert longest_sequence(BertConfig(max_position_embeddings=512), tokenizer(128)) == 128


@pytest.mark.demo
def test_wikipedia_windows_of_the_parts_share_no_article() -> None:
    loaded = load_model("demo/smollm2-135m")
    parts = {split: evaluation_windows(loaded, split, limit=40) for split in ("train", "validation", "test")}
    lines = {split: set(loaded.tokenizer.decode(part.flatten()).split("<|im_end|>")) for split, part in parts.items()}
    assert parts["test"].shape == (40, 256)
    assert not lines["test"] & (lines["train"] | lines["validation"])


@pytest.mark.demo
def test_calibration_reads_the_training_part_only() -> None:
    from liar.data.bundle import articles

    loaded = load_model("demo/smollm2-135m")
    batches = calibration_batches("wiki", loaded, 4096, 256, seed=0)
    assert [tuple(batch["input_ids"].shape) for batch in batches] == [(8, 256), (8, 256)]
    tokens = torch.cat([batch["input_ids"].flatten() for batch in batches])
    whole = loaded.tokenizer.decode(tokens).split("<|im_end|>")[:-1]
    split_of_text = {article.extract: split_of(article.title) for article in articles()}
    assert len(whole) > 10
    assert {split_of_text[each] for each in whole} == {"train"}


@pytest.mark.demo
def test_auto_takes_the_text_of_the_models_task() -> None:
    loaded = load_model("demo/minilm-sentiment")
    auto, named = (calibration_batches(source, loaded, 500, 64, seed=0) for source in ("auto", "sentiment"))
    assert all(torch.equal(one["input_ids"], two["input_ids"]) for one, two in zip(auto, named, strict=True))
    assert set(torch.cat([batch["labels"] for batch in auto]).tolist()) == {0, 1}
    assert "labels" not in calibration_batches("wiki", loaded, 500, 64, seed=0)[0]
