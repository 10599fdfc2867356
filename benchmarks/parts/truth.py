"""A layer whose repair is known: every second neuron of a BERT's FFN is made a twin of the one before it, and removed.

Twins have equal activations, so the layer is exact again once each kept neuron has the outgoing weights of its twin added
to its own. A repair without a ridge has to find that from the moments of the text alone; naive removal (none) and a
bias cannot. Errors are relative, on texts that the moments do not have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import torch
from readme import table
from torch import Tensor

from liar import PruneSpec, load_model
from liar.calibration.activations import walk
from liar.data.corpora import text_steps
from liar.maths.reconstruct import reconstruct_all
from liar.maths.relative_errors import relative_errors
from liar.maths.solver import RIDGE
from liar.models.adapter import Adapter
from liar.progress import finish
from liar.sites import Site
from liar.spec import RECONSTRUCTIONS
from parts.points import Part, Pending, Point, Report, Scope

MODEL, LAYER = "demo/minilm-sentiment", 2
TEXTS = (128, 256, 512, 1024)
TOKENS_OF_A_TEXT = 27
UNSEEN = 1_024
"""Texts that the repairs have not seen."""


def pending(scope: Scope) -> Iterator[Pending]:
    for texts in TEXTS[:1] if scope.fast else TEXTS:
        yield Pending(f"{texts} texts", partial(measure, texts))


@torch.no_grad()
def measure(texts: int) -> dict[str, float]:
    loaded = load_model(MODEL)
    adapter = loaded.adapter
    site = adapter.sites("ffn")[LAYER]
    kept = twinned(adapter, site)
    spec = PruneSpec(model=MODEL, targets="ffn", tokens=texts * TOKENS_OF_A_TEXT, evaluate=("sentiment",))
    batches, others, text = finish(text_steps(spec, loaded, UNSEEN))
    moments, unseen = (
        next(visit.moments.plain for visit in walk(adapter, part, "ffn") if visit.site == site)
        for part in (batches, others)
    )
    weight = adapter.consumer(site).weight.T.double()
    solutions = reconstruct_all(moments, weight, kept, ridge=0.0)
    found = relative_errors(unseen, weight, kept, solutions)
    ridged = reconstruct_all(moments, weight, kept, ("least-squares",), ridge=RIDGE)
    values = {str(name): error for name, error in found.items()}
    values["with the ridge"] = relative_errors(unseen, weight, kept, ridged)["least-squares"]
    truth = weight[kept] + weight[kept + 1]
    apart = (solutions["least-squares"].weight - truth).norm() / truth.norm()
    return {**values, "weight": float(apart), "texts": text.sequences, "tokens": text.tokens}


def twinned(adapter: Adapter, site: Site) -> Tensor:
    """Make every odd neuron a twin of the even one before it; the even ones."""
    kept = torch.arange(0, site.units, 2)
    for producer in adapter.producers(site):
        for parameter in producer.module.parameters():
            parameter[kept + 1] = parameter[kept]
    return kept


def report(points: Mapping[str, Point]) -> Report:
    rows = []
    for point in points.values():
        values = point.values
        errors = (f"{values[name]:.1e}" for name in (*RECONSTRUCTIONS, "with the ridge", "weight"))
        rows.append((f"{values['texts']:,.0f}", f"{values['tokens']:,.0f}", *errors))
    head = (
        f"FFN of block {LAYER} of {MODEL}, 768 of 1,536 neurons removed, each the twin of a kept one. Relative error on other "
        "texts, without a ridge; least-squares also with the one that the library takes; and how far its weights are from the "
        "true ones, over their norm."
    )
    columns = ("texts", "tokens", *RECONSTRUCTIONS, "least-squares, with ridge", "its weights")
    every = [point.values for point in points.values()]
    finding = (
        f"Least-squares finds the true weights to {max(values['weight'] for values in every):.0e}. The paper's repair stays "
        f"{max(values['liar'] for values in every):.0e} away: it fits its weights about zero, and its bias is that of the "
        f"removal alone. The ridge costs {every[0]['with the ridge']:.0e} with the fewest texts and "
        f"{every[-1]['with the ridge']:.0e} with the most: it guards against noise, of which there is none here."
    )
    return Report(f"{head}\n\n{table(columns, rows)}\n\n{finding}")


TRUTH = Part("truth", "A layer whose repair is known", pending, report)
