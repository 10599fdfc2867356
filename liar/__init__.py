"""LIAR: prune a BERT or a LLaMA, repair it in closed form without retraining, and inspect the result.

>>> import liar
>>> spec = liar.PruneSpec(model="tiny", ratio=0.5, calibration="notes.txt", tokens=512, sequence_length=64)
>>> result = liar.run(spec)
>>> sum(site.kept for site in result.sites), sum(site.units for site in result.sites)
(48, 96)

``tiny`` is any checkpoint folder, such as the small random one that the example of :mod:`liar.loading.catalog` makes, a
Hub id or a demo model; ``notes.txt`` is any text. All examples in the docstrings use these two.

Reading order for newcomers:

1. :mod:`liar.spec`: all choices of a run.
2. :mod:`liar.maths.moments`: the statistics of a site's activations that every later step needs.
3. :mod:`liar.maths.reconstruct`: the repairs, in closed form from the moments.
4. :mod:`liar.maths.criteria`: the scores by which units are kept or removed.
5. :mod:`liar.calibration.activations`: the walk that computes the moments of each site in one forward pass.
6. :mod:`liar.jobs.pipeline`: a whole run, from loading to measuring.

Public names are loaded on first use, so ``import liar`` loads no torch. :mod:`liar.moments` and :mod:`liar.reconstruct`
work on plain tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from logging import LogRecord, getLogger
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_NOISE = {
    "torchao": ("Failed to load", "Skipping import"),
    "torch.utils._pytree": ("%s is an Enum subclass",),
}
"""Loggers and how messages begin that never reach a user, who could not act on them: transformers loads torchao, which reports
each CUDA kernel that this machine cannot use."""


def _without(beginnings: tuple[str, ...]) -> Callable[[LogRecord], bool]:
    return lambda record: not str(record.msg).startswith(beginnings)


for _name, _beginnings in _NOISE.items():
    getLogger(_name).addFilter(_without(_beginnings))

if TYPE_CHECKING:
    from liar.calibration.calibrate import Calibration as Calibration
    from liar.calibration.calibrate import calibrate as calibrate
    from liar.errors import LiarError as LiarError
    from liar.jobs.pipeline import run as run
    from liar.jobs.pipeline import stream as stream
    from liar.loading.catalog import load_model as load_model
    from liar.models.loaded import LoadedModel as LoadedModel
    from liar.results import RunResult as RunResult
    from liar.save.checkpoint import save_model as save_model
    from liar.spec import PruneSpec as PruneSpec

_HOME = {
    "Calibration": "liar.calibration.calibrate",
    "LiarError": "liar.errors",
    "LoadedModel": "liar.models.loaded",
    "PruneSpec": "liar.spec",
    "RunResult": "liar.results",
    "calibrate": "liar.calibration.calibrate",
    "load_model": "liar.loading.catalog",
    "run": "liar.jobs.pipeline",
    "save_model": "liar.save.checkpoint",
    "stream": "liar.jobs.pipeline",
}

__all__ = ["__version__"]
__all__ += list(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'liar' has no attribute {name!r}")
