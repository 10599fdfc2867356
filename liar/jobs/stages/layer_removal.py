"""Depth pruning: choose the run of blocks that a patch replaces best, patch the block before, cut.

The share of the blocks that goes is the ratio. Every run of up to so many consecutive blocks is tried on a sample of the text
(:mod:`liar.calibration.sample`), which gives a map of errors by start and length: how far the residual stream behind it is off,
each token weighted by 1/|y|^2. Of the longest ones with an error near the least that goes which moves the output least, on text
that no patch has read (:mod:`liar.calibration.divergence`). The patch is fitted to all of the text. What is left is a model of
its family with fewer layers; it is saved as an ordinary checkpoint if the family's config knows a bias of the patch.

>>> from liar import PruneSpec, run
>>> spec = PruneSpec(model="tiny", targets="layers", ratio=0.0, calibration="notes.txt", tokens=512, sequence_length=64)
>>> sum(site.kept == 0 for site in run(spec).sites)
0
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from math import isfinite
from operator import itemgetter

import torch

from liar.calibration.block_statistics import Errors, Span, spans
from liar.calibration.divergence import DIVERGENCE_TOKENS, Cut, changed, divergence_steps
from liar.calibration.sample import CURVE_TOKENS, divided
from liar.choices import Reconstruction
from liar.errors import EmptySiteError, InvalidSpecError, NonFiniteError
from liar.events import Calibrated, Event, Progress, SiteDone
from liar.explore.allocation import FEWEST_LEFT, UNITS_OF, nearest_removed, off_target
from liar.explore.forecast import report_of
from liar.jobs.estimates import Estimate
from liar.jobs.stages.stage import Events, Stage
from liar.maths.patch import PATCHES
from liar.models.adapter import Adapter
from liar.models.loaded import LoadedModel
from liar.models.surgery import ConsumerParameters, install
from liar.models.variants import Variants
from liar.progress import Part, relay
from liar.results import RunResult, TriedRun, removed_layers
from liar.runtime.devices import Batch
from liar.runtime.offload import resident
from liar.sites import Site
from liar.spec import PruneSpec

NEAR = 1.3
"""Runs are compared by the output if their error is at most so many times the least."""
MOST_COMPARED = 6
"""Most runs that are compared by the output."""


def blocks_to_remove(spec: PruneSpec, adapter: Adapter) -> int:
    """Number of blocks that ``spec`` removes: the nearest to its ratio.

    Raises :class:`UnsupportedModelError` for a family without a place for the patch, :class:`EmptySiteError` if fewer than
    two blocks would be left, and :class:`InvalidSpecError` for a reconstruction that whole blocks do not have, or edits.
    """
    adapter.check_blocks()
    if spec.reconstruction not in PATCHES:
        raise InvalidSpecError(
            f"Whole layers have the reconstructions {', '.join(PATCHES[:-1])} and {PATCHES[-1]}, not {spec.reconstruction}."
        )
    if spec.edits:
        raise InvalidSpecError("Edits by hand are of heads and neurons of all layers; drop them, or remove no layers.")
    layers = len(adapter.layers)
    number = nearest_removed(layers, spec.depth)
    if number and layers - number < FEWEST_LEFT:
        raise EmptySiteError(
            f"A ratio of {spec.depth:g} would leave {layers - number} of {layers} layers; at least {FEWEST_LEFT} stay: choose "
            f"a ratio of at most {max(layers - FEWEST_LEFT, 0) / layers:.2f}."
        )
    return number


class LayerRemoval(Stage):
    """Removal of whole blocks.

    ``reports`` are of all sites: those of removed blocks keep no unit and have no errors; the one that is patched has the
    errors of the residual stream behind the run, E|y' - y|^2 / E|y|^2; all others keep everything, without an error.
    ``tried`` has every run of up to as many blocks. Neither unseen text nor a calibration that was passed in is read.
    """

    @staticmethod
    def check(spec: PruneSpec, adapter: Adapter) -> None:
        blocks_to_remove(spec, adapter)

    @staticmethod
    def parts(estimate: Estimate) -> list[Part]:
        """Every run of up to as many layers on a sample, the best ones by the output, then one on all of the text."""
        starts = [estimate.layers - length for length in range(1, round(estimate.spec.depth * estimate.layers) + 1)]
        survey = estimate.sampled.patches(starts=max(starts, default=0), runs=sum(starts))
        choice = estimate.divergence(DIVERGENCE_TOKENS, MOST_COMPARED)
        cut = estimate.patches(starts=1, runs=1)
        return [Part("layers", survey, "walk"), Part("choice", choice, "walk"), Part("cut", cut, "walk")]

    @staticmethod
    def check_stored(result: RunResult, sites: Sequence[Site]) -> None:
        if [(site.name, site.units) for site in sites] != [(report.name, report.units) for report in result.sites]:
            raise InvalidSpecError(
                "The layers of this run are not those of the model as it is now: run the recipe again."
            )

    @staticmethod
    def restore(
        result: RunResult, batches: Sequence[Batch], working: LoadedModel, variants: Variants
    ) -> Generator[Progress, None, None]:
        if gone := removed_layers(result.sites):
            span = next(
                spans(working.adapter, batches, [len(gone)], before=gone[0] - 1, intercept=result.spec.intercept)
            )
            cut(working.adapter, span, result.spec.reconstruction, (), variants)
        yield from ()

    def events(self) -> Events:
        sites = self.sites
        blocks, layers = blocks_to_remove(self.spec, self.adapter), len(self.adapter.layers)
        why = f"only whole layers of {layers} can; choose a ratio that this allows"
        if message := off_target(self.spec.depth, blocks / layers, UNITS_OF["layers"], why):
            yield self._warn(message)
        if blocks == 0:
            self.reports = [report_of(site, range(site.units), {}, {}) for site in sites]
            return
        with self.watch.stage("calibrate"):
            some, others = divided(self.batches, CURVE_TOKENS * self.adapter.widest)
            before = yield from self._choose(some, others or some, blocks)
        with self.watch.stage("prune"):
            span = next(spans(self.adapter, self.batches, [blocks], before=before, intercept=self.spec.intercept))
            yield Calibrated(span.start.moments.tokens)
            errors = cut(self.adapter, span, self.spec.reconstruction, PATCHES, self.variants)
            for done, site in enumerate(sites, start=1):
                kept = range(0 if site.layer in span.removed else site.units)
                is_patched = (site.layer, site.kind) == (before, "ffn")
                report = report_of(site, kept, *(errors if is_patched else ({}, {})))
                self.reports.append(report)
                if not self.spec.cuts_width:  # else the next stage reports those that stay
                    yield SiteDone(report, done, len(sites))
            yield self.pace.at("cut", "prune", len(sites), len(sites), f"Removed {blocks} layers behind layer {before}")

    def _choose(self, sample: Sequence[Batch], others: Sequence[Batch], blocks: int) -> Generator[Event, None, int]:
        """The block behind which the run of ``blocks`` goes that moves the output on ``others`` least, of those with an error
        near the least on ``sample``; of equal ones the first.
        """
        near: list[tuple[float, Cut]] = []
        lengths = range(1, blocks + 1)
        number = sum(len(self.adapter.layers) - length for length in lengths)
        method = self.spec.reconstruction
        for done, span in enumerate(
            spans(self.adapter, sample, lengths, fast=True, intercept=self.spec.intercept), start=1
        ):
            with torch.no_grad(), resident(self.adapter.layers[span.start.layer]):
                weight = self.adapter.consumer(span.start.site).weight.T
                patch = span.patches(weight, (method,))
                error = span.errors(weight, patch, norm_aware=True)[method]
                if span.blocks == blocks and isfinite(error):
                    near = _nearest([*near, (error, Cut(span.removed, changed(patch[method], weight)))])
            self.tried.append(TriedRun(first=span.removed.start, layers=span.blocks, norm_aware_error=error))
            yield self.pace.at(
                "layers", "calibrate", done, number, f"Reading what runs of layers up to {span.removed[-1]} do"
            )
        if not near:
            raise NonFiniteError(
                "The error of every run of layers is NaN or Inf; calibrate in float32 or with other text."
            )
        cuts = [cut for _, cut in near]
        unread, _ = divided(others, DIVERGENCE_TOKENS)
        steps = divergence_steps(self.adapter, unread, cuts)
        words = f"Comparing {len(cuts)} runs of layers by the output"
        nats = yield from relay(steps, lambda step: self.pace.at("choice", "calibrate", *step, words))
        found = dict(zip((cut.removed for cut in cuts), nats, strict=True))
        for place, run in enumerate(self.tried):
            removed = range(run.first, run.first + run.layers)
            self.tried[place] = run.model_copy(update={"divergence": found.get(removed)})
        return min(found, key=lambda removed: (found[removed], removed.start)).start - 1


def _nearest(found: list[tuple[float, Cut]]) -> list[tuple[float, Cut]]:
    """Those whose error is near the least, the least first."""
    found = sorted(found, key=itemgetter(0))[:MOST_COMPARED]
    return [each for each in found if each[0] <= NEAR * found[0][0]]


@torch.no_grad()
def cut(
    adapter: Adapter, span: Span, method: Reconstruction, reported: Sequence[Reconstruction], variants: Variants | None
) -> tuple[Errors, Errors]:
    """Remove the blocks of ``span`` and patch the block before; the errors of the ``reported`` reconstructions, that of
    ``method`` as it is installed.

    ``variants`` receive the consumer without a patch.
    """
    site = span.start.site
    with resident(adapter.layers[site.layer]):
        consumer = adapter.consumer(site)
        weight = consumer.weight.T
        found = span.patches(weight, dict.fromkeys(("none", *reported, method)))
        patched = ConsumerParameters.install_of(consumer, found[method])
        installed = found | {method: patched.solution_of(consumer)}
        fitted = {name: installed[name] for name in reported}
        plain, norm_aware = (span.errors(weight, fitted, norm_aware=kind) for kind in (False, True))
        if variants is not None:
            variants.park(site, ConsumerParameters.install_of(consumer, found["none"]))
        install(consumer, patched)
    adapter.remove_blocks(span.removed)
    adapter.after_surgery()
    return plain, norm_aware
