"""Perplexity equals a direct computation, and its standard error the formula."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
import torch
from accelerate import disk_offload
from torch.nn.functional import cross_entropy

from liar.evaluate import perplexity
from liar.evaluate.prepared_task import evaluate, evaluate_steps
from liar.loading.catalog import load_model
from liar.models.loaded import LoadedModel
from liar.progress import finish
from tests.tiny import LETTERS, language_model, windows

LENGTH = 300  # more than the number of positions whose logits are computed at once


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    draw = random.Random(0)
    path = tmp_path_factory.mktemp("text") / "own.txt"
    path.write_text("\n\n".join(" ".join(draw.choices(LETTERS, k=100)) for _ in range(30)))
    return str(path)


def _means(loaded: LoadedModel, text: str, count: int) -> list[float]:
    """Mean negative log likelihood of each window in nats a token, summed one token at a time."""
    means = []
    for window in windows(loaded, text, count, LENGTH):
        scores = loaded.model(window[None]).logits[0].double().log_softmax(-1)
        means.append(-sum(float(scores[i, window[i + 1]]) for i in range(LENGTH - 1)) / (LENGTH - 1))
    return means


def test_value_and_error_are_those_of_the_definition(text: str) -> None:
    loaded = language_model()
    means = _means(loaded, text, 5)
    average = sum(means) / 5
    deviation = math.sqrt(sum((mean - average) ** 2 for mean in means) / 4)
    result = evaluate(loaded, "perplexity", "pruned", data=text, limit=5, sequence_length=LENGTH)
    assert result.value == pytest.approx(math.exp(average), rel=1e-5)
    assert result.stderr == pytest.approx(math.exp(average) * deviation / math.sqrt(5), rel=1e-3)
    assert (result.n, result.sequence_length, result.variant, result.metric) == (5, LENGTH, "pruned", "perplexity")
    fewer = evaluate(loaded, "perplexity", data=text, limit=4, sequence_length=LENGTH)
    assert result.items is not None
    assert fewer.items is not None
    assert result.items.nll == pytest.approx(means, rel=1e-5)
    assert result.items.digest != fewer.items.digest, "other windows have another name"


def test_a_model_whose_weights_lie_on_disk_measures_the_same(text: str, tmp_path: Path) -> None:
    loaded = language_model()
    expected = evaluate(loaded, "perplexity", data=text, limit=4, sequence_length=LENGTH)
    disk_offload(loaded.model, str(tmp_path), execution_device=torch.device("cpu"))
    assert next(loaded.model.parameters()).is_meta
    assert evaluate(loaded, "perplexity", data=text, limit=4, sequence_length=LENGTH) == expected


def test_the_logits_of_few_positions_are_fp32_at_once(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = language_model()
    loaded.model.to(torch.bfloat16)
    sizes: list[int] = []

    def watch(scores: torch.Tensor, *args: object, **options: object) -> torch.Tensor:
        sizes.append(scores.numel())
        assert scores.dtype == torch.float32
        return cross_entropy(scores, *args, **options)

    monkeypatch.setattr(perplexity, "cross_entropy", watch)
    evaluate(loaded, "perplexity", data=text, limit=2, sequence_length=LENGTH)
    assert max(sizes) <= 2 * 128 * loaded.model.config.vocab_size


def test_progress_counts_windows_and_an_evaluation_can_be_left(text: str) -> None:
    progress: list[tuple[int, int]] = []
    finish(evaluate_steps(language_model(), "perplexity", data=text, limit=5, sequence_length=LENGTH), progress.append)
    assert progress == [(2, 5), (4, 5), (5, 5)]
    steps = evaluate_steps(language_model(), "perplexity", data=text, limit=5, sequence_length=LENGTH)
    assert next(steps) == (2, 5)
    steps.close()


def test_fewer_than_two_windows_are_never_measured(text: str) -> None:
    """One window has no standard error."""
    result = evaluate(language_model(), "perplexity", data=text, limit=1, sequence_length=LENGTH)
    assert result.items is not None
    assert (result.n, len(result.items.nll or [])) == (2, 2)
    assert result.stderr > 0


def test_the_default_is_twenty_windows(text: str) -> None:
    steps = evaluate_steps(language_model(), "perplexity", data=text, sequence_length=32)
    assert next(steps) == (2, 20)


@pytest.mark.demo
def test_the_demo_model_knows_english() -> None:
    result = evaluate(load_model("demo/smollm2-135m"), "perplexity", limit=2)
    assert 8 < result.value < 30
