"""Running code of lm-evaluation-harness without traces: quiet, and with random numbers of its own.

The harness and its tasks draw from the global generators of Python, numpy and torch, and expect seeds set by it. Here
they find these seeds, and the process finds its own numbers again afterwards.
"""

from __future__ import annotations

import logging
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import datasets
import numpy as np
import torch
from lm_eval.api import task
from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED

from liar.runtime.quiet import quiet_transformers

EXAMPLES_SEED = DEFAULT_OTHER_SEED
"""Seed of the harness for the draw of examples in a prompt."""

_LOGGERS = ("lm_eval", "datasets", "huggingface_hub")


@contextmanager
def apart(number: int = 0) -> Iterator[None]:
    """Run the ``with`` block quietly from the harness's default seeds plus ``number``; restore everything at the end."""
    python, arrays = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with _quiet(), torch.random.fork_rng(devices):
        random.seed(DEFAULT_RANDOM_SEED + number)
        np.random.seed(DEFAULT_OTHER_SEED + number)
        torch.default_generator.manual_seed(DEFAULT_OTHER_SEED + number)
        if devices:
            torch.cuda.manual_seed_all(DEFAULT_OTHER_SEED + number)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)


@contextmanager
def _quiet() -> Iterator[None]:
    """Turn off logs, warnings and progress bars."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    bars, shown = task.tqdm, datasets.are_progress_bars_disabled()
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        datasets.disable_progress_bars()
        task.tqdm = lambda items, **_: items  # has no switch of its own
        with quiet_transformers(), warnings.catch_warnings(action="ignore"):
            yield
    finally:
        task.tqdm = bars
        if not shown:
            datasets.enable_progress_bars()
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
