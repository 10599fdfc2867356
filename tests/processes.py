"""Processes launched as torchrun does it, without its agent; as a program: what one of them finds on tiny models."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate import cpu_offload

from liar import LoadedModel, PruneSpec
from liar.calibration.activations import walk
from liar.calibration.gradients import gradient_steps
from liar.errors import CalibrationError
from liar.jobs.estimates import Estimate
from liar.jobs.plan import run_parts
from liar.jobs.stages.layer_removal import LayerRemoval
from liar.jobs.stages.reduction import Reduction
from liar.maths.criteria import criterion_of
from liar.progress import Pace, Stopwatch
from liar.results import SiteReport, TriedRun
from liar.runtime.devices import Batch
from liar.runtime.distributed import joined
from liar.spec import Needs, Schedule
from tests import cut_models, families
from tests.hostile.client import free_port

ROOT = Path(__file__).resolve().parent.parent


def launch(processes: int, *arguments: str, own: dict[int, list[str]] | None = None) -> list[subprocess.Popen[str]]:
    """Start ``python`` with these ``arguments`` in so many processes; ``own`` replaces those of one."""
    shared: dict[str, Any] = {"WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    return [
        subprocess.Popen(
            [sys.executable, *((own or {}).get(rank) or arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ
            | {name: str(value) for name, value in shared.items()}
            | {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        )
        for rank in range(processes)
    ]


def ends(started: list[subprocess.Popen[str]], seconds: float = 120) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of each; none is left running."""
    try:
        return [(each.wait(seconds), *each.communicate()) for each in started]
    finally:
        for each in started:
            each.kill()


def batches() -> list[Batch]:
    """17 sequences of three lengths: shares are uneven, and a batch has none for some process."""
    return [*families.batches(2, size=8, length=20, padded=True), *families.batches(1, size=1, length=9, seed=5)]


def found(family: str) -> dict[str, Any]:
    """Gradients, and of each schedule the reports of the sites, the attenuation and the weights that are left."""
    model = cut_models.loaded(family)
    steps = gradient_steps(model.adapter, batches(), "both", Needs(masks=True, outputs=True, sensitivity=True))
    answer: dict[str, Any] = {"gradients": families.gradients(steps)}
    schedules: tuple[Schedule, ...] = ("one-shot", "sequential", "corrective")
    for schedule in schedules:
        model = cut_models.loaded(family)
        reduction = reduced(model, criterion="kfac", schedule=schedule)
        weights = torch.cat([parameter.detach().flatten() for parameter in model.model.parameters()])
        answer[schedule] = (reduction.reports, reduction.attenuation, weights)
    return answer


def streamed() -> list[SiteReport]:
    """Reports of the sites of a model whose blocks are loaded one by one."""
    model = cut_models.loaded("llama")
    cpu_offload(model.model, execution_device=torch.device("cpu"))
    return reduced(model, criterion="fluctuation", allocation="error-curve", schedule="corrective").reports


def shortened() -> tuple[list[TriedRun], list[SiteReport], torch.Tensor]:
    """Runs of layers that are tried, reports of the sites and weights that are left of a LLaMA of which a layer goes."""
    model = cut_models.loaded("llama")
    spec = PruneSpec(model=model.id, targets="layers", ratio=0.33)
    pace = Pace(run_parts(Estimate.of(spec, model, batches())))
    removal = LayerRemoval(spec, criterion_of(spec.criterion), model, pace, Stopwatch(), None, batches())
    for _ in removal.events():
        pass
    weights = torch.cat([parameter.detach().flatten() for parameter in model.model.parameters()])
    return removal.tried, removal.reports, weights


def reduced(model: LoadedModel, **choices: Any) -> Reduction:
    """Half of the units of ``model`` removed."""
    spec = PruneSpec(model=model.id, targets="both", ratio=0.5, **choices)
    pace = Pace(run_parts(Estimate.of(spec, model, batches())))
    reduction = Reduction(spec, criterion_of(spec.criterion), model, pace, Stopwatch(), None, batches())
    for _ in reduction.events():
        pass
    return reduction


def refusals() -> list[str]:
    """What is said of a text that is too short to share, and of texts that differ."""
    said = []
    adapter = cut_models.loaded("llama").adapter
    for text in (families.batches(1, size=1), families.batches(1, size=4, seed=dist.get_rank())):
        try:
            next(walk(adapter, text, "ffn"))
        except CalibrationError as error:
            said.append(str(error))
    return said


if __name__ == "__main__":
    with joined():
        every = {"llama": found("llama"), "bert": found("bert"), "streamed": streamed(), "shortened": shortened()}
        every["refusals"] = refusals()
        torch.save(every, Path(sys.argv[1]) / os.environ["RANK"])
