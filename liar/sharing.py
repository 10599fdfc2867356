"""What several runs of one model, or the two walks of one run, can share: a calibration, where it fits into memory."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from liar.calibration import Calibration, calibration_steps
from liar.events import Progress
from liar.models.adapter import execution_device
from liar.models.catalog import LoadedModel
from liar.models.memory import moment_bytes
from liar.models.offload import is_offloaded
from liar.models.placement import free_bytes
from liar.sites import Site
from liar.spec import GRADIENT_CRITERIA, PruneSpec
from liar.timing import Pace


def shared_calibration(
    specs: Sequence[PruneSpec], loaded: LoadedModel, pace: Pace, pieces: tuple[int, int], *, norm_aware: bool
) -> Generator[Progress, None, Calibration]:
    """One calibration for all ``specs``, which differ in ratio, criterion and reconstruction at most.

    It is the part "calibrate" of a job that ``pace`` plans and that counts ``pieces``. ``norm_aware``: whether anything reads
    norm-aware moments off it.
    """
    base = specs[0]
    steps = calibration_steps(
        loaded,
        base.calibration,
        tokens=base.tokens,
        sequence_length=base.sequence_length,
        seed=base.seed,
        separator=base.separator,
        targets=base.targets,
        gradients=any(spec.criterion in GRADIENT_CRITERIA for spec in specs),
        sensitivity=base.allocation == "loss-curve",
        norm_aware=norm_aware,
    )
    words = "One calibration for all runs"
    calibration: Calibration = yield from pace.along("calibrate", steps, "calibrate", words, pieces=pieces)
    return calibration


def can_share(spec: PruneSpec, loaded: LoadedModel, sites: Sequence[Site]) -> bool:
    """Whether runs like ``spec`` look at the dense model at all, and what they see fits into memory."""
    looks = spec.schedule == "one-shot" or spec.allocation != "uniform"
    return looks and not is_offloaded(loaded.model) and fits(loaded, sites, norm_aware=spec.surveys_norm_aware)


def fits(loaded: LoadedModel, sites: Sequence[Site], *, norm_aware: bool) -> bool:
    """Whether the covariances of all sites take no more than half of the memory that is free."""
    size = sum(moment_bytes(site.channels, loaded.model.dtype, norm_aware=norm_aware) for site in sites)
    return size <= free_bytes(execution_device(loaded.model)) // 2
