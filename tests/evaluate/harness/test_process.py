"""An evaluation by lm-evaluation-harness leaves no trace in the process and none in the model."""

from __future__ import annotations

import logging
import random
import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from accelerate import cpu_offload
from lm_eval.api import task as harness_task

from liar.errors import CalibrationError, InvalidSpecError
from liar.evaluate.harness.steps import harness_steps
from liar.models.loaded import LoadedModel
from liar.models.quantize import quantized
from tests import subwords
from tests.cut_models import cut
from tests.evaluate.harness.own_tasks import POSITIONS, evaluated
from tests.stand_in import device_that_refuses, moved

pytestmark = pytest.mark.usefixtures("folder")


def states() -> list[Any]:
    return [random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()]


def settings() -> list[Any]:
    names = ("lm_eval", "datasets", "huggingface_hub", "transformers", "accelerate")
    levels = [logging.getLogger(name).level for name in names]
    return [
        *levels,
        datasets.are_progress_bars_disabled(),
        harness_task.tqdm,
        sys.stderr,
        logging.getLogger().handlers[:],
    ]


@pytest.mark.parametrize("name", ["own_shuffled", "own_drawn"])
def test_no_trace_is_left_between_steps(name: str, loaded: LoadedModel, capfd: pytest.CaptureFixture[str]) -> None:
    before = states(), settings()
    for _ in harness_steps(loaded, name):
        assert (states(), settings()) == before
    assert (states(), settings()) == before
    assert capfd.readouterr() == ("", "")


def test_an_error_leaves_no_trace(loaded: LoadedModel, folder: Path) -> None:
    before = states(), settings()
    with pytest.raises(InvalidSpecError, match="no task 'own_choice'; did you mean own_choices"):
        evaluated(loaded, "own_choice")
    (folder / "own_broken.yaml").write_text(
        (folder / "own_choices.yaml")
        .read_text()
        .replace("own_choices", "own_broken")
        .replace("test.jsonl", "none.jsonl")
    )
    with pytest.raises(CalibrationError, match=r"'own_broken' cannot be used \(.*none.jsonl"):
        evaluated(loaded, "own_broken")
    (folder / "own_broken.yaml").unlink()
    assert (states(), settings()) == before


def test_an_evaluation_can_be_left_between_two_batches(loaded: LoadedModel) -> None:
    assert list(harness_steps(loaded, "own_generation")) == [(8, 9), (9, 9)]
    steps = harness_steps(loaded, "own_generation")
    assert next(steps) == (8, 9)
    steps.close()


def test_the_model_and_its_tokenizer_stay_as_they_are() -> None:
    loaded = subwords.loaded(POSITIONS)
    loaded.model.config.tie_word_embeddings = True  # the weights are not tied: tie_weights would overwrite the head
    before = {name: (tensor.data_ptr(), tensor.clone()) for name, tensor in loaded.model.state_dict().items()}
    evaluated(loaded, "own_choices", 2)
    evaluated(loaded, "own_generation", 2)
    after = loaded.model.state_dict()
    assert after.keys() == before.keys()
    assert all(after[name].data_ptr() == place and after[name].equal(old) for name, (place, old) in before.items())
    assert "tie_weights" not in vars(loaded.model)
    assert loaded.tokenizer.pad_token is None


def test_a_tokenizer_without_a_begin_token() -> None:
    assert len(evaluated(subwords.loaded(POSITIONS, begin=False), "own_choices", 2).answers) == 2


@pytest.mark.parametrize("name", ["own_choices", "own_generation"])
def test_int8_ragged_and_streamed_models(name: str) -> None:
    loaded = subwords.loaded(POSITIONS)
    expected = evaluated(loaded, name, 3)
    int8 = evaluated(quantized(loaded), name, 3)
    assert int8.samples == expected.samples
    ragged = subwords.loaded(POSITIONS)
    cut(ragged, "ffn", lambda layer: 20 + 8 * layer)
    assert evaluated(ragged, name, 3).items.digest == expected.items.digest
    cpu_offload(loaded.model, execution_device=torch.device("cpu"))
    assert evaluated(loaded, name, 3) == expected


def test_a_model_on_an_accelerator(loaded: LoadedModel) -> None:
    expected = evaluated(loaded, "own_choices", 3)
    model = subwords.loaded(POSITIONS)
    with device_that_refuses("mps") as device:
        moved(model.model, device)
        found = evaluated(model, "own_choices", 3)
    assert found == expected
