"""Multiply-accumulates equal those of torch's flop counter for every family; two models are timed in turns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache, PreTrainedModel

from liar.errors import InvalidSpecError
from liar.evaluate.timing import speed
from liar.evaluate.timing.size_and_speed import compare_steps, costs_of, macs_per_token
from liar.evaluate.timing.speed import REPEATS, reading_steps
from liar.loading.catalog import bytes_on_disk, load_model
from liar.models.loaded import LoadedModel, bytes_in_memory
from liar.progress import finish
from liar.report.costs import CostsResult
from liar.results import Speed, SpeedGain
from liar.save.checkpoint import save_model
from tests import tiny
from tests.cut_models import cut, loaded
from tests.families import CORE, DECODERS


def halved(model: LoadedModel) -> LoadedModel:
    """Remove the second half of the bundles of every site, without a repair."""
    for kind, half in {site.kind: site.bundles // 2 for site in model.adapter.sites()}.items():
        cut(model, kind, lambda _layer, half=half: half, repaired=False)
    return model


def counted(model: PreTrainedModel, *arguments: Any, **options: Any) -> int:
    """Multiply-accumulates of one forward by torch's flop counter, without the computation of rotary angles."""
    model.set_attn_implementation("eager")  # the counter does not count fused attention on the CPU
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*arguments, **options)
    found = counter.get_flop_counts()
    angles = sum(sum(flops.values()) for name, flops in found.items() if name.endswith("rotary_emb"))
    return (counter.get_total_flops() - angles) // 2


@pytest.mark.parametrize("context", [1, 5, 6, 23])
@pytest.mark.parametrize("name", [name for name in DECODERS if name != "qwen3_5_text"])
def test_one_more_token_of_a_language_model(name: str, context: int) -> None:
    """Mistral and Qwen2 have a sliding attention window of six tokens here."""
    for found in (loaded(name), halved(loaded(name))):
        cache = {"past_key_values": DynamicCache(config=found.model.config)}
        if context > 1:
            with torch.no_grad():
                found.model(torch.arange(context - 1).unsqueeze(0), **cache)
        seen = counted(found.model, torch.tensor([[7]]), **cache)
        assert macs_per_token(found, context) == seen


# DeBERTa also multiplies positions, which are left out.
@pytest.mark.parametrize("name", sorted(name for name in set(CORE) - set(DECODERS) if not name.startswith("deberta")))
def test_the_tokens_of_a_text_share_its_head(name: str) -> None:
    context = 20
    for found in (loaded(name), halved(loaded(name))):
        seen = counted(found.model, torch.arange(context).unsqueeze(0), attention_mask=torch.ones(1, context))
        assert macs_per_token(found, context) == round(seen / context)


def test_a_tied_table_is_stored_once_and_multiplied_all_the_same() -> None:
    tied, untied = loaded("llama-tied"), loaded("llama")
    table = tied.model.get_input_embeddings().weight
    assert macs_per_token(tied, 9) == macs_per_token(untied, 9)
    assert bytes_in_memory(untied.model) - bytes_in_memory(tied.model) == table.nbytes
    assert costs_of(tied, 9).embedding_parameters == table.numel()


def test_memory_counts_parameters_and_buffers_as_they_lie_there() -> None:
    found = loaded("bert")
    lengths = {name: tensor.nbytes for name, tensor in found.model.named_parameters()}
    assert bytes_in_memory(found.model) > sum(lengths.values()), "position ids are a buffer"
    before = bytes_in_memory(found.model)
    found.model.half()
    assert before - bytes_in_memory(found.model) == sum(lengths.values()) // 2


def test_bytes_on_disk_are_those_of_the_folder(tmp_path: Path) -> None:
    saved = save_model(tiny.classifier(), tmp_path / "saved")
    (tmp_path / "saved" / "notes.txt").write_text("not a weight")
    assert bytes_on_disk(str(tmp_path / "saved")) == saved.bytes > 0
    assert bytes_on_disk("nobody/nothing-of-this-name") is None


@pytest.mark.demo
def test_a_demo_classifier_lies_on_disk_with_its_adapter() -> None:
    bare, whole = bytes_on_disk("demo/minilm"), bytes_on_disk("demo/minilm-sentiment")
    assert bare is not None
    assert whole is not None
    assert bare < whole < 1.1 * bare


# -- two models in turns ------------------------------------------------------------------------------------------------


def measured(dense: LoadedModel, pruned: LoadedModel, **choices: Any) -> CostsResult:
    return finish(compare_steps(dense, pruned, **{"prompt_tokens": 12, "new_tokens": 3, "repeats": 2, **choices}))


def test_a_language_model_reads_and_writes_and_costs_what_is_there() -> None:
    dense, pruned = tiny.language_model(), halved(tiny.language_model())
    result = measured(dense, pruned, on_disk=(1000, 700))
    assert [(each.work, each.sequences, each.tokens) for each in result.speeds] == [
        ("prompt", 1, 12),
        ("decoding", 1, 3),
    ]
    assert result.dense == costs_of(dense, 12, 1000)
    assert result.pruned == costs_of(pruned, 12, 700)
    assert result.pruned.widths == [16, 24], "half of the heads' channels and of the neurons"
    assert result.pruned.macs_per_token < result.dense.macs_per_token
    assert CostsResult.model_validate_json(result.model_dump_json()) == result


def test_turns_alternate_and_do_the_same_work() -> None:
    """The first turn of each model is discarded; a turn of a language model reads one prompt and writes each new token."""
    models = {"dense": tiny.language_model(), "pruned": halved(tiny.language_model())}
    calls: list[tuple[str, int]] = []
    for name, model in models.items():
        model.model.register_forward_pre_hook(lambda _, inputs, name=name: calls.append((name, inputs[0].shape[1])))
    steps = compare_steps(models["dense"], models["pruned"], prompt_tokens=12, new_tokens=3, repeats=2)
    assert next(steps) == (1, 6)
    assert calls == [("dense", 12), *3 * [("dense", 1)]]
    finish(steps)
    turns = [name for name, length in calls if length == 12]
    assert turns == 3 * ["dense", "pruned"]
    assert calls.count(("dense", 1)) == calls.count(("pruned", 1)) == 3 * 3


def clock(monkeypatch: pytest.MonkeyPatch, *seconds: float) -> None:
    """Let successive pieces of work take ``seconds``."""
    taken = iter(seconds)
    monkeypatch.setattr(speed, "seconds_of", lambda work, device: (work(), next(taken))[1])


def test_speeds_are_medians_and_gains_are_taken_turn_by_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both models are slow in the third turn, which must not change the gain."""
    clock(monkeypatch, 99, 99, 99, 99, 1.0, 2.0, 0.5, 1.0, 2.0, 4.0, 1.0, 2.0, 40.0, 80.0, 20.0, 40.0)
    prompt, decoding = measured(tiny.language_model(), tiny.language_model(), repeats=3).speeds
    assert (prompt.dense.median, prompt.pruned.median) == (12 / 2, 12 / 1)
    assert (decoding.dense.median, decoding.pruned.median) == (3 / 4, 3 / 2)
    for found in (prompt, decoding):
        assert found.gain.lower == found.gain.median == found.gain.upper == 2


def read(first: LoadedModel, second: LoadedModel) -> tuple[list[Speed], SpeedGain]:
    return finish(reading_steps({"dense": first, "reconstructed": second}))


def test_a_machine_that_becomes_slower_makes_no_model_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second model takes half as long as the first in every turn, while both take longer from turn to turn."""
    clock(monkeypatch, 50.0, 70.0, *(seconds for turn in range(1, 8) for seconds in (2.0 * turn, 1.0 * turn)))
    speeds, gain = read(tiny.language_model(), tiny.language_model())
    assert (gain.gain.lower, gain.gain.median, gain.gain.upper) == (2, 2, 2)
    assert (gain.than, gain.variant, gain.repeats) == ("dense", "reconstructed", REPEATS)
    assert [(each.variant, each.seconds, each.spread) for each in speeds] == [
        ("dense", 8.0, 6.0),
        ("reconstructed", 4.0, 3.0),
    ]


def test_a_language_model_reads_a_prompt_and_writes_nothing() -> None:
    shapes: list[tuple[int, ...]] = []
    dense = tiny.language_model()
    dense.model.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    _, gain = read(dense, tiny.language_model())
    assert gain.work == "prompt"
    assert shapes == [(1, 256)] * (REPEATS + 1)


@pytest.mark.parametrize("make", [tiny.classifier, tiny.encoder])
def test_a_short_model_reads_as_much_as_it_can(make: Any) -> None:
    speeds, gain = read(make(positions=48), make(positions=48))
    assert (gain.work, gain.tokens) == ("text", 48)
    assert {each.tokens for each in speeds} == {48}


@pytest.mark.parametrize("make", [tiny.classifier, tiny.encoder])
def test_other_models_read_one_text_and_many(make: Any) -> None:
    shapes: list[tuple[int, ...]] = []
    dense = make()
    dense.model.register_forward_pre_hook(
        lambda _, __, inputs: shapes.append(tuple(inputs["input_ids"].shape)), with_kwargs=True
    )
    result = measured(dense, make())
    assert [(each.work, each.sequences, each.tokens) for each in result.speeds] == [
        ("text", 1, 12),
        ("batch", 16, 12),
    ]
    assert shapes == 3 * [(1, 12), (16, 12)]


@pytest.mark.parametrize(
    ("dense", "pruned", "choices", "words"),
    [
        ("llama", "mistral", {}, "llama language model .* mistral language model"),
        ("bert", "llama", {}, "name a model and what it was pruned to"),
        ("llama", "llama", {"repeats": 1}, "at least 2"),
        ("llama", "llama", {"prompt_tokens": 0}, "nothing to time"),
        ("llama", "llama", {"new_tokens": 0}, "nothing to time"),
        ("llama", "llama", {"prompt_tokens": 62}, "above the 64 positions"),
        ("bert", "bert", {"prompt_tokens": 65}, "above the 64 positions"),
    ],
)
def test_what_makes_no_measurement_is_refused_before_any(
    dense: str, pruned: str, choices: dict[str, int], words: str
) -> None:
    with pytest.raises(InvalidSpecError, match=words):
        measured(loaded(dense), loaded(pruned), **choices)


def test_a_short_model_is_timed_at_what_it_has_positions_for() -> None:
    short = finish(compare_steps(loaded("bert"), loaded("bert"), repeats=2))
    assert (short.context, short.speeds[0].tokens) == (64, 64)
    assert finish(compare_steps(loaded("llama"), loaded("llama"), new_tokens=4, repeats=2)).context == 60


def test_two_vocabularies_are_refused() -> None:
    other = loaded("llama")
    other.model.resize_token_embeddings(50)
    with pytest.raises(InvalidSpecError, match=r"with 97 tokens, .* with 50 tokens"):
        measured(loaded("llama"), other)


def test_a_streamed_model_is_refused(tmp_path: Path) -> None:
    save_model(tiny.language_model(), tmp_path / "saved")
    streamed = load_model(str(tmp_path / "saved"), "cpu", offload_folder=tmp_path / "weights")
    with pytest.raises(InvalidSpecError, match="is streamed"):
        measured(streamed, tiny.language_model())
