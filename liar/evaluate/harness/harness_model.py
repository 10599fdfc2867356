"""A model as lm-evaluation-harness sees it, and running the code of the harness without traces.

The harness and its tasks draw from the global generators of Python, numpy and torch, and expect seeds set by it. Here
they find these seeds, and the process finds its own numbers again afterwards.
"""

from __future__ import annotations

import copy
import logging
import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import datasets
import numpy as np
import torch
from lm_eval.api import task
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED
from lm_eval.models.huggingface import HFLM
from transformers import PreTrainedModel

from liar.evaluate.branches import Score, score_steps
from liar.models.loaded import LoadedModel
from liar.progress import finish
from liar.runtime.devices import execution_device
from liar.runtime.quiet import quiet_transformers

_GENERATIONS = 8
"""Texts that are generated together."""

_LOGGERS = ("lm_eval", "datasets", "huggingface_hub")


class HarnessModel(HFLM):
    """The harness's own model class around a loaded model, which it neither moves nor changes.

    Tokens, truncation and generation are the harness's. Its forward, one ending at a time with all logits in memory, is
    replaced by :func:`liar.evaluate.branches.score_steps`, whose log likelihoods are the same up to rounding.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        tokenizer = copy.deepcopy(loaded.tokenizer)  # the harness sets its padding
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.bos_token
        with _weights_left(loaded.model):
            super().__init__(pretrained=loaded.model, backend="causal", tokenizer=tokenizer, batch_size=_GENERATIONS)

    @property
    def device(self) -> torch.device:
        return execution_device(self.model)

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[tuple[str, str] | None, list[int], list[int]]], *_: Any, **__: Any
    ) -> list[Score]:
        pairs = ((texts[1] if texts else "", context, ending) for texts, context, ending in requests)
        return finish(score_steps(self.model, pairs, self.max_length))


class Answered(LM):
    """A model that has answered before: it lets the harness compute its figures from the answers in each request."""

    def loglikelihood(self, requests: list[Instance]) -> list[Any]:
        return [request.resps.pop(0) for request in requests]

    loglikelihood_rolling = generate_until = loglikelihood


@contextmanager
def _weights_left(model: PreTrainedModel) -> Iterator[None]:
    """Without effect of ``tie_weights``, which the harness calls: it would change a model whose head has been untied."""
    model.tie_weights = lambda *_, **__: None  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        del model.tie_weights


@contextmanager
def apart(number: int = 0) -> Iterator[None]:
    """Run the ``with`` block from the harness's default seeds plus ``number``, without logs, warnings and progress bars.

    Everything is restored at the end.
    """
    python, arrays = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    levels = {logger: logger.level for logger in map(logging.getLogger, _LOGGERS)}
    bars, hidden = task.tqdm, datasets.are_progress_bars_disabled()
    with quiet_transformers(), warnings.catch_warnings(action="ignore"), torch.random.fork_rng(devices):
        try:
            for logger in levels:
                logger.setLevel(logging.CRITICAL)
            datasets.disable_progress_bars()
            task.tqdm = lambda items, **_: items  # has no switch of its own
            random.seed(DEFAULT_RANDOM_SEED + number)
            np.random.seed(DEFAULT_OTHER_SEED + number)
            torch.default_generator.manual_seed(DEFAULT_OTHER_SEED + number)
            if devices:
                torch.cuda.manual_seed_all(DEFAULT_OTHER_SEED + number)
            yield
        finally:
            task.tqdm = bars
            if not hidden:
                datasets.enable_progress_bars()
            for logger, level in levels.items():
                logger.setLevel(level)
            random.setstate(python)
            np.random.set_state(arrays)
