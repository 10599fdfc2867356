"""Seconds that each piece of work takes, from the sizes of the model, the amount of text and simple arithmetic.

The seconds are those of two cores of a server CPU in fp32. Only their proportions matter: :class:`liar.progress.Pace`
measures the factor for this machine during the job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from liar.calibration.sample import CURVE_TOKENS, MEAN_TOKENS, sensitivity_tokens, tokens_of
from liar.choices import Importance
from liar.data.corpora import settled_tokens
from liar.data.packing import evaluation_length
from liar.data.text_reader import demo_samples
from liar.evaluate.answering.generate import MAX_NEW_TOKENS
from liar.evaluate.timing.speed import BATCH, PROMPT_TOKENS, REPEATS
from liar.spec import CURVE_ALLOCATIONS, LEFT_OUT, Needs, PruneSpec, SiteKind, Targets
from liar.tasks.record import DemoData
from liar.tasks.registry import task_named

if TYPE_CHECKING:
    from liar.models.loaded import LoadedModel
    from liar.runtime.devices import Batch

OPERATIONS = 150e9
"""Floating-point operations per second in products of large matrices."""

_BYTES = 25e9
"""Bytes per second read from memory; each generated token reads all weights."""

_LOGITS = 30
"""How often the logits of a language model are read or written on the way from its output layer to its loss."""

_LAYER = 0.5e-3
"""Seconds of Python overhead for one call of a block."""


@dataclass(frozen=True, slots=True)
class SiteShape:
    kind: SiteKind
    channels: int
    outputs: int
    parameters: int
    """Parameters of the site's producers and consumer that would be removed with all of its channels."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a model that determine its costs. ``head`` counts the parameters of a language model's output layer."""

    blocks: int
    head: int
    layers: int
    width: int
    sites: tuple[SiteShape, ...]
    writes: bool

    @property
    def widest(self) -> int:
        """Channels of the widest site."""
        return max(site.channels for site in self.sites)

    @classmethod
    def of(cls, loaded: LoadedModel) -> Shape:
        adapter = loaded.adapter
        head = loaded.model.get_output_embeddings() if loaded.is_language_model else None
        sites = tuple(
            SiteShape(
                site.kind,
                site.channels,
                adapter.consumer(site).out_features,
                site.bundles * adapter.bundle_parameters(site),
            )
            for site in adapter.layout()
        )
        return cls(
            blocks=sum(parameter.numel() for parameter in adapter.layers.parameters()),
            head=head.weight.numel() if head is not None else 0,
            layers=len(adapter.layers),
            width=int(loaded.model.config.hidden_size),
            sites=sites,
            writes=loaded.is_language_model,
        )

    def chosen(self, targets: Targets) -> list[SiteShape]:
        return [site for site in self.sites if site.kind != LEFT_OUT.get(targets)]

    def forward(self, tokens: float, length: float, *, head: bool = True, removed: float = 0.0) -> float:
        """Seconds of a forward pass of ``tokens`` in sequences of ``length``, without the ``removed`` parameters."""
        products = 2 * (self.blocks - removed + head * self.head) + 4 * self.layers * self.width * length
        return tokens * products / OPERATIONS

    def loss(self, tokens: float, length: float, *, removed: float = 0.0) -> float:
        """Seconds of a forward pass and of the loss, which reads the logits of every token of a language model."""
        logits = tokens * self.head / self.width
        return self.forward(tokens, length, removed=removed) + _LOGITS * 4 * logits / _BYTES

    def quantized(self) -> float:
        """Seconds of an int8 copy of the blocks, which reads or writes the weights four times."""
        return 4 * 4 * self.blocks / _BYTES

    def written(self, tokens: int, removed: float = 0.0) -> float:
        """Seconds of generating ``tokens`` one by one, without the ``removed`` parameters."""
        return tokens * (4 * (self.blocks - removed + self.head) / _BYTES + self.layers * _LAYER)


@dataclass(frozen=True, slots=True)
class Amounts:
    """Amount of text that a job reads and generates.

    ``tokens`` of calibration text in sequences of ``length``; for each task the (tokens, length of a sequence) that
    every variant reads; ``prompts`` that every variant answers with at most ``new_tokens``.
    """

    tokens: int
    length: float
    tasks: Mapping[str, tuple[float, float]]
    prompts: int = 0
    new_tokens: int = MAX_NEW_TOKENS

    @classmethod
    def of(
        cls,
        spec: PruneSpec,
        loaded: LoadedModel,
        batches: Sequence[Batch] = (),
        *,
        prompts: int = 0,
        new_tokens: int = MAX_NEW_TOKENS,
    ) -> Amounts:
        """Amounts of a run of ``spec``; without ``batches``, ``spec`` determines tokens and length."""
        rows = sum(len(batch["input_ids"]) for batch in batches)
        tokens = tokens_of(batches)
        return cls(
            tokens=tokens or settled_tokens(spec.calibration, spec.tokens, loaded),
            length=tokens / rows if rows else spec.sequence_length,
            tasks={task: _text_of(task, spec, loaded) for task in dict.fromkeys(spec.evaluate)},
            prompts=prompts,
            new_tokens=new_tokens,
        )


def _text_of(name: str, spec: PruneSpec, loaded: LoadedModel) -> tuple[float, float]:
    task = task_named(name)
    longest = evaluation_length(spec.evaluate_length, loaded, task.length)
    count = spec.evaluate_limit or task.count
    if task.head == "language-model":
        return count * longest, longest
    if not isinstance(task.data, DemoData) or spec.data_of(task.name) is not None:
        return count * longest / 2 * (task.choices or 1), longest / 2
    samples = demo_samples(task.data, "test")
    texts = [
        " ".join([sample.text, sample.pair or "", ending])
        for sample in samples[:_SAMPLE]
        for ending in sample.endings or ("",)
    ]
    rows = loaded.tokenizer(texts, truncation=True, max_length=longest)["input_ids"]
    length = sum(map(len, rows)) / max(len(rows), 1)
    return min(count, len(samples)) * (task.choices or 1) * length, length


_SAMPLE = 64
"""Number of texts from which the mean length of all is estimated."""


def sample(shape: Shape, amounts: Amounts) -> Amounts:
    """The part of the text by which a run that is not one-shot allocates, see :mod:`liar.calibration.sample`."""
    return replace(amounts, tokens=min(amounts.tokens, CURVE_TOKENS * shape.widest))


def gradients_cost(shape: Shape, amounts: Amounts, needs: Needs) -> float:
    """Cost of the passes for gradients, two sequences at a time; a backward pass costs as much as a forward one."""

    def forward(tokens: int) -> float:
        calls = tokens / max(amounts.length, 1) / 2
        return shape.loss(tokens, amounts.length) + 2 * calls * shape.layers * _LAYER

    has_signs = needs.outputs or needs.sensitivity
    signed = forward(sensitivity_tokens(shape.widest, amounts.tokens)) if has_signs else 0.0
    return 2 * forward(amounts.tokens) + signed if needs.masks else 2 * signed


def walk_cost(shape: Shape, amounts: Amounts, targets: Targets, *, norm_aware: bool = True) -> float:
    """Cost of one forward pass through the blocks with the covariances of every targeted site."""
    moments = 0.0
    for site in shape.chosen(targets):
        aware = min(amounts.tokens, MEAN_TOKENS * site.channels) if norm_aware else 0
        moments += 1.1 * site.channels**2 * (amounts.tokens + aware) / OPERATIONS
    return shape.forward(amounts.tokens, amounts.length, head=False) + moments


def scores_cost(site: SiteShape, importance: Importance) -> float:
    """Cost of the scores of a site, if they solve a system."""
    return importance.solves * (5 * site.channels**3 + 2 * site.channels**2 * site.outputs) / OPERATIONS


def curve_cost(site: SiteShape) -> float:
    """Cost of one factorisation and a product with the weights, in fp64."""
    return 2 * (site.channels**3 / 3 + 2 * site.channels**2 * site.outputs) / OPERATIONS


def repair_cost(site: SiteShape, ratio: float) -> float:
    """Cost of every reconstruction of a site and of its error, in fp64."""
    kept = (1 - ratio) * site.channels
    solves = kept**3 + 4 * kept * (site.channels - kept) * site.outputs + 6 * kept**2 * site.outputs
    errors = 8 * 2 * site.channels**2 * site.outputs
    return (2 * solves + 2 * errors) / OPERATIONS


def survey_cost(spec: PruneSpec, shape: Shape, amounts: Amounts, *, calibrated: bool = False) -> float:
    """Cost of scores and curves at every targeted site of the dense model, and of the walk unless ``calibrated``."""
    each = sum(
        scores_cost(site, spec.importance) + (spec.allocation in CURVE_ALLOCATIONS) * curve_cost(site)
        for site in shape.chosen(spec.targets)
    )
    return each + (0.0 if calibrated else walk_cost(shape, amounts, spec.targets, norm_aware=spec.needs.norm_aware))


def prune_cost(spec: PruneSpec, shape: Shape, amounts: Amounts, *, kept: bool) -> float:
    """Cost of the repairs, and of a walk unless the survey ``kept`` its moments."""
    chosen = shape.chosen(spec.targets)
    cost = sum(repair_cost(site, spec.ratio) for site in chosen)
    if not kept:
        cost += walk_cost(shape, amounts, spec.targets)
    if spec.walked == "corrective":
        cost += drift_cost(shape, amounts, spec.targets)
    return cost


def drift_cost(shape: Shape, amounts: Amounts, targets: Targets) -> float:
    """Cost of the dense stream beside the pruned one, and of the drift at every targeted site."""
    products = sum(4 * site.channels * site.outputs for site in shape.chosen(targets))
    return shape.forward(amounts.tokens, amounts.length, head=False) + products * amounts.tokens / OPERATIONS


def patches_cost(shape: Shape, amounts: Amounts, *, starts: int, runs: int) -> float:
    """Cost of a forward pass, of the moments and the factorisation at each start, and of every run's patch and its error."""
    d, width = shape.widest, shape.width
    each_start = 1.1 * d**2 * amounts.tokens + 2 * d**3 / 3
    aware = min(amounts.tokens, MEAN_TOKENS * d)
    each_run = 2 * d * width * (amounts.tokens + aware) + 4 * d**2 * width
    forward = shape.forward(amounts.tokens, amounts.length, head=False)
    return forward + (starts * each_start + runs * each_run) / OPERATIONS


def removed_by(spec: PruneSpec, shape: Shape) -> float:
    """Approximate number of parameters that ``spec`` removes."""
    return spec.ratio * sum(site.parameters for site in shape.chosen(spec.targets))


def timing_cost(shape: Shape, *removed: float) -> float:
    """Cost of timing models that read one prompt or text in turns; ``removed`` parameters of each."""
    each = [shape.forward(PROMPT_TOKENS, PROMPT_TOKENS, removed=share) + shape.layers * _LAYER for share in removed]
    return (REPEATS + 1) * sum(each)


def answer_cost(shape: Shape, amounts: Amounts, removed: float = 0.0) -> float:
    """Cost of generating ``new_tokens`` and scoring them with the dense model; of a classifier, one forward pass."""
    if not shape.writes:
        return shape.forward(16, 16, removed=removed) + shape.layers * _LAYER
    return shape.written(amounts.new_tokens, removed) + 2 * shape.forward(amounts.new_tokens, amounts.new_tokens)


def turns_cost(shape: Shape) -> float:
    """Cost of two models in turns: a prompt and 32 tokens generated after it, or one text and a batch of texts."""
    texts = 1 if shape.writes else 1 + BATCH
    turn = shape.forward(texts * PROMPT_TOKENS, PROMPT_TOKENS) + (shape.written(32) if shape.writes else 0.0)
    return 2 * (REPEATS + 1) * turn
