"""The stages that a run may have, by name."""

from __future__ import annotations

from collections.abc import Mapping

from liar.jobs.stages.layer_removal import LayerRemoval
from liar.jobs.stages.reduction import Reduction
from liar.jobs.stages.stage import Stage
from liar.spec import PruneSpec, StageName

STAGES: Mapping[StageName, type[Stage]] = {"depth": LayerRemoval, "width": Reduction}


def stages_of(spec: PruneSpec) -> list[type[Stage]]:
    """The stages of a run of ``spec``, in the order in which they work."""
    return [STAGES[name] for name in spec.stages]
