"""How much memory the work on a model takes beside its weights: an estimate from its config, before a weight is read.

A run holds its calibration text at one block, and there one of these at a time: the activations of a batch, the moments of
a site with a solve's copies of them, the activations that a backward pass keeps of all blocks, or the logits of an
evaluation. The whole is the largest of them. Factors are counts of the tensors alive at the peak; a test holds them against
measured peaks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import PreTrainedConfig

from liar.spec import EVALUATION_LENGTH, PruneSpec

BATCH = 8
"""Sequences that the walk sends through a block together."""

BACKWARD_SEQUENCES = 2
"""Sequences of one backward pass, which keeps every activation of theirs."""

BACKWARD_POSITIONS = 64
"""Positions of each of them whose logits over the whole vocabulary are in memory together."""

EVALUATION_WINDOWS = 2
"""Windows of held-out text whose logits are in memory together, in the precision of the model."""

EVALUATION_POSITIONS = 128
"""Positions of each of them whose logits are also there in fp32."""

_SINGLE, _DOUBLE = torch.float32.itemsize, torch.float64.itemsize


@dataclass(frozen=True, slots=True)
class Work:
    """What will be done with a model, as far as memory goes; the defaults are those of a run.

    ``gradients``: a backward pass. ``prunes``: calibration and solves; without them the model is only evaluated. Lengths are
    in tokens.
    """

    gradients: bool = False
    prunes: bool = True
    tokens: int = 12_288
    sequence_length: int = 256
    evaluate_length: int = EVALUATION_LENGTH

    @classmethod
    def of(cls, spec: PruneSpec) -> Work:
        """The work of a run of ``spec``."""
        return cls(
            gradients=spec.needs_gradients,
            tokens=spec.tokens,
            sequence_length=spec.sequence_length,
            evaluate_length=spec.evaluate_length or EVALUATION_LENGTH,
        )

    @classmethod
    def of_evaluation(cls, length: int | None = None) -> Work:
        """Measuring a model as it is, on sequences of ``length`` tokens."""
        return cls(prunes=False, evaluate_length=length or EVALUATION_LENGTH)


def moment_bytes(channels: int, dtype: torch.dtype, *, norm_aware: bool = True) -> int:
    """The covariances of a site of a model in ``dtype``: of one kind, or of both with ``norm_aware``."""
    return (1 + norm_aware) * channels**2 * torch.promote_types(dtype, torch.float32).itemsize


def working_bytes(config: PreTrainedConfig, dtype: torch.dtype, work: Work) -> int:
    """The largest memory that ``work`` on a model of ``config`` in ``dtype`` takes at once, its weights left out."""
    parts = [_evaluation(config, dtype, work)]
    parts += [_walk(config, dtype, work)] if work.prunes else []
    parts += [_backward(config, dtype, work)] if work.gradients else []
    return max(parts)


def _walk(config: PreTrainedConfig, dtype: torch.dtype, work: Work) -> int:
    """A sequential pass over the widest site: before and behind it all tokens wait for the solve."""
    width, channels, size = int(config.hidden_size), int(config.intermediate_size), dtype.itemsize
    waiting = work.tokens * (2 * width + channels) * size
    # The feed-forward layer writes three tensors of all channels; moments are taken of rows in fp32, less their mean.
    batch = BATCH * work.sequence_length
    activations = batch * (channels * (size + max(2 * size, 2 * _SINGLE)) + 4 * width * max(size, _SINGLE))
    # A covariance five times in fp32, or nearly three times in fp64, and where most units stay the weight in fp64 twelve times.
    solve = 5 * channels**2 * _SINGLE + 12 * channels * width * _DOUBLE
    return waiting + moment_bytes(channels, dtype) + max(activations + channels**2 * _SINGLE, solve)


def _evaluation(config: PreTrainedConfig, dtype: torch.dtype, work: Work) -> int:
    """Logits in the model's precision, and for some positions three tensors in fp32 of the cross entropy."""
    logits = EVALUATION_WINDOWS * int(config.vocab_size)
    positions = min(work.evaluate_length, EVALUATION_POSITIONS)
    return logits * (work.evaluate_length * dtype.itemsize + 3 * positions * _SINGLE)


def _backward(config: PreTrainedConfig, dtype: torch.dtype, work: Work) -> int:
    """Of every block sixteen tensors of the stream's width and five of all channels; norms keep theirs in fp32.

    Attention takes no more than that: its scores are never whole in memory. Of the logits there are five in fp32 at once.
    """
    width, channels, size = int(config.hidden_size), int(config.intermediate_size), dtype.itemsize
    norms = 4 * width * _SINGLE if size < _SINGLE else 0
    block = (16 * width + 5 * channels) * size + norms
    kept = BACKWARD_SEQUENCES * work.sequence_length * int(config.num_hidden_layers) * block
    return kept + BACKWARD_SEQUENCES * BACKWARD_POSITIONS * int(config.vocab_size) * (5 * _SINGLE + size)
