"""What of the dense model a run reads, so what its calibration must hold."""

from __future__ import annotations

from dataclasses import dataclass

from liar.spec import PruneSpec


@dataclass(frozen=True, slots=True)
class Needs:
    """What a calibration holds beside plain moments: gradients of ``masks``, second moments of the gradients at ``outputs``,
    the ``sensitivity`` of the loss to errors of each site, and ``norm_aware`` moments, which take as much memory as the plain
    ones.
    """

    masks: bool = False
    outputs: bool = False
    sensitivity: bool = False
    norm_aware: bool = True

    @classmethod
    def of(cls, *specs: PruneSpec) -> Needs:
        """What any of ``specs`` needs."""
        return cls(
            masks=any(spec.needs_mask_gradients for spec in specs),
            outputs=any(spec.needs_output_gradients for spec in specs),
            sensitivity=any(spec.needs_sensitivity for spec in specs),
            norm_aware=any(spec.surveys_norm_aware for spec in specs),
        )

    @property
    def gradients(self) -> bool:
        return self.masks or self.outputs or self.sensitivity
