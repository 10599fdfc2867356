"""Seconds that each piece of work takes, from the sizes of the model, the amount of text and simple arithmetic.

The seconds are those of two cores of a server CPU in fp32. Only their proportions matter: :class:`liar.progress.Pace`
measures the factor for this machine during the job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from liar.calibration.sample import CURVE_TOKENS, MEAN_TOKENS, sensitivity_tokens, tokens_of
from liar.choices import Importance
from liar.data.corpora import settled_tokens
from liar.data.packing import evaluation_length
from liar.data.text_reader import demo_samples
from liar.evaluate.answering.generate import MAX_NEW_TOKENS
from liar.evaluate.timing.speed import BATCH, PROMPT_TOKENS, REPEATS
from liar.models.loaded import LoadedModel, parameter_count
from liar.runtime.devices import Batch
from liar.spec import Needs, PruneSpec
from liar.tasks.record import DemoData
from liar.tasks.registry import task_named

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
    """Sizes of a site; ``parameters`` of its producers and consumer would be removed with all of its channels."""

    channels: int
    outputs: int
    parameters: int

    def scores(self, importance: Importance) -> float:
        """Seconds of the scores, if they solve a system."""
        return importance.solves * (5 * self.channels**3 + 2 * self.channels**2 * self.outputs) / OPERATIONS

    def curve(self) -> float:
        """Seconds of one factorisation and a product with the weights, in fp64."""
        return 2 * (self.channels**3 / 3 + 2 * self.channels**2 * self.outputs) / OPERATIONS

    def repair(self, ratio: float) -> float:
        """Seconds of every reconstruction and of its error, in fp64."""
        kept = (1 - ratio) * self.channels
        solves = kept**3 + 4 * kept * (self.channels - kept) * self.outputs + 6 * kept**2 * self.outputs
        errors = 8 * 2 * self.channels**2 * self.outputs
        return (2 * solves + 2 * errors) / OPERATIONS


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds of each piece of work in a job of ``spec``, by the sizes of the model and the amount of text.

    ``blocks`` and ``head`` are parameters: those of the blocks, and of a language model's output layer. ``sites`` are the
    targeted ones. There are ``tokens`` of calibration text in sequences of ``length``; for each task the (tokens, length of a
    sequence) that every variant reads; ``prompts`` that every variant answers with at most ``new_tokens``. ``calibrated``: a
    calibration is passed in. ``keeps``: a one-shot run has memory for the moments of all sites. ``embeds``: the model is an
    embedder, whose moments take gradients.
    """

    spec: PruneSpec
    blocks: float
    head: int
    layers: int
    width: int
    widest: int
    sites: tuple[SiteShape, ...]
    tokens: int
    length: float
    tasks: Mapping[str, tuple[float, float]]
    prompts: int = 0
    new_tokens: int = MAX_NEW_TOKENS
    calibrated: bool = False
    keeps: bool = True
    embeds: bool = False

    @classmethod
    def of(cls, spec: PruneSpec, loaded: LoadedModel, batches: Sequence[Batch] = ()) -> Estimate:
        """Estimate for ``loaded``; without ``batches`` of calibration text, ``spec`` determines tokens and length."""
        adapter = loaded.adapter
        head = loaded.model.get_output_embeddings() if loaded.is_language_model else None
        rows, tokens = sum(len(batch["input_ids"]) for batch in batches), tokens_of(batches)
        return cls(
            spec=spec,
            blocks=parameter_count(adapter.layers),
            head=head.weight.numel() if head is not None else 0,
            layers=len(adapter.layers),
            width=int(loaded.model.config.hidden_size),
            widest=adapter.widest,
            sites=tuple(
                SiteShape(
                    site.channels, adapter.consumer(site).out_features, site.bundles * adapter.bundle_parameters(site)
                )
                for site in adapter.layout(spec.targets)
            ),
            tokens=tokens or settled_tokens(spec.calibration, spec.tokens, loaded),
            length=tokens / rows if rows else spec.sequence_length,
            embeds=loaded.embeds,
            tasks={task: _text_of(task, spec, loaded) for task in dict.fromkeys(spec.evaluate)},
        )

    @property
    def shortened(self) -> Estimate:
        """The same for the model whose layers went, from which heads and neurons go then."""
        left = 1 - self.spec.layers
        sites = self.sites[: round(left * len(self.sites))]
        return replace(self, blocks=left * self.blocks, layers=round(left * self.layers), sites=sites)

    @property
    def pruned(self) -> Estimate:
        """The same for the smaller model, approximately."""
        shorter = self.shortened
        gone = self.spec.ratio * sum(site.parameters for site in shorter.sites)
        return replace(shorter, blocks=shorter.blocks - gone)

    @property
    def sampled(self) -> Estimate:
        """With the part of the text by which a run that is not one-shot allocates, see :mod:`liar.calibration.sample`."""
        return replace(self, tokens=min(self.tokens, CURVE_TOKENS * self.widest))

    # -- forward and backward passes ----------------------------------------------------------------------------

    def forward(self, tokens: float, length: float, *, head: bool = True) -> float:
        """A forward pass of ``tokens`` in sequences of ``length``."""
        products = 2 * (self.blocks + head * self.head) + 4 * self.layers * self.width * length
        return tokens * products / OPERATIONS

    def reading(self) -> float:
        """A forward pass of the calibration text through the blocks."""
        return self.forward(self.tokens, self.length, head=False)

    def loss(self, tokens: float, length: float) -> float:
        """A forward pass and the loss, which reads the logits of every token of a language model."""
        return self.forward(tokens, length) + _LOGITS * 4 * tokens * self.head / self.width / _BYTES

    def gradients(self, needs: Needs) -> float:
        """Passes for gradients, two sequences at a time; a backward pass costs as much as a forward one."""
        signed = sensitivity_tokens(self.widest, self.tokens) if needs.signs else 0
        tokens = 2 * self.tokens + signed if needs.masks else 2 * signed
        return self.loss(tokens, self.length) + tokens / max(self.length, 1) * self.layers * _LAYER

    # -- covariances and solves ---------------------------------------------------------------------------------

    def walk(self, *, norm_aware: bool = True) -> float:
        """One forward pass through the blocks with the covariances of every site."""
        moments = 0.0
        for site in self.sites:
            aware = min(self.tokens, MEAN_TOKENS * site.channels) if norm_aware else 0
            moments += 1.1 * site.channels**2 * (self.tokens + aware) / OPERATIONS
        return self.reading() + moments

    def drift(self) -> float:
        """The dense stream beside the pruned one, and the drift at every site."""
        products = sum(4 * site.channels * site.outputs for site in self.sites)
        return self.reading() + products * self.tokens / OPERATIONS

    def patches(self, *, starts: int, runs: int) -> float:
        """A forward pass, the moments and the factorisation at each start, and every run's patch and its error."""
        d, aware = self.widest, min(self.tokens, MEAN_TOKENS * self.widest)
        each_start = 1.1 * d**2 * self.tokens + 2 * d**3 / 3
        each_run = 2 * d * self.width * (self.tokens + aware) + 4 * d**2 * self.width
        return self.reading() + (starts * each_start + runs * each_run) / OPERATIONS

    def divergence(self, tokens: int, runs: int) -> float:
        """A dense forward pass, one from the middle of the blocks on for each run, and the predictions of each."""
        tokens = min(tokens, self.tokens)
        head = 2 * self.head / OPERATIONS + _LOGITS * 4 * self.head / self.width / _BYTES
        return (1 + runs / 2) * self.forward(tokens, self.length, head=False) + (1 + runs) * tokens * head

    # -- texts one by one ---------------------------------------------------------------------------------------

    def text(self, tokens: int) -> float:
        """A forward pass of one text, with the overhead of its calls."""
        return self.forward(tokens, tokens) + self.layers * _LAYER

    def written(self, tokens: int) -> float:
        """Generating ``tokens`` one by one."""
        return tokens * (4 * (self.blocks + self.head) / _BYTES + self.layers * _LAYER)

    def answer(self) -> float:
        """Generating ``new_tokens`` and scoring them twice; of a classifier, one forward pass."""
        return self.written(self.new_tokens) + 2 * self.text(self.new_tokens) if self.head else self.text(16)

    def turns(self) -> float:
        """Two models in turns: a prompt and 32 tokens generated after it, or one text and a batch of texts."""
        prompt = self.text(PROMPT_TOKENS)
        return 2 * (REPEATS + 1) * (prompt + self.written(32) if self.head else (1 + BATCH) * prompt)

    def quantizing(self) -> float:
        """An int8 copy of the blocks, which reads or writes the weights four times."""
        return 4 * 4 * self.blocks / _BYTES


def _text_of(name: str, spec: PruneSpec, loaded: LoadedModel) -> tuple[float, float]:
    task = task_named(name)
    longest = evaluation_length(spec.evaluate_length, loaded, task.length)
    count = spec.evaluate_limit or task.count
    if task.head == "language-model":
        return count * longest, longest
    length = longest / 2
    if isinstance(task.data, DemoData) and spec.data_of(task.name) is None:
        samples = demo_samples(task.data, "test")
        texts = [
            " ".join([sample.text, sample.pair or "", ending])
            for sample in samples[:_SAMPLE]
            for ending in sample.endings or ("",)
        ]
        rows = loaded.tokenizer(texts, truncation=True, max_length=longest)["input_ids"]
        count, length = min(count, len(samples)), sum(map(len, rows)) / max(len(rows), 1)
    return count * (task.choices or 1) * length, length


_SAMPLE = 64
"""Number of texts from which the mean length of all is estimated."""
