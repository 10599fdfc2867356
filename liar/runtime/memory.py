"""Estimate of the memory that work on a model takes beside its weights, from its config, before a weight is read.

A run keeps its calibration text at one block. The estimate is the largest of three peaks: a pass over that block (the
activations of a batch, or the moments with a solve's copies), the activations of all blocks kept for a backward pass,
and the logits of an evaluation. Factors count the tensors alive at the peak; a test compares them with measured peaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from transformers import PreTrainedConfig

from liar.spec import (
    AUTO,
    AUTO_TOKENS_OF_A_MIX,
    AUTO_TOKENS_OF_AN_EMBEDDER,
    EVALUATION_LENGTH,
    MOST_AUTO_TOKENS_OF_AN_EMBEDDER,
    PruneSpec,
)
from liar.tasks.registry import task_named

BATCH = 8
"""Sequences that run through a block together in calibration."""

BACKWARD_SEQUENCES = 2
"""Sequences of one backward pass, which keeps all their activations."""

BACKWARD_POSITIONS = 64
"""Positions of each of these sequences whose logits over the whole vocabulary are in memory together."""

EVALUATION_WINDOWS = 2
"""Windows of held-out text whose logits are in memory together, in the precision of the model."""

EVALUATION_POSITIONS = 128
"""Positions of each of these windows whose logits are also in memory in fp32."""

_SINGLE, _DOUBLE = torch.float32.itemsize, torch.float64.itemsize


@dataclass(frozen=True, slots=True)
class PlannedWork:
    """Kind and size of the work on a model, to estimate its memory; the defaults are those of a run.

    ``gradients``: a backward pass. ``outputs``: second moments of the gradients at every site. ``prunes``: calibration and
    solves, else only an evaluation. ``corrects``: the dense residual stream is kept beside the pruned one. ``embeds``: the
    model is an embedder, which is calibrated on more text. Lengths are in tokens.
    """

    gradients: bool = False
    outputs: bool = False
    prunes: bool = True
    corrects: bool = False
    embeds: bool = False
    tokens: int | Literal["auto"] = AUTO
    sequence_length: int = 256
    evaluate_length: int = EVALUATION_LENGTH

    @classmethod
    def of(cls, spec: PruneSpec) -> PlannedWork:
        """The work of a run of ``spec``."""
        return cls(
            gradients=spec.needs.gradients,
            outputs=spec.needs.outputs,
            corrects=spec.walked == "corrective",
            tokens=spec.tokens,
            sequence_length=spec.sequence_length,
            evaluate_length=spec.evaluate_length
            or max((task_named(name).length for name in spec.evaluate), default=EVALUATION_LENGTH),
        )

    @classmethod
    def of_evaluation(cls, length: int | None = None) -> PlannedWork:
        """The work of evaluating a model on sequences of ``length`` tokens."""
        return cls(prunes=False, evaluate_length=length or EVALUATION_LENGTH)


def moment_bytes(channels: int, dtype: torch.dtype, *, norm_aware: bool = True) -> int:
    """Bytes of a site's covariances in a model of ``dtype``: of the plain one, or of both with ``norm_aware``."""
    return (1 + norm_aware) * channels**2 * torch.promote_types(dtype, torch.float32).itemsize


def working_bytes(config: PreTrainedConfig, channels: int, dtype: torch.dtype, work: PlannedWork) -> int:
    """Peak memory in bytes of ``work`` on a model of ``config`` in ``dtype``, without its weights.

    ``channels`` are those of its widest site (:attr:`liar.models.adapter.Adapter.widest`): families name them differently.
    """
    parts = [_evaluation(config, dtype, work)]
    parts += [_walk(config, channels, dtype, work)] if work.prunes else []
    parts += [_backward(config, channels, dtype, work)] if work.gradients else []
    # What is kept of the gradients at the outputs of both sites of every block.
    outputs = 2 * int(config.num_hidden_layers) * int(config.hidden_size) ** 2 * _DOUBLE if work.outputs else 0
    return max(parts) + outputs


def _walk(config: PreTrainedConfig, channels: int, dtype: torch.dtype, work: PlannedWork) -> int:
    """Peak of a sequential pass over the widest site, which keeps every token's states and consumer input."""
    width, size = int(config.hidden_size), dtype.itemsize
    # The most that "auto" takes: what is read is not known yet.
    most = AUTO_TOKENS_OF_A_MIX * channels
    if work.embeds:
        most = min(AUTO_TOKENS_OF_AN_EMBEDDER * channels, MOST_AUTO_TOKENS_OF_AN_EMBEDDER)
    tokens = most if work.tokens == AUTO else work.tokens
    streams = 5 if work.corrects else 2
    waiting = tokens * (streams * width + channels) * size
    # The feed-forward layer makes three tensors of all channels; moments need the rows in fp32 and centred.
    batch = BATCH * work.sequence_length
    activations = batch * (channels * (size + max(2 * size, 2 * _SINGLE)) + 4 * width * max(size, _SINGLE))
    # Both covariances are summed in fp64, and the cross moments of the drift too.
    summing = (2 * channels**2 + channels * width * work.corrects) * _DOUBLE + activations
    # Four fp64 copies of a covariance; with most units kept, twelve of the weight.
    solve = (4 * channels**2 + 12 * channels * width) * _DOUBLE + channels * width * _SINGLE * work.corrects
    return waiting + max(summing, moment_bytes(channels, dtype) + solve)


def _evaluation(config: PreTrainedConfig, dtype: torch.dtype, work: PlannedWork) -> int:
    """Peak of an evaluation: logits in the model's dtype; for some positions three fp32 tensors of cross entropy."""
    logits = EVALUATION_WINDOWS * int(config.vocab_size)
    positions = min(work.evaluate_length, EVALUATION_POSITIONS)
    return logits * (work.evaluate_length * dtype.itemsize + 3 * positions * _SINGLE)


def _backward(config: PreTrainedConfig, channels: int, dtype: torch.dtype, work: PlannedWork) -> int:
    """Peak of a backward pass: per block sixteen tensors of the stream's width and five of all channels, norms in fp32.

    Attention is included: its full score matrix is never in memory. Five fp32 copies of the logits are alive at once.
    """
    width, size = int(config.hidden_size), dtype.itemsize
    norms = 4 * width * _SINGLE if size < _SINGLE else 0
    block = (16 * width + 5 * channels) * size + norms
    kept = BACKWARD_SEQUENCES * work.sequence_length * int(config.num_hidden_layers) * block
    return kept + BACKWARD_SEQUENCES * BACKWARD_POSITIONS * int(config.vocab_size) * (5 * _SINGLE + size)
