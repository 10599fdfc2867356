"""Pruning of a model on disk, block by block through accelerate's offload, with a bound on the peak of memory."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import cpu_offload, disk_offload
from transformers import LlamaConfig, LlamaForCausalLM

from liar import PruneSpec, stream
from liar.errors import InvalidSpecError
from liar.events import SiteDone
from liar.models.families import adapt
from liar.runtime.offload import is_offloaded, resident
from liar.spec import SCHEDULES, Schedule
from tests import tiny
from tests.families import VOCABULARY, batches, build, logits
from tests.models.test_families import half, prune


@pytest.mark.parametrize("name", ["llama", "bert"])
@pytest.mark.parametrize("where", ["disk", "host"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_streamed_model_is_pruned_like_a_resident_one(
    name: str, where: str, schedule: Schedule, tmp_path: Path
) -> None:
    expected = build(name)
    prune(adapt(expected), half(adapt(expected)), schedule=schedule)
    streamed = build(name)
    if where == "disk":
        disk_offload(streamed, str(tmp_path / "weights"), execution_device=torch.device("cpu"))
    else:
        cpu_offload(streamed, execution_device=torch.device("cpu"))
    adapter = adapt(streamed)
    assert is_offloaded(streamed)
    prune(adapter, half(adapter), schedule=schedule)
    assert is_offloaded(streamed)
    assert all(parameter.is_meta for parameter in adapter.layers.parameters())
    batch = batches(1)[0]
    torch.testing.assert_close(logits(streamed, batch), logits(expected, batch), rtol=1e-9, atol=1e-9)
    assert adapter.sites() == adapt(expected).sites()


@pytest.mark.parametrize("choice", [{"allocation": "loss-curve"}, {"criterion": "kfac"}])
def test_what_needs_a_backward_pass_is_refused_before_the_work(choice: dict[str, Any], tmp_path: Path) -> None:
    text = tiny.letters_file(tmp_path)
    loaded = tiny.language_model()
    cpu_offload(loaded.model, execution_device=torch.device("cpu"))
    plain = {"criterion": "obs", "allocation": "error-curve", "calibration": text, "tokens": 512}
    spec = PruneSpec.create(**{**plain, "model": loaded.id, "sequence_length": 16, **choice})
    seen = []
    with pytest.raises(InvalidSpecError, match=r"which is streamed here; choose the criterion fluctuation or obs with"):
        seen.extend(stream(spec, loaded))
    assert not any(isinstance(event, SiteDone) for event in seen)


def test_a_block_is_whole_only_while_it_is_resident() -> None:
    model = build("llama")
    cpu_offload(model, execution_device=torch.device("cpu"))
    block = adapt(model).layers[0]
    with suppress(KeyboardInterrupt), resident(block):
        assert not any(parameter.is_meta for parameter in block.parameters())
        raise KeyboardInterrupt
    assert all(parameter.is_meta for parameter in block.parameters())


@pytest.mark.long
def test_the_peak_stays_far_below_the_model(tmp_path: Path) -> None:
    """16 blocks of 42 MB pruned by half from disk: a process that held them all would need 670 MB more."""
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=1024, intermediate_size=2048, num_hidden_layers=16, num_attention_heads=8
    )
    model = LlamaForCausalLM(config)
    size = sum(parameter.numel() * 4 for parameter in model.model.layers.parameters())
    model.save_pretrained(tmp_path / "model")
    del model
    script = textwrap.dedent(
        """
        import json, resource, sys, torch
        from transformers import AutoModelForCausalLM
        from liar.models.families import adapt
        from tests.families import batches
        from tests.models.test_families import half, prune

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

        folder, offload = sys.argv[1:]
        torch.linalg.cholesky(torch.eye(64))  # libraries load on first use
        before = peak()
        model = AutoModelForCausalLM.from_pretrained(folder, device_map={"": "disk"}, offload_folder=offload)
        adapter = adapt(model)
        keep = half(adapter)
        prune(adapter, keep, schedule="sequential")
        print(json.dumps({"growth": peak() - before, "units": [site.units for site in adapter.sites("ffn")]}))
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "model"), str(tmp_path / "offload")],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    measured = json.loads(done.stdout.splitlines()[-1])
    assert measured["units"] == [1024] * 16
    # The working set is one block, its two moments of 17 MB and the fp64 solve, for any number of blocks.
    assert measured["growth"] < size / 2, (measured, size)
