"""Calibration: moments and gradients of the dense model.

Moments do not depend on the criterion, so one calibration serves every criterion, ratio and reconstruction.

>>> from liar import calibrate, load_model
>>> calibration = calibrate(load_model("tiny"), "notes.txt", tokens=512, sequence_length=64)
>>> [(site.name, moments.plain.tokens) for site, moments in calibration.moments.items()][:2]
[('layers.0.attention', 512), ('layers.0.ffn', 512)]
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from liar.calibration.activations import walk
from liar.calibration.gradients import gradient_steps
from liar.calibration.sample import CURVE_TOKENS
from liar.data.corpora import copies_of, settled_source, settled_tokens, text_steps
from liar.errors import CalibrationError, InvalidSpecError
from liar.events import Progress
from liar.explore.allocation import Candidate
from liar.maths.criteria import Evidence, ScoreFunction, SiteGradients, deviation, order_of, score
from liar.maths.error_curves import error_curves
from liar.maths.moments import SiteMoments
from liar.models.adapter import Adapter
from liar.models.loaded import LoadedModel
from liar.progress import finish, relay
from liar.results import CalibrationText
from liar.runtime.devices import Batch, execution_device
from liar.runtime.distributed import everywhere
from liar.runtime.environment import readable_failures
from liar.runtime.memory import moment_bytes
from liar.runtime.offload import fingerprint
from liar.runtime.placement import free_bytes
from liar.sites import Site
from liar.spec import AUTO, CURVE_ALLOCATIONS, Needs, PruneSpec


def origin_of(spec: PruneSpec, loaded: LoadedModel) -> dict[str, Any]:
    """What the calibration that ``spec`` asks for is of: a fingerprint of its model (:func:`liar.runtime.offload.fingerprint`),
    and the choices by which its text is read, with what "auto" is for the model.
    """
    return {
        "model": fingerprint(loaded.model),
        "calibration": settled_source(spec.calibration, loaded),
        "tokens": settled_tokens(spec.calibration, spec.tokens, loaded),
        "sequence_length": spec.sequence_length,
        "separator": spec.separator,
        "seed": spec.seed,
        "data": copies_of(spec),
    }


@dataclass(frozen=True, slots=True)
class Calibration:
    """Moments and gradients of the dense model; moments stay on the device that computed them.

    ``gradients`` are by name of the site; ``has`` says what they and the moments hold. ``text`` describes the calibration text;
    ``origin`` is that of :func:`origin_of`, None of one that was put together by hand, which is not compared with a run.
    Scores and candidates are equal in all runs of a recipe, so they are cached at the first use.
    """

    moments: dict[Site, SiteMoments]
    gradients: dict[str, SiteGradients] = field(default_factory=dict)
    has: Needs = field(default_factory=Needs)
    text: CalibrationText | None = None
    origin: Mapping[str, Any] | None = None
    _scores: dict[Hashable, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)
    _candidates: dict[Hashable, Candidate] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def bytes(self) -> int:
        """Bytes of its moments and of its gradients at outputs, the rest is small."""
        moments = [one for each in self.moments.values() for one in (each.plain, each.norm_aware) if one is not None]
        outputs = [each.outputs for each in self.gradients.values() if each.outputs is not None]
        return sum(tensor.nbytes for tensor in [*(one.covariance for one in moments), *outputs])

    def check(self, spec: PruneSpec, loaded: LoadedModel) -> None:
        """Raise :class:`InvalidSpecError` if this calibration lacks data that a run of ``spec`` on ``loaded`` needs, or is of
        another model or text.
        """
        if self.origin is not None:
            wanted = origin_of(spec, loaded)
            if self.origin["model"] != wanted["model"]:
                raise InvalidSpecError(
                    "The calibration is of a model with other weights, or in another precision, than the one to prune; "
                    "calibrate this one."
                )
            for name, value in self.origin.items():
                if value != wanted[name]:
                    raise InvalidSpecError(
                        f"The calibration has {name} {value}, and the recipe {wanted[name]}; calibrate with the choices "
                        "of the recipe."
                    )
        if missing := [site.name for site in loaded.adapter.sites(spec.targets) if site not in self.moments]:
            raise InvalidSpecError(
                f"The calibration knows nothing of {missing[0]} as this model has it; calibrate this model with targets "
                "that include it."
            )
        if spec.needs.masks and not self.has.masks:
            raise InvalidSpecError(f"{spec.criterion} needs mask gradients; calibrate with gradients=True.")
        if spec.needs.outputs and not self.has.outputs:
            raise InvalidSpecError(f"{spec.criterion} needs gradients at outputs; calibrate with outputs=True.")
        if spec.needs.sensitivity and not self.has.sensitivity:
            raise InvalidSpecError(f"{spec.allocation} needs sensitivities; calibrate with sensitivity=True.")
        if spec.needs.norm_aware and not self.has.norm_aware:
            raise InvalidSpecError(
                f"{spec.schedule} with {spec.allocation} needs norm-aware moments; calibrate with them."
            )

    def evidence(self, site: Site, weight: Tensor, seed: int) -> Evidence:
        """Input of a criterion for a site whose consumer has ``weight`` (channels, d_out)."""
        gradients = self.gradients.get(site.name) if self.has.masks or self.has.outputs else None
        return Evidence(site, self.moments[site].plain, weight, seed, gradients)

    @torch.no_grad()
    def scores(self, criterion: str | ScoreFunction, site: Site, weight: Tensor, seed: int) -> Tensor:
        """Scores (bundles,), fp64 on the CPU, of a site whose consumer has ``weight`` (channels, d_out)."""
        question = (criterion, site, seed)
        if question not in self._scores:
            self._scores[question] = score(criterion, self.evidence(site, weight, seed))
        return self._scores[question]

    @torch.no_grad()
    def candidate(
        self, spec: PruneSpec, site: Site, adapter: Adapter, criterion: str | ScoreFunction | None = None
    ) -> Candidate:
        """Input of :func:`liar.explore.allocation.allocate` for a site, whose block must be on the device.

        ``criterion`` is the function of a spec that names a custom one. Curves need moments with which
        :meth:`check` has been called for ``spec``.
        """
        criterion = spec.criterion if criterion is None else criterion
        question = (criterion, site, spec.seed, spec.allocation, spec.reconstruction)
        if question in self._candidates:
            return self._candidates[question]
        weight = adapter.consumer(site).weight.T
        scores = self.scores(criterion, site, weight, spec.seed)
        damage: NDArray[np.floating] | None = None
        if spec.allocation in CURVE_ALLOCATIONS:
            moments = self.moments[site]
            chosen = moments.norm_aware if spec.allocation == "error-curve" else moments.plain
            assert chosen is not None, "a calibration is checked against the spec"
            curves = error_curves(
                chosen,
                weight,
                order_of(scores),
                bundle_size=site.bundle_size,
                reconstructions=(spec.reconstruction,),
                site=site.name,
            )
            damage = curves.error[spec.reconstruction].numpy() * curves.energy
            if spec.allocation == "loss-curve":
                damage *= self.gradients[site.name].sensitivity * chosen.of_token
        spread: float | None = None
        if spec.allocation == "global":
            spread = deviation(criterion, self.evidence(site, weight, spec.seed), scores)
        found = Candidate(site, adapter.bundle_parameters(site), scores.numpy(), damage, spread)
        self._candidates[question] = found
        return found


def read_text(
    spec: PruneSpec, loaded: LoadedModel, beside: int = 0
) -> Generator[Progress, None, tuple[list[Batch], list[Batch], CalibrationText]]:
    """:func:`liar.data.corpora.text_steps` with progress of its own: the plan of the job is made of what it returns.

    There is no text ``beside`` that for the calibration if the source is too short for both.
    """
    start = time.perf_counter()

    def progress(step: tuple[int, int]) -> Progress:
        done, total = step
        left = (time.perf_counter() - start) * (total - done) / max(done, 1)
        return Progress(
            "calibrate", done, total, f"The model writes its calibration text, about {left:.0f} s more of it"
        )

    if beside:
        with suppress(CalibrationError):  # what else is wrong with the text is found by the next line
            return (yield from relay(text_steps(spec, loaded, beside), progress))
    return (yield from relay(text_steps(spec, loaded), progress))


def calibrate(
    loaded: LoadedModel,
    source: str = AUTO,
    *,
    gradients: bool = False,
    sensitivity: bool = False,
    outputs: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
    **choices: Any,
) -> Calibration:
    """Run one forward of the calibration text, and backward passes for ``gradients``, ``sensitivity`` or ``outputs``.

    The criteria taylor and fisher need mask ``gradients``, kfac the gradients at ``outputs``, the allocation loss-curve the
    ``sensitivity`` of the sites. ``source`` is the ``calibration`` of a :class:`PruneSpec`, and ``choices`` are its others that
    decide what is read: ``tokens``, ``sequence_length``, ``seed``, ``separator``, ``data``, and ``targets``, here "both" by
    default. Labels of a task are read by the names that the model has for its classes, else in the order of the task; only a
    run finds out another order first. Raises :class:`CalibrationError` for unusable text, :class:`InvalidSpecError` for
    unusable choices and :class:`NonFiniteError` for NaN or Inf in weights or activations.
    """
    spec = PruneSpec.create(model=loaded.id, calibration=source, **{"targets": "both", **choices})
    needs = Needs(masks=gradients, outputs=outputs, sensitivity=sensitivity)
    return finish(calibration_steps(spec, loaded, needs), on_progress and (lambda step: on_progress(*step)))


def calibration_steps(
    spec: PruneSpec, loaded: LoadedModel, needs: Needs
) -> Generator[tuple[int, int], None, Calibration]:
    """:func:`calibrate` on the text and targets of ``spec``, as a generator of (steps done, steps in all) that can be closed
    between two steps.
    """
    with readable_failures():
        origin = origin_of(spec, loaded)
        batches, _, text = yield from relay(text_steps(spec, loaded), lambda _written: (0, 1))  # no step is done yet
        sites = loaded.adapter.sites(spec.targets)
        needs = needs.of_model(embeds=loaded.embeds)
        found: dict[str, SiteGradients] = {}
        before = 0
        if needs.gradients:

            def step(done_of: tuple[int, int]) -> tuple[int, int]:
                nonlocal before
                before, pieces = done_of
                return before, pieces + len(sites)

            found = yield from relay(
                gradient_steps(loaded.adapter, batches, spec.targets, needs, loaded.embedder), step
            )
        moments: dict[Site, SiteMoments] = {}
        few = CURVE_TOKENS * needs.norm_aware
        alike = coherence_of(found)
        for visit in walk(loaded.adapter, batches, spec.targets, norm_aware=few, coherence=alike):
            moments[visit.site] = visit.moments
            yield before + len(moments), before + len(sites)
        return Calibration(moments, found, needs, text, origin)


def coherence_of(gradients: Mapping[str, SiteGradients]) -> dict[str, float]:
    """The coherence of each site that has one, by name."""
    return {name: each.coherence for name, each in gradients.items() if each.coherence}


def fits(loaded: LoadedModel, sites: Sequence[Site], *, norm_aware: bool) -> bool:
    """Whether the covariances of all sites take at most half of the free memory, in each process that shares the work."""
    size = sum(moment_bytes(site.channels, loaded.model.dtype, norm_aware=norm_aware) for site in sites)
    return everywhere(size <= free_bytes(execution_device(loaded.model)) // 2)
