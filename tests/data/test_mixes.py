"""Several calibration texts at once, and text that the model writes itself."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from string import ascii_lowercase

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from liar import PruneSpec, load_model, run
from liar.data import own_text
from liar.data.corpora import text_steps
from liar.data.own_text import own_text_steps
from liar.data.text_windows import divided
from liar.errors import CalibrationError, InvalidSpecError
from liar.progress import finish
from liar.results import CalibrationPart
from liar.runtime.devices import Batch
from liar.tasks.mixes import MIXED, RUNNING_TEXT, Share, name_of, replaced, shares_of, sources_of
from tests.tiny import calibration_text, classifier, language_model


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(own_text, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def file_of(tmp_path: Path, letter: str, texts: int = 60) -> str:
    path = tmp_path / f"{letter}.txt"
    path.write_text("\n\n".join(" ".join(letter * 12) for _ in range(texts)))
    return str(path)


def rows_in(batches: list[Batch]) -> list[tuple[int, ...]]:
    return [tuple(row.tolist()) for batch in batches for row in batch["input_ids"]]


def letters_in(batches: list[Batch]) -> list[set[int]]:
    return [set(row) for row in rows_in(batches)]


# -- names --------------------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(["wiki", "films", "self", "a+b.txt", "owner/name:part"]), min_size=1, unique=True))
def test_a_mix_is_one_name(sources: list[str]) -> None:
    spec = PruneSpec.create(calibration=MIXED.join(sources))
    assert list(spec.sources) == sources
    assert PruneSpec.from_query(spec.to_query()) == spec
    assert PruneSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("name", "words"), [("wiki + wiki", "twice"), ("wiki + ", "each side"), (" + ".join("abcdefghi"), "fewer")]
)
def test_a_mix_that_is_none_is_one_sentence(name: str, words: str) -> None:
    with pytest.raises(InvalidSpecError, match=words):
        PruneSpec.create(calibration=name)


@pytest.mark.parametrize(
    ("given", "spelling"),
    [
        ("wiki  +  films", "wiki + films"),
        (" 3  wiki + films", "3 wiki + films"),
        ("4 wiki + 2 films", "2 wiki + films"),
        ("3 wiki", "wiki"),
    ],
)
def test_equal_mixes_have_one_spelling(given: str, spelling: str) -> None:
    assert PruneSpec(calibration=given).calibration == spelling


SHARES = st.builds(Share, st.sampled_from(["wiki", "films", "self", "./2 notes.txt", "2.txt"]), st.integers(1, 99))
MIXES = st.lists(SHARES, min_size=1, max_size=5, unique_by=lambda share: share.source)


@given(MIXES)
def test_a_name_gives_the_shares(shares: list[Share]) -> None:
    assert shares_of(name_of(shares)) == tuple(shares)
    spec = PruneSpec.create(calibration=name_of(shares))
    reduced = shares_of(spec.calibration)
    assert [share.source for share in reduced] == [share.source for share in shares]
    assert len({Fraction(before.parts, after.parts) for before, after in zip(shares, reduced, strict=True)}) == 1
    assert PruneSpec.create(calibration=spec.calibration) == spec


@given(st.integers(1, 10_000), MIXES)
def test_a_number_is_divided_by_the_shares(count: int, shares: list[Share]) -> None:
    numbers, whole = divided(count, shares), sum(share.parts for share in shares)
    assert sum(numbers) == count
    assert all(
        abs(number - Fraction(count * share.parts, whole)) < 1 for number, share in zip(numbers, shares, strict=True)
    )


@given(MIXES, MIXES)
def test_a_mix_in_the_place_of_a_text_has_its_share(shares: list[Share], inner: list[Share]) -> None:
    def parts(mix: Iterable[Share]) -> dict[str, Fraction]:
        mix = list(mix)
        return {share.source: Fraction(share.parts, sum(each.parts for each in mix)) for share in mix}

    found, before, inside = parts(replaced(shares, "wiki", name_of(inner))), parts(shares), parts(inner)
    own = before.pop("wiki", Fraction(0))
    expected = {source: before.get(source, 0) + own * inside.get(source, 0) for source in {*before, *inside}}
    assert found == {source: part for source, part in expected.items() if part}


# -- mixes --------------------------------------------------------------------------------------------------------------


def test_shares_are_of_windows_and_of_texts(tmp_path: Path) -> None:
    mix = f"3 {file_of(tmp_path, 'a')} + {file_of(tmp_path, 'b')}"
    (first, text), (again, _) = (calibration_text(mix, language_model(), 12 * 16, 16, seed=0) for _ in range(2))
    rows = [frozenset(row - {3}) for row in letters_in(first)]
    assert sorted(Counter(rows).values()) == [3, 9]
    assert len(set(rows[:9])) == 2, "they are shuffled"
    assert rows_in(first) == rows_in(again)
    assert [part.source for part in text.parts] == list(sources_of(mix))
    assert (text.source, text.split, text.tokens) == (mix, None, 12 * 16)
    batches, text = calibration_text(mix, classifier(), 400, 16, seed=0)
    tokens = Counter(torch.cat([batch["input_ids"].flatten() for batch in batches]).tolist())
    letters = [number for token, number in tokens.items() if token not in classifier().tokenizer.all_special_ids]
    assert len(letters) == 2
    assert 2.5 < max(letters) / min(letters) < 3.5
    assert text.source == mix


def test_auto_takes_more_tokens_of_a_mix(tmp_path: Path) -> None:
    model, texts = language_model(), [file_of(tmp_path, letter, texts=2_000) for letter in "ab"]
    one, two = (calibration_text(name, model, "auto", 16, seed=0)[1] for name in (texts[0], MIXED.join(texts)))
    assert two.tokens == 2 * one.tokens == 16 * model.adapter.widest


@pytest.mark.parametrize(("sequences", "wiki"), [(1, 1), (2, 2), (4, 3), (12, 9)])
def test_a_language_model_reads_the_default_mix(sequences: int, wiki: int) -> None:
    """Of few sequences a text may have none; then the description leaves it out."""
    model, tokens = language_model(), 16 * sequences
    batches, text = calibration_text("auto", model, tokens, 16, seed=0)
    assert text.source == (RUNNING_TEXT if sequences > 2 else "wiki")
    assert text.tokens == tokens
    own = set(rows_in(calibration_text("wiki", model, tokens, 16, seed=0)[0]))
    assert sum(row in own for row in rows_in(batches)) == wiki


def test_text_beside_is_of_the_same_mix(tmp_path: Path) -> None:
    model = language_model()
    draw = random.Random(0)
    path = tmp_path / "letters.jsonl"
    path.write_text("\n".join(json.dumps({"text": " ".join(draw.choices(ascii_lowercase, k=30))}) for _ in range(60)))
    mix = f"2 {path} + self"
    spec = PruneSpec(model=model.id, calibration=mix, tokens=6 * 16, sequence_length=16)
    batches, others, used = finish(text_steps(spec, model, 9 * 16))
    alone, same = calibration_text(mix, model, 6 * 16, 16, seed=0)
    assert rows_in(batches) == rows_in(alone)
    assert used.model_dump() == same.model_dump()
    assert len(rows_in(others)) == len(set(rows_in(others))) == 9
    assert not set(rows_in(others)) & set(rows_in(batches))
    first = set(rows_in(calibration_text(str(path), model, 10 * 16, 16, seed=0)[0]))
    assert sum(row in first for row in rows_in(others)) == 6, "those behind the four of the calibration"


def test_texts_beside_are_of_the_same_mix(tmp_path: Path) -> None:
    mix = f"3 {file_of(tmp_path, 'a')} + {file_of(tmp_path, 'b')}"
    model = classifier()
    spec = PruneSpec(model=model.id, calibration=mix, tokens=64, sequence_length=16)
    _, others, _ = finish(text_steps(spec, model, 40))
    assert sorted(Counter(map(frozenset, letters_in(others))).values()) == [10, 30]
    with pytest.raises(CalibrationError, match=r"180 texts of '\S+a.txt' .* and there are 5\d; give more text"):
        finish(text_steps(spec, model, 240))


def test_a_mix_of_more_texts_than_sequences_is_one_sentence(tmp_path: Path) -> None:
    mix = MIXED.join(file_of(tmp_path, letter) for letter in "abc")
    with pytest.raises(CalibrationError, match="too few for a mix of 3 texts"):
        calibration_text(mix, language_model(), 32, 16, seed=0)[0]


def test_a_mix_of_single_texts_keeps_the_labels_if_all_have_them(tmp_path: Path) -> None:
    names = []
    for number, letter in enumerate("ab"):
        path = tmp_path / f"{letter}.csv"
        path.write_text(
            "text,label\n" + "\n".join(f"{' '.join(letter * 6)},{['negative', 'positive'][number]}" for _ in range(30))
        )
        names.append(str(path))
    model = classifier()
    batches, text = calibration_text(MIXED.join(names), model, 120, 16, seed=0)
    labels = torch.cat([batch["labels"] for batch in batches])
    assert 0.4 < labels.float().mean() < 0.6
    first = {
        int(row[1]): int(label)
        for batch in batches
        for row, label in zip(batch["input_ids"], batch["labels"], strict=True)
    }
    assert len(set(first.values())) == 2, "the label went with its text"
    assert text.tokens >= 120
    plain = file_of(tmp_path, "c")
    assert all("labels" not in batch for batch in calibration_text(MIXED.join([names[0], plain]), model, 120, 16, 0)[0])


def test_a_text_of_a_mix_that_is_too_short_is_named(tmp_path: Path) -> None:
    long, short = file_of(tmp_path, "a"), file_of(tmp_path, "b", texts=4)
    for model in (language_model(), classifier()):
        with pytest.raises(CalibrationError, match=r"b\.txt.*its share of the mix"):
            calibration_text(MIXED.join([long, short]), model, 640, 16, seed=0)[0]


def test_a_model_is_not_measured_on_a_text_of_its_mix(tmp_path: Path) -> None:
    mine, other = file_of(tmp_path, "a"), file_of(tmp_path, "b")
    spec = PruneSpec(
        calibration=MIXED.join([other, mine]), data=mine, evaluate=("perplexity",), tokens=64, sequence_length=16
    )
    with pytest.raises(CalibrationError, match=r"a\.txt"):
        run(spec, language_model())


# -- own text -----------------------------------------------------------------------------------------------------------


def test_own_text_is_written_once_and_the_same_each_time(cache: Path) -> None:
    steps = list(own_text_steps(language_model(), 5, 12, seed=3))
    assert steps[-1] == (60, 60)
    first = finish(own_text_steps(language_model(), 5, 12, seed=3))
    assert list(own_text_steps(language_model(), 5, 12, seed=3)) == [], "the cache has it"
    (kept,) = cache.rglob("*.npy")
    kept.unlink()
    assert torch.equal(finish(own_text_steps(language_model(), 5, 12, seed=3)), first)
    assert not torch.equal(finish(own_text_steps(language_model(), 5, 12, seed=4)), first)
    assert first.shape == (5, 12)
    assert first.dtype == torch.int64


def test_other_weights_write_another_text() -> None:
    model = language_model()
    first = finish(own_text_steps(model, 2, 12, seed=0))
    with torch.no_grad():
        model.model.lm_head.weight.mul_(3)
    assert not torch.equal(finish(own_text_steps(model, 2, 12, seed=0)), first)


def test_own_text_follows_the_models_distribution() -> None:
    """A model that always repeats the last letter but one place further writes the alphabet."""
    model = language_model()
    logits = torch.full((30, 30), -1e9)
    logits[torch.arange(30), (torch.arange(30) + 1) % 30] = 0

    def forward(ids: torch.Tensor, *_: object, **__: object) -> object:
        return type("Output", (), {"logits": logits[ids]})()

    model.model.forward = forward  # type: ignore[method-assign]
    (window,) = finish(own_text_steps(model, 1, 8, seed=0))
    assert window.diff().remainder(30).eq(1).all()


def test_a_damaged_or_missing_cache_costs_only_time(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = finish(own_text_steps(language_model(), 2, 8, seed=0))
    (kept,) = cache.rglob("*.npy")
    kept.write_bytes(b"no array")
    assert torch.equal(finish(own_text_steps(language_model(), 2, 8, seed=0)), first)
    np.save(kept, np.zeros((1, 1)))
    assert torch.equal(finish(own_text_steps(language_model(), 2, 8, seed=0)), first)
    blocked = cache.parent / "file"
    blocked.write_text("")
    monkeypatch.setattr(own_text, "cache_folder", lambda: blocked)
    assert torch.equal(finish(own_text_steps(language_model(), 2, 8, seed=0)), first)


def test_the_cache_keeps_the_latest_texts(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_text, "_MOST_KEPT", 2)
    for seed in range(4):
        finish(own_text_steps(language_model(), 1, 4, seed=seed))
    assert sorted(path.stem.rsplit("-", 1)[1] for path in cache.rglob("*.npy")) == ["2", "3"]


def test_own_text_counts_its_tokens_while_it_is_written(tmp_path: Path) -> None:
    mix = MIXED.join(["self", file_of(tmp_path, "a")])
    seen: list[tuple[int, int]] = []
    spec = PruneSpec(calibration=mix, tokens=64, sequence_length=16)
    batches, _, text = finish(text_steps(spec, language_model()), seen.append)
    assert seen[-1] == (32, 32)
    assert sum(batch["input_ids"].numel() for batch in batches) == 64
    assert text.parts[0] == CalibrationPart(source="self", split=None)


def test_a_model_that_writes_nothing_has_no_own_text() -> None:
    with pytest.raises(InvalidSpecError, match="writes none"):
        calibration_text("self", classifier(), 64, 16, seed=0)[0]


@pytest.mark.demo
def test_half_of_the_own_text_begins_as_a_users_turn() -> None:
    loaded = load_model("demo/smollm2-135m")
    document, turn = own_text._beginnings(loaded.tokenizer)
    assert loaded.tokenizer.decode(document) == "<|endoftext|>"
    assert loaded.tokenizer.decode(turn).endswith("<|im_start|>user\n")
