"""LIAR: prune a BERT or a LLaMA, repair it in closed form without retraining, and inspect the result.

Public names are loaded on first use, so ``import liar`` loads no torch. :mod:`liar.moments` and :mod:`liar.reconstruct`
work on plain tensors.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from liar._version import __version__

if TYPE_CHECKING:
    from liar.calibration.calibrate import Calibration, calibrate, curves
    from liar.errors import LiarError
    from liar.jobs.pipeline import run, stream
    from liar.models.catalog import LoadedModel, load_model
    from liar.results import RunResult
    from liar.save.checkpoint import save_model
    from liar.spec import PruneSpec

_HOME = {
    "Calibration": "liar.calibration.calibrate",
    "LiarError": "liar.errors",
    "LoadedModel": "liar.models.catalog",
    "PruneSpec": "liar.spec",
    "RunResult": "liar.results",
    "calibrate": "liar.calibration.calibrate",
    "curves": "liar.calibration.calibrate",
    "load_model": "liar.models.catalog",
    "run": "liar.jobs.pipeline",
    "save_model": "liar.save.checkpoint",
    "stream": "liar.jobs.pipeline",
}

__all__ = [
    "Calibration",
    "LiarError",
    "LoadedModel",
    "PruneSpec",
    "RunResult",
    "__version__",
    "calibrate",
    "curves",
    "load_model",
    "run",
    "save_model",
    "stream",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'liar' has no attribute {name!r}")
