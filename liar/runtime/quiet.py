"""Turning off the progress bars and tables of transformers: this library reports progress and errors itself."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging as transformers_logging


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Turn off the progress bars and non-error logs of transformers and accelerate; restore the settings at the end."""
    accelerate = logging.getLogger("accelerate")
    before = accelerate.level, transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    accelerate.setLevel(logging.ERROR)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # between peft and transformers, not the user's
            yield
    finally:
        level, verbosity, bars = before
        accelerate.setLevel(level)
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
