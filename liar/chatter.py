"""What other libraries say while they are loaded, and nobody who prunes a model can act on."""

from __future__ import annotations

import logging

_TALKATIVE = ("torchao", "torch.utils._pytree")
"""transformers loads torchao, which reports each of its CUDA kernels that this machine has no use for."""


def hush() -> None:
    """For programs, before transformers is loaded; a library leaves the logging alone."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
