"""Repair and quantisation, which first: int8 and int4 weights of all linear layers in the blocks.

torchao rounds the weights of a group (int8: of an output channel, int4: of 32 neighbours of one) to multiples of one step. The
copies here hold the rounded values as floats, so that moments and repairs can be computed on a quantised model as well. Kept
neurons are multiples of 32. A gain is beside the order "before", with the paired standard error over test items.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from functools import cache, partial
from itertools import product
from typing import Any, Literal, get_args

import torch
from figures import SMOLLM2, finished_run
from readme import table
from torch import Tensor, nn
from torchao.quantization import IntxWeightOnlyConfig, quantize_
from torchao.quantization.granularity import Granularity, PerAxis, PerGroup

from liar import LoadedModel
from liar.calibration.activations import walk
from liar.calibration.calibrate import calibration_steps
from liar.data.corpora import text_steps
from liar.models.families import adapt
from liar.progress import finish
from liar.results import Evaluation
from liar.sites import Site
from liar.spec import Needs
from liar.tasks.demo import PERPLEXITY
from parts.points import Part, Pending, Point, Report, Scope
from parts.subjects import Gain, Subject, examined, named

Width = Literal["int8", "int4"]
WIDTHS: tuple[Width, ...] = get_args(Width)
GROUP = 32
RATIOS = (0.2, 0.5)
SUBJECTS = (Subject("demo/minilm-sentiment", "sentiment", "both"), Subject(SMOLLM2, PERPLEXITY.name, "ffn"))

Order = Literal["before", "after", "both"]
ORDERS: Mapping[Order, str] = {
    "before": "repaired, then quantised",
    "after": "quantised, then pruned and repaired, the repaired weights quantised again",
    "both": "as before, and then every consumer's bias is moved to the mean output of the dense model",
}


def pending(scope: Scope) -> Iterator[Pending]:
    cases = list(product(SUBJECTS, RATIOS, WIDTHS))
    for subject, ratio, width in cases[:2] if scope.fast else cases:
        yield Pending(name_of(subject, ratio, width), partial(measure, subject, ratio, width, scope))


def name_of(subject: Subject, ratio: float, width: Width) -> str:
    return f"{subject.name}, {ratio:.0%}, {width}"


def rounded(loaded: LoadedModel, width: Width) -> LoadedModel:
    """A copy whose weights have the values of the quantised ones."""
    model: Any = copy.deepcopy(loaded.model)
    adapter = adapt(model)
    granularity: Granularity = PerAxis(0) if width == "int8" else PerGroup(GROUP)
    quantize_(adapter.layers, IntxWeightOnlyConfig(getattr(torch, width), granularity))
    for module in adapter.layers.modules():
        if isinstance(module, nn.Linear):
            values: Any = module.weight
            module.weight = nn.Parameter(values.dequantize().to(loaded.model.dtype), requires_grad=False)
    return dataclasses.replace(loaded, model=model, adapter=adapter)


def repaired(loaded: LoadedModel, subject: Subject, ratio: float, scope: Scope) -> LoadedModel:
    spec = subject.spec(ratio, scope).model_copy(update={"multiple": GROUP, "evaluate": ()})
    return finished_run(spec, loaded)[0]


@cache
def dense_outputs(subject: Subject, scope: Scope) -> dict[str, Tensor]:
    """Mean output of each consumer of the dense model, by name of the site."""
    loaded = examined(subject, scope).loaded
    calibration = finish(calibration_steps(subject.spec(0.5, scope), loaded, Needs(norm_aware=False)))
    return {site.name: _mean_output(loaded, site, found.plain.mean) for site, found in calibration.moments.items()}


@torch.no_grad()
def centred(loaded: LoadedModel, subject: Subject, scope: Scope) -> LoadedModel:
    """``loaded``, its biases moved site by site, each on the activations behind the ones before."""
    batches, _, _ = finish(text_steps(subject.spec(0.5, scope), loaded))
    for visit in walk(loaded.adapter, batches, subject.targets, schedule="sequential", norm_aware=0):
        consumer = loaded.adapter.consumer(visit.site)
        found = _mean_output(loaded, visit.site, visit.moments.plain.mean)
        shift = dense_outputs(subject, scope)[visit.site.name] - found
        bias = consumer.bias if consumer.bias is not None else torch.zeros_like(shift)
        consumer.bias = nn.Parameter(bias + shift, requires_grad=False)
    return loaded


@torch.no_grad()
def _mean_output(loaded: LoadedModel, site: Site, mean: Tensor) -> Tensor:
    output: Tensor = loaded.adapter.consumer(site)(mean.to(loaded.model.dtype))
    return output


def measure(subject: Subject, ratio: float, width: Width, scope: Scope) -> dict[str, float]:
    shared = examined(subject, scope)
    measured = shared.measured
    exact = repaired(shared.loaded, subject, ratio, scope)
    quantized = rounded(shared.loaded, width)
    found: dict[Order, Evaluation] = {
        "before": measured(rounded(exact, width)),
        "after": measured(rounded(repaired(quantized, subject, ratio, scope), width)),
        "both": measured(centred(rounded(exact, width), subject, scope)),
    }
    whole = (("dense", shared.dense), ("dense quantized", measured(quantized)), ("repaired", measured(exact)))
    values = {"n": float(shared.dense.n), **named(*whole, *found.items())}
    for order, evaluation in found.items():
        values |= Gain.of(found["before"], evaluation).named(f"{order} gain")
    return values


def report(points: Mapping[str, Point]) -> Report:
    rows: list[tuple[str, ...]] = []
    found: dict[str, list[str]] = {}
    for subject, ratio, width in product(SUBJECTS, RATIOS, WIDTHS):
        if (name := name_of(subject, ratio, width)) not in points:
            continue
        values = points[name].values
        plain = (subject.words(values, each) for each in ("dense", "dense quantized", "repaired", "before"))
        gains = []
        for order in ("after", "both"):
            gained = Gain.read(values, f"{order} gain")
            gains.append(f"{subject.metric.words(values[order])} ({subject.gain_words(gained)})")
            if gained.sign:
                verdict = f"*{order}* is {'better' if gained.sign > 0 else 'worse'} than *before*"
                found.setdefault(verdict, []).append(name)
        rows.append((subject.name, f"{ratio:.0%}", width, *plain, *gains))
    orders = "; ".join(f"*{order}*: {meaning}" for order, meaning in ORDERS.items())
    head = (
        f"Weights of the blocks in int8 (a step for each output channel) or int4 (for {GROUP} neighbours), the default recipe "
        f"but one-shot, neurons in multiples of {GROUP}. {orders}. In brackets the gain over before, with the paired standard "
        "error, of a perplexity in nats."
    )
    columns = ("model", "removed", "weights", "dense", "dense, quantised", "repaired", "before", "after", "both")
    differing = "; ".join(f"{words} ({'; '.join(names)})" for words, names in found.items())
    finding = f"By two standard errors or more {differing}." if found else "No order differs by two standard errors."
    return Report(f"{head}\n\n{finding}\n\n{table(columns, rows)}")


QUANTIZED = Part("quantized", "Repair and quantisation", pending, report)
