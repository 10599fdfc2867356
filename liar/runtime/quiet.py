"""Turning off the progress bars and logs of other libraries: this one reports progress and errors itself."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging as transformers_logging


@contextmanager
def quiet(*libraries: str, level: int = logging.ERROR) -> Iterator[None]:
    """Log nothing of these libraries below ``level``; restore the settings at the end."""
    before = {logger: logger.level for logger in map(logging.getLogger, libraries)}
    for logger in before:
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, its_level in before.items():
            logger.setLevel(its_level)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Turn off the progress bars and non-error logs of transformers and accelerate; restore the settings at the end."""
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        with quiet("accelerate", "transformers"), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # between peft and transformers, not the user's
            yield
    finally:
        if bars:
            transformers_logging.enable_progress_bar()
