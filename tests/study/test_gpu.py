"""The benchmark for a GPU runs on a CPU, and within its memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from gpu import RECIPES, STAGES, Measured, further_token, measure, model_of, section, text_of
from layers import shape
from transformers import LlamaConfig

from liar.models.loaded import bytes_in_memory
from liar.runtime.memory import PlannedWork, moment_bytes, working_bytes

WIDE = {"hidden_size": 2048, "intermediate_size": 5632}
"""TinyLlama's: wide enough that moments and solves outweigh all else."""
SMALL = {"hidden_size": 64, "intermediate_size": 176, "num_attention_heads": 4, "vocab_size": 99}


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_small_shape_is_timed_by_stage(recipe: str) -> None:
    loaded = model_of(3, torch.device("cpu"), LlamaConfig(**SMALL))
    found = measure(recipe, loaded, text_of(12, 32, 99))
    assert found.tokens == 384
    assert len(found.kept) == 3
    assert sum(found.kept) == 3 * 88
    for stage in STAGES:
        works = recipe == "default" or stage == "prune"
        assert (found.seconds[stage] > 0) == (found.floors[stage] > 0) == works


def test_a_shape_without_a_fifth_of_its_layers_is_timed() -> None:
    text = shape(LlamaConfig(**SMALL))
    assert text.startswith("2 of 10 layers of LLaMA-7B's shape gone, random weights in float32")
    assert "the dense model reads 1.25 times as many weights" in text


def test_what_a_further_token_takes_leaves_out_what_is_the_same_for_any_text() -> None:
    few = Measured({"prune": 5.0}, {"prune": 2.0}, 100, 0, 0, [])
    many = Measured({"prune": 8.0}, {"prune": 4.0}, 1100, 0, 0, [])
    assert further_token("one-shot", few, many) == (
        "One-shot: each of the further 1,000 tokens takes 3.00 ms, 1.50 times its floor."
    )


@pytest.mark.long
def test_a_slice_of_a_wide_llama_runs_within_its_memory() -> None:
    loaded = model_of(2, torch.device("cpu"), LlamaConfig(**WIDE))
    planned = PlannedWork(tokens=256, sequence_length=256)
    expected = working_bytes(loaded.model.config, loaded.adapter.widest, loaded.model.dtype, planned)
    moments = moment_bytes(loaded.adapter.widest, loaded.model.dtype)
    block, before = bytes_in_memory(loaded.adapter.layers[0]), resident_bytes()
    found = measure("one-shot", loaded, text_of(1, 256))
    assert found.kept == [2816, 2816]
    beside = found.peak - before  # what earlier tests of this process hold is no part of it
    assert beside < expected
    assert beside < moments + block + 0.6e9


def test_the_table_says_what_the_device_reaches() -> None:
    text = section(1, [1], 64, ["one-shot"], torch.device("cpu"), LlamaConfig(**SMALL))
    assert "LLaMA-7B's shape, 1 layers" in text
    assert text.count("\n|") == 3
