"""Calibration text of a model that marks answers: windows around the answers, with their positions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch

from liar.calibration.gradients import gradient_steps
from liar.data import corpora
from liar.data.text_reader import Samples
from liar.results import CalibrationText
from liar.runtime.devices import Batch
from liar.spec import Needs
from liar.tasks.samples import Answer, Sample
from tests.families import gradients
from tests.small_heads import TOKENIZER, marker
from tests.tiny import calibration_text

LENGTH = 14
"""Two tokens of question and three special ones leave room for nine of the context, of which windows share four."""

Calibrate = Callable[[Sequence[Sample], int], tuple[list[Batch], CalibrationText]]


@pytest.fixture
def calibrate(monkeypatch: pytest.MonkeyPatch) -> Calibrate:
    def run(samples: Sequence[Sample], tokens: int) -> tuple[list[Batch], CalibrationText]:
        read = Samples("questions", "train", iter(samples))
        monkeypatch.setattr(corpora, "read_samples", lambda *_arguments, **_options: read)
        return calibration_text("questions", marker(), tokens, LENGTH, 0)

    return run


def asked(context: str, answer: str) -> Sample:
    return Sample("red x", pair=context, answers=(Answer(answer, context.index(answer)),))


LONG = " ".join(["red"] * 12 + ["blue"] + ["red"] * 12)
"""Its answer "blue" is word 12: not in the window of words 0 to 8, but in those from 5 and from 10."""
TWICE = [asked(LONG, "blue"), asked("green blue", "green"), asked(LONG, LONG)]


def test_windows_hold_the_answers_and_batches_their_positions(calibrate: Calibrate) -> None:
    batches, used = calibrate(TWICE, 40)
    (batch,) = batches
    assert set(batch) == {"input_ids", "attention_mask", "token_type_ids", "start_positions", "end_positions"}
    blue, green = TOKENIZER.convert_tokens_to_ids(["blue", "green"])
    marks = torch.stack([batch["start_positions"], batch["end_positions"]], dim=1)
    assert marks.tolist() == [[4, 4], [11, 11], [6, 6], [0, 0]]  # the shortest row first
    marked = [int(ids[start]) for ids, start in zip(batch["input_ids"], batch["start_positions"], strict=True)]
    assert marked == [green, blue, blue, TOKENIZER.cls_token_id]  # nothing holds the last answer
    assert (used.sequences, used.cut, used.tokens) == (4, 3, 7 + 3 * LENGTH)


def test_reading_ends_when_there_are_enough_tokens(calibrate: Calibrate) -> None:
    _, used = calibrate(TWICE, 2 * LENGTH)
    assert (used.sequences, used.tokens) == (2, 2 * LENGTH)


@pytest.mark.parametrize("without", [Sample("red x", pair="blue"), Sample("red x")])
def test_without_all_answers_there_are_no_positions(calibrate: Calibrate, without: Sample) -> None:
    batches, used = calibrate([TWICE[1], without], 8)
    assert not any("positions" in name for batch in batches for name in batch)
    assert used.sequences == 2


def test_positions_are_labels_of_the_gradients(calibrate: Calibrate) -> None:
    batches, _ = calibrate(TWICE[:2], 30)
    adapter = marker().adapter
    plain = [{name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")} for batch in batches]
    labelled, own = (
        gradients(gradient_steps(adapter, text, "both", Needs(masks=True, sensitivity=True)))
        for text in (batches, plain)
    )
    assert all((labelled[site].fisher > 0).any() for site in labelled)
    assert any(not torch.equal(labelled[site].fisher, own[site].fisher) for site in labelled)
    assert all(labelled[site].sensitivity == own[site].sensitivity for site in labelled)
