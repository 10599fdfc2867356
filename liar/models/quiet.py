"""transformers draws progress bars and prints tables of its own; this library reports progress and raises errors."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging as transformers_logging


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Inside, transformers and accelerate draw no bars and log errors only; afterwards they are as talkative as before."""
    accelerate = logging.getLogger("accelerate")
    before = accelerate.level, transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    accelerate.setLevel(logging.ERROR)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # between peft and transformers, nobody else can act on it
            yield
    finally:
        level, verbosity, bars = before
        accelerate.setLevel(level)
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
