"""A run that begins with the vocabulary: what stays, what is measured of whom, and what is refused."""

from __future__ import annotations

from math import exp, log
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from liar import LoadedModel, PruneSpec, load_model, run, save_model
from liar.errors import CalibrationError, InvalidSpecError
from liar.evaluate.prepared_task import evaluate
from liar.explore.forecast import check_covered
from liar.explore.need import Need
from liar.jobs.meet_need import meet_steps
from liar.progress import finish
from liar.report.headline import headline
from liar.report.words.findings import findings
from liar.report.words.sentences import recipe, short_recipe, verdict
from tests import tiny
from tests.fake_atlas import tiny_atlas
from tests.jobs.conftest import finished, spec

FEW = "a b c d e"
WIDTH = 32


@pytest.fixture
def model() -> LoadedModel:
    return tiny.language_model(layers=6)


@pytest.fixture
def few(tmp_path: Path) -> str:
    """A text of five letters."""
    path = tmp_path / "few.txt"
    path.write_text(FEW, encoding="utf-8")
    return str(path)


def shorter(text: str, vocabulary: str, **choices: object) -> PruneSpec:
    return spec(text, **{"vocabulary": vocabulary, "ratio": 0.5, "evaluate": (), **choices})


def logits(loaded: LoadedModel) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = loaded.model(torch.arange(4).unsqueeze(0)).logits
    return found


def test_tokens_of_a_text_stay_and_the_special_ones(model: LoadedModel, text: str, few: str, tmp_path: Path) -> None:
    last = finished(shorter(text, few, layers=0.34), model)
    tokens, dense = last.model.tokenizer, model.tokenizer
    assert set(tokens.get_vocab()) >= {*FEW.split(), "<s>", "</s>", "<pad>", "<unk>"}
    report = last.result.vocabulary
    assert report is not None
    assert (report.kept, report.tokens) == (len(tokens), len(dense))
    assert last.model.model.config.vocab_size == len(tokens) < len(dense)
    assert len(model.model.get_input_embeddings().weight) == len(dense), "a model that is passed in never changes"
    totals = run(shorter(text, few, ratio=0.0), model).totals
    assert totals.parameters_before - totals.parameters_after == (len(dense) - len(tokens)) * WIDTH * 2
    saved = save_model(last.model, tmp_path / "saved", last.result)
    again = load_model(str(saved.folder))
    assert torch.equal(logits(again), logits(last.model))
    assert again.tokenizer(FEW)["input_ids"] == tokens(FEW)["input_ids"]
    card = (saved.folder / "README.md").read_text(encoding="utf-8")
    assert f"{report.tokens - report.kept} of {report.tokens} tokens, then 2 of 6 layers, then " in card


def test_a_vocabulary_alone_leaves_an_ordinary_checkpoint(
    model: LoadedModel, text: str, few: str, tmp_path: Path
) -> None:
    last = finished(shorter(text, few, ratio=0.0), model)
    saved = save_model(last.model, tmp_path / "saved", last.result)
    assert saved.form == "stock"
    elsewhere = AutoModelForCausalLM.from_pretrained(saved.folder)
    with torch.no_grad():
        assert torch.equal(elsewhere(torch.arange(4).unsqueeze(0)).logits, logits(last.model))


def test_a_number_keeps_so_many(model: LoadedModel, text: str) -> None:
    every = len(model.tokenizer)
    report = run(shorter(text, str(every)), model).vocabulary
    assert report is not None
    assert report.kept == every
    with pytest.raises(InvalidSpecError, match="tokens of this vocabulary always stay"):
        run(shorter(text, "3"), model)


def test_without_a_ratio_the_answers_stay(text: str, few: str) -> None:
    """Perplexity is of the same tokens, so that one of text that stays whole differs by what the lost tokens had alone."""
    dense = tiny.language_model()
    asked = shorter(text, few, ratio=0.0, evaluate=("own",), data=few, evaluate_length=2, evaluate_limit=2)
    last = finished(asked, dense)
    before, after = (item.value for item in last.result.evaluations if item.variant in ("dense", "reconstructed"))
    assert after < before
    assert last.model.vocabulary is not None
    kept = list(last.model.vocabulary.kept)
    windows = tiny.windows(dense, data=few, limit=2, length=2)
    with torch.no_grad():
        whole = dense.model(windows).logits[0, 0].double()
    renormalised = float(torch.logsumexp(whole[kept], 0) - whole[int(windows[0, 1])])
    own = evaluate(last.model, "own", data=few, sequence_length=2, limit=2)
    assert own.items is not None
    assert last.result.evaluations[-1].items is not None
    assert own.items.nll == last.result.evaluations[-1].items.nll
    assert own.items.nll is not None
    assert own.items.nll[0] == pytest.approx(renormalised, abs=1e-5)
    assert exp(sum(own.items.nll) / 2) == pytest.approx(after)
    assert log(before) > log(after)


def test_a_classifier_reads_its_texts_by_its_own_tokens(text: str, few: str) -> None:
    dense = tiny.classifier()
    last = finished(shorter(text, few, ratio=0.0), dense)
    with torch.no_grad():
        whole, short = (each.model(**each.tokenizer(FEW, return_tensors="pt")).logits for each in (dense, last.model))
    torch.testing.assert_close(short, whole, rtol=0, atol=1e-6)


def test_it_is_told(model: LoadedModel, text: str, few: str) -> None:
    result = run(shorter(text, few), model)
    report = result.vocabulary
    assert report is not None
    assert verdict(result).startswith(f"{report.tokens - report.kept} of {report.tokens} tokens, then ")
    assert headline(result).startswith("Tokens, ")
    assert "all tokens but those of " in recipe(result.spec)
    assert "few.txt tokens, " in short_recipe(result.spec)
    assert findings(result)[0].startswith(f"{report.kept} of {report.tokens} tokens stay")
    assert "of newspaper editorials" in findings(result)[0]
    counted = spec(text, vocabulary="12,000")
    assert counted.vocabulary == "12000"
    assert "all but 12,000 tokens, then " in recipe(counted)


def test_a_need_counts_the_tokens(model: LoadedModel, text: str, few: str) -> None:
    asked = shorter(text, few, allocation="uniform", targets="ffn")
    met = finish(meet_steps(Need("parameters", 0.8), asked, model)).spec
    totals = run(met, model).totals
    assert totals.parameters_after <= 0.8 * totals.parameters_before
    more = finish(meet_steps(Need("parameters", 0.8), asked.model_copy(update={"vocabulary": None}), model)).spec
    assert more.ratio > met.ratio


def test_what_cannot_be_is_one_sentence(model: LoadedModel, text: str, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"nowhere\.txt"):
        run(shorter(text, str(tmp_path / "nowhere.txt")), model)
    with pytest.raises(InvalidSpecError, match="What a smaller vocabulary costs is not known"):
        check_covered(PruneSpec(vocabulary="100"), tiny_atlas())
