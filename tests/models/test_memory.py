"""The estimate of working memory against the allocations of runs, counted by the profiler and so reproducible."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from transformers import BertConfig, BertForSequenceClassification, LlamaConfig, LlamaForCausalLM

from liar import PruneSpec, stream
from liar.evaluate.perplexity import window_steps
from liar.events import Loaded
from liar.models.families import adapt
from liar.models.loaded import LoadedModel
from liar.runtime.memory import PlannedWork, working_bytes
from tests import tiny

LENGTH = 64


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(0, 26, (140, LENGTH), generator=generator).tolist()
    path = tmp_path_factory.mktemp("text") / "letters.txt"
    path.write_text("\n\n".join(" ".join(tiny.LETTERS[letter] for letter in row) for row in rows))
    return str(path)


def model(family: str, width: int, channels: int, layers: int, vocabulary: int = 30) -> LoadedModel:
    torch.manual_seed(0)
    sizes = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": channels,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 16,
        "max_position_embeddings": LENGTH,
        "pad_token_id": 0,
    }
    llama = family == "llama"
    network = LlamaForCausalLM(LlamaConfig(**sizes)) if llama else BertForSequenceClassification(BertConfig(**sizes))
    network.eval().requires_grad_(False)
    return LoadedModel(family, network, tiny.tokenizer(LENGTH), adapt(network), "perplexity" if llama else None)


def allocated(steps: Iterator[object]) -> int:
    """Peak bytes of the tensors that ``steps`` have alive at once, those alive before not counted."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        deque(steps, maxlen=0)
    assert profiled.profiler is not None
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    alive = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        alive += event.nbytes()
        most = max(most, alive)
    return most


@pytest.mark.parametrize("family", ["llama", "bert"])
@pytest.mark.parametrize(
    ("sizes", "tokens", "choices"),
    [
        ((32, 512, 2), 512, {"allocation": "error-curve"}),  # the solve of a wide layer
        ((32, 512, 2), 512, {"allocation": "error-curve", "criterion": "fluctuation", "reconstruction": "liar"}),
        ((256, 256, 2), 512, {"allocation": "uniform", "ratio": 0.1}),  # as many outputs as channels
        ((64, 64, 2), 8192, {"allocation": "uniform"}),  # long inputs and outputs of a site
        ((64, 64, 2), 8192, {"allocation": "uniform", "schedule": "corrective"}),  # and the dense stream
        ((64, 128, 12), 512, {"allocation": "loss-curve"}),  # the activations of all blocks
        ((64, 256, 8), 512, {"allocation": "uniform", "criterion": "fisher"}),
    ],
)
def test_a_run_takes_the_estimated_memory(
    text: str, family: str, sizes: tuple[int, int, int], tokens: int, choices: dict[str, Any]
) -> None:
    loaded = model(family, *sizes)
    spec = PruneSpec.create(model=family, calibration=text, tokens=tokens, sequence_length=LENGTH, **choices)
    events = stream(spec, loaded)
    assert any(isinstance(event, Loaded) for event in events)  # the copy to be pruned exists from this event on
    measured = allocated(events)
    estimated = working_bytes(loaded.model.config, loaded.adapter.widest, torch.float32, PlannedWork.of(spec))
    assert estimated / 4 < measured < estimated


def test_an_evaluation_takes_the_estimated_memory() -> None:
    loaded = model("llama", 32, 32, 1, vocabulary=20_000)
    windows = torch.randint(0, 20_000, (4, LENGTH))
    measured = allocated(window_steps(loaded.model, windows))
    for work in (
        PlannedWork(tokens=64, sequence_length=LENGTH, evaluate_length=LENGTH),
        PlannedWork.of_evaluation(LENGTH),
    ):
        estimated = working_bytes(loaded.model.config, loaded.adapter.widest, torch.float32, work)
        assert estimated / 4 < measured < estimated


def test_a_large_model_needs_more_than_a_small_one_and_a_backward_pass_more_still() -> None:
    seven = LlamaConfig(hidden_size=4096, intermediate_size=11_008, num_hidden_layers=32, vocab_size=32_000)
    work = PlannedWork(tokens=12_288)
    half, full = (working_bytes(seven, 11_008, dtype, work) for dtype in (torch.bfloat16, torch.float32))
    assert 5e9 < half < full < 11e9
    assert full < working_bytes(seven, 11_008, torch.float32, PlannedWork()) < 3 * full, (
        "as many tokens as its channels need"
    )
    assert working_bytes(seven, 11_008, torch.float32, PlannedWork(gradients=True, sequence_length=512)) > 1.5 * full
    assert working_bytes(seven, 11_008, torch.bfloat16, PlannedWork.of_evaluation()) < 0.1 * half, (
        "nothing is calibrated or solved"
    )
    assert working_bytes(seven, 11_008, torch.bfloat16, PlannedWork.of_evaluation(4_096)) > working_bytes(
        seven, 11_008, torch.bfloat16, PlannedWork.of_evaluation()
    )
    assert working_bytes(model("llama", 64, 128, 2).model.config, 128, torch.float32, PlannedWork()) < 0.1e9
