"""Token batches: windows without padding for language models, single texts for the others."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from transformers import BertConfig, BertModel, PreTrainedModel, RobertaConfig, RobertaModel

from benchmarks.small_models import ENCODER
from liar.calibration.sample import tokens_of
from liar.data import text_reader
from liar.data.corpora import text_steps
from liar.data.hub import Part
from liar.data.packing import Joining, joining_of, longest_sequence, token_between
from liar.data.text_reader import demo_samples, read_samples, rows_of
from liar.errors import CalibrationError, InvalidSpecError, ShortTextError
from liar.evaluate.prepared_task import prepare
from liar.evaluate.task_readers import Request, held_out_windows
from liar.loading.catalog import load_model
from liar.models.families import adapt
from liar.models.loaded import LoadedModel
from liar.progress import finish
from liar.results import CalibrationText
from liar.runtime.memory import BATCH
from liar.save.checkpoint import save_model
from liar.spec import PruneSpec, Separator
from liar.tasks.demo import OUT_OF_DOMAIN
from liar.tasks.record import DemoData
from liar.tasks.samples import Article
from liar.tasks.splits import Split, split_of
from liar.tasks.texts import WIKI
from tests import cut_models
from tests.subwords import subwords
from tests.tiny import (
    LETTERS,
    calibration_text,
    classifier,
    encoder,
    language_model,
    pair_classifier,
    tokenizer,
    windows,
)

EOS = 3
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@pytest.fixture
def text(tmp_path: Path) -> str:
    """120 texts of 1 to 40 letters."""
    draw = random.Random(0)
    path = tmp_path / "own.txt"
    path.write_text("\n\n".join(" ".join(draw.choices(LETTERS, k=draw.randint(1, 40))) for _ in range(120)))
    return str(path)


@pytest.fixture
def labelled(tmp_path: Path) -> str:
    """Texts of n letters; labelled Positive if n is even, else negative."""
    path = tmp_path / "own.csv"
    rows = [f"{' '.join('a' * n)},{'negative' if n % 2 else 'Positive'}" for n in range(1, 41)]
    path.write_text("\n".join(["text,label", *rows]))
    return str(path)


def reader_of(rows: list[str], monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    """A model whose tokenizer merges words and line ends, also across rows; every dataset of the hub has these ``rows``."""
    monkeypatch.setattr(text_reader, "open_named", lambda *_: Part("test", Dataset.from_dict({"text": rows})))
    return dataclasses.replace(language_model(), tokenizer=subwords(begin=True, of="\n\n".join(rows)))


@pytest.mark.parametrize("tokens", [1, 64, 65, 500])
def test_windows_are_whole_and_unpadded(text: str, tokens: int) -> None:
    batches = calibration_text(text, language_model(), tokens, 32, seed=0)[0]
    assert sum(batch["input_ids"].numel() for batch in batches) == -(-tokens // 32) * 32
    for batch in batches:
        assert batch["input_ids"].shape[1] == 32
        assert batch["attention_mask"].all()
        assert (batch["input_ids"] != 0).all()
        assert len(batch["input_ids"]) <= BATCH


def test_a_token_stands_between_texts_where_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "own.txt"
    path.write_text("a b c\n\nd e\n\nf g h")
    loaded = language_model()
    found = windows(loaded, str(path), length=5, separator="end")
    letters = loaded.tokenizer("a b c d e f g h", add_special_tokens=False)["input_ids"]
    assert found.flatten().tolist() == [*letters[:3], EOS, *letters[3:5], EOS, *letters[5:]]


@pytest.mark.parametrize(
    ("source", "separator", "expected"),
    [
        ("wiki", "auto", Joining("document")),
        ("somebody/essays:en", "auto", Joining("document")),
        ("own.jsonl", "auto", Joining("document")),
        ("Salesforce/wikitext:wikitext-2-raw-v1:test", "auto", Joining("blank-line", is_running=True)),
        ("wikitext", "newline", Joining("newline", is_running=True)),
        ("wikitext", "end", Joining("end")),
        ("some/own.txt", "auto", Joining("blank-line", is_running=True)),
        ("wiki", "newline", Joining("newline")),
    ],
)
def test_each_kind_of_source_has_its_own_separator(source: str, separator: Separator, expected: Joining) -> None:
    assert joining_of(source, separator) == expected


def test_a_path_may_have_the_mark_of_columns(tmp_path: Path) -> None:
    folder = tmp_path / "run#3"
    folder.mkdir()
    book = folder / "book.txt"
    book.write_text("a b c\n\nd e f")
    assert joining_of(str(book)) == Joining("blank-line", is_running=True)
    assert [sample.text for sample in read_samples(str(book), "train")] == ["a b c", "d e f"]


def test_the_document_token_is_the_one_of_training_and_not_that_of_a_chat() -> None:
    words = tokenizer(64)
    assert token_between(Joining("document"), words) == [EOS]
    words.add_special_tokens({"additional_special_tokens": ["<|endoftext|>"]})
    ended = words.convert_tokens_to_ids("<|endoftext|>")
    assert token_between(Joining("document"), words) == [ended] != [EOS]
    assert token_between(Joining("end"), words) == [EOS]


def test_lines_are_joined_as_in_the_literature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ids are those of one long text of all rows as they are, including empty ones: ``"\\n\\n".join(rows)``."""
    rows = ["", " = Title = \n", "", " one two, three\n", " four five six seven eight nine ten\n"] * 40
    loaded = reader_of(rows, monkeypatch)
    whole = loaded.tokenizer("\n\n".join(rows), add_special_tokens=False)["input_ids"]
    measured = windows(loaded, "wikitext:wikitext-2-raw-v1", 6, 32)
    assert measured.flatten().tolist() == [loaded.tokenizer.bos_token_id, *whole][: 6 * 32]
    drawn = torch.cat([batch["input_ids"] for batch in calibration_text("wikitext", loaded, 6 * 32, 32, seed=1)[0]])
    cut = torch.tensor([loaded.tokenizer.bos_token_id, *whole][: len(whole) // 32 * 32]).view(-1, 32).tolist()
    places = [cut.index(window) for window in drawn.tolist()]
    assert len(set(places)) == 6
    assert places != list(range(6)), "windows of the whole text, not of its beginning"


def test_windows_beside_are_others_of_the_running_text(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(0)
    rows = ["".join(draw.choices("acdeghilnorstuvw ", k=40)) + "\n" for _ in range(200)]
    loaded = reader_of(rows, monkeypatch)
    spec = PruneSpec(model=loaded.id, calibration="wikitext", tokens=6 * 32, sequence_length=32, seed=1)
    batches, others, _ = finish(text_steps(spec, loaded, 7 * 32))
    alone = calibration_text("wikitext", loaded, 6 * 32, 32, seed=1)[0]
    assert all(torch.equal(one["input_ids"], other["input_ids"]) for one, other in zip(batches, alone, strict=True))
    found = [{tuple(row) for batch in part for row in batch["input_ids"].tolist()} for part in (batches, others)]
    assert [len(windows) for windows in found] == [6, 7]
    assert not found[0] & found[1]


def test_the_seed_decides_the_batches(text: str) -> None:
    first, again, other = (calibration_text(text, language_model(), 256, 32, seed=seed)[0] for seed in (1, 1, 2))
    assert all(torch.equal(one["input_ids"], two["input_ids"]) for one, two in zip(first, again, strict=True))
    assert any(not torch.equal(one["input_ids"], two["input_ids"]) for one, two in zip(first, other, strict=True))


def test_encoders_get_whole_texts_until_there_are_enough_tokens(text: str) -> None:
    batches = calibration_text(text, encoder(), 600, 30, seed=0)[0]
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
    batches = calibration_text(labelled, classifier(("positive", "negative")), 600, 64, seed=0)[0]
    for batch in batches:
        letters = batch["attention_mask"].sum(dim=1) - 2
        assert torch.equal(batch["labels"], letters % 2)  # odd lengths are negative, the model's second class


@pytest.mark.parametrize(("classes", "used"), [(tuple("12345"), False), (tuple("123"), True), (("good", "bad"), False)])
def test_labels_that_mean_two_classes_or_none_are_left_out(
    tmp_path: Path, classes: tuple[str, ...], used: bool
) -> None:
    path = tmp_path / "stars.csv"
    path.write_text("text,label\n" + "\n".join(f"a b c,{n % 3 + 1}" for n in range(60)))
    batches = calibration_text(str(path), classifier(classes), 200, 8, 0)[0]
    assert all(("labels" in batch) == used for batch in batches)


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    path = tmp_path / "pairs.csv"
    rows = [f"{' '.join('a' * (n % 7 + 1))},{' '.join('b' * (n % 5 + 1))},{n % 2}" for n in range(40)]
    path.write_text("\n".join(["premise,hypothesis,label", *rows]))
    return str(path)


def test_both_texts_of_a_pair_are_read_with_their_types(pairs: str) -> None:
    loaded = pair_classifier()
    for batch in calibration_text(pairs, loaded, 300, 10, seed=0)[0]:
        real = batch["attention_mask"].bool()
        second = batch["input_ids"] == loaded.tokenizer.convert_tokens_to_ids("b")
        assert second.any(dim=1).all()
        assert torch.equal(batch["token_type_ids"][second], torch.ones_like(batch["token_type_ids"][second]))
        assert not batch["token_type_ids"][~real].any()
        first = batch["input_ids"] == loaded.tokenizer.convert_tokens_to_ids("a")
        assert not batch["token_type_ids"][first].any()


def test_types_reach_neither_a_model_without_them_nor_single_texts(pairs: str, text: str) -> None:
    one_type = pair_classifier()
    one_type.model.config.type_vocab_size = 1
    assert all("token_type_ids" not in batch for batch in calibration_text(pairs, one_type, 300, 10, seed=0)[0])
    assert all("token_type_ids" not in batch for batch in calibration_text(text, pair_classifier(), 300, 10, seed=0)[0])


def test_a_language_model_reads_a_pair_as_one_text(pairs: str) -> None:
    loaded = language_model()
    [batch] = calibration_text(pairs, loaded, 32, 32, seed=0)[0]
    assert {"a", "b"} <= set(loaded.tokenizer.decode(batch["input_ids"][0]).split())


def test_what_was_calibrated_on_is_recorded(text: str, pairs: str) -> None:
    batches, used = calibration_text(pairs, classifier(), 200, 10, seed=0)
    assert used.tokens == sum(int(batch["attention_mask"].sum()) for batch in batches)
    assert used.sequences == sum(len(batch["input_ids"]) for batch in batches)
    assert (used.source, used.split) == (pairs, None)
    assert 0 < (used.cut or 0) < used.sequences
    wanted = CalibrationText(source=text, split=None, tokens=64, sequences=2)
    assert calibration_text(text, language_model(), 64, 32, seed=0)[1].model_dump() == wanted.model_dump()


def test_labels_of_a_regression_are_numbers(labelled: str) -> None:
    table = Path(labelled)
    rated = table.read_text().replace("negative", "-1.5").replace("Positive", "2")
    table.write_text(rated)
    for batch in calibration_text(labelled, classifier(("score",)), 600, 64, seed=0)[0]:
        letters = batch["attention_mask"].sum(dim=1) - 2
        assert torch.equal(batch["labels"], torch.where(letters % 2 == 1, -1.5, 2.0))
    table.write_text(rated.replace("-1.5", "bad"))
    assert "labels" not in calibration_text(labelled, classifier(("score",)), 600, 64, seed=0)[0][0]


def test_too_little_text_is_refused_with_its_number_of_tokens(text: str, tmp_path: Path) -> None:
    with pytest.raises(ShortTextError, match=r"holds [\d,]+ usable tokens and 100,000 are asked") as refused:
        calibration_text(text, language_model(), 100_000, 32, seed=0)[0]
    assert f"at most {refused.value.most:,} tokens" in str(refused.value)
    assert tokens_of(calibration_text(text, language_model(), refused.value.most, 32, seed=0)[0]) == refused.value.most
    with pytest.raises(CalibrationError, match="100,000"):
        calibration_text(text, encoder(), 100_000, 32, seed=0)[0]
    short = tmp_path / "short.txt"
    short.write_text("a b c")
    with pytest.raises(CalibrationError, match="too short"):
        calibration_text(str(short), language_model(), 32, 32, seed=0)[0]
    with pytest.raises(CalibrationError, match="at least 2"):
        windows(language_model(), str(short), length=3)


def test_sequences_are_within_the_positions_that_the_model_has(text: str) -> None:
    assert prepare(language_model(positions=48), "perplexity", data=text).length == 48
    assert prepare(language_model(positions=512), "perplexity", data=text).length == 256
    with pytest.raises(InvalidSpecError, match="at most 64"):
        calibration_text(text, encoder(), 600, 65, seed=0)[0]
    with pytest.raises(InvalidSpecError, match="at most 128"):
        prepare(language_model(positions=128), "perplexity", data=text, sequence_length=129)


def test_roberta_has_fewer_positions_than_its_table_also_with_ragged_layers(tmp_path: Path) -> None:
    def positions(model: PreTrainedModel, limit: int = 10_000) -> int:
        return longest_sequence(LoadedModel("a", model, tokenizer(limit), adapt(model), None))

    table = {"max_position_embeddings": 64}
    assert positions(RobertaModel(RobertaConfig(**ENCODER | table, pad_token_id=1))) == 62
    assert positions(BertModel(BertConfig(**ENCODER | table, pad_token_id=1))) == 64
    assert positions(BertModel(BertConfig(**ENCODER | table)), limit=32) == 32
    whole = cut_models.loaded("roberta")
    saved = save_model(cut_models.cut(whole, "ffn", lambda layer: 10 + 7 * layer), tmp_path / "ragged")
    ragged = load_model(str(saved.folder))
    assert saved.form == "ragged"
    assert longest_sequence(ragged) == longest_sequence(whole) == 63
    ragged.model(input_ids=torch.full((1, 63), 5))  # all positions, and not one more
    with pytest.raises(RuntimeError):
        ragged.model(input_ids=torch.full((1, 64), 5))


@pytest.mark.demo
def test_wikipedia_windows_of_the_parts_share_no_article() -> None:
    loaded = load_model("demo/smollm2-135m")
    parts = {split: windows(loaded, limit=40, split=split) for split in SPLITS}
    lines = {
        split: set(loaded.tokenizer.decode(part.flatten()).split("<|endoftext|>")) for split, part in parts.items()
    }
    assert parts["test"].shape == (40, 256)
    assert not lines["test"] & (lines["train"] | lines["validation"])


@pytest.mark.demo
def test_calibration_reads_the_training_part_only() -> None:
    loaded = load_model("demo/smollm2-135m")
    batches = calibration_text("wiki", loaded, 4096, 256, seed=0)[0]
    assert [tuple(batch["input_ids"].shape) for batch in batches] == [(8, 256), (8, 256)]
    tokens = torch.cat([batch["input_ids"].flatten() for batch in batches])
    whole = loaded.tokenizer.decode(tokens).split("<|endoftext|>")[:-1]
    articles = [row for row in rows_of(WIKI) if isinstance(row, Article)]
    split_of_text = {article.extract: split_of(article.title) for article in articles}
    assert len(whole) > 10
    assert {split_of_text[each] for each in whole} == {"train"}


@pytest.mark.demo
def test_auto_takes_the_text_of_the_models_task() -> None:
    loaded = load_model("demo/minilm-sentiment")
    auto, named = (calibration_text(source, loaded, 500, 64, seed=0)[0] for source in ("auto", "sentiment"))
    assert all(torch.equal(one["input_ids"], two["input_ids"]) for one, two in zip(auto, named, strict=True))
    assert set(torch.cat([batch["labels"] for batch in auto]).tolist()) == {0, 1}
    assert "labels" not in calibration_text("wiki", loaded, 500, 64, seed=0)[0][0]


@pytest.mark.demo
def test_windows_of_several_texts_are_taken_in_turn() -> None:
    loaded = load_model("demo/smollm2-135m")
    found, read = held_out_windows(Request(loaded, OUT_OF_DOMAIN, "test", 5, None, 64, "auto"))
    assert len(found) == 5
    assert read.source == "editorials, products, tweets"
    for place, text in enumerate(OUT_OF_DOMAIN.texts):
        documents = " ".join(sample.text for sample in demo_samples(DemoData((text,)), "test"))
        for window in found[place :: len(OUT_OF_DOMAIN.texts)]:
            pieces = loaded.tokenizer.decode(window).split("<|endoftext|>")
            assert all(piece.strip() in documents for piece in pieces), text.id
