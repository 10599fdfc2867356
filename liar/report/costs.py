"""Results of ``liar measure``, as versioned JSON: the size and the speed of a dense and a pruned model."""

from __future__ import annotations

from pydantic import Field

from liar.results import SCHEMA_VERSION, ModelInfo, Quartiles, Record, Workload


class Costs(Record):
    """Costs of a model that are known without running it.

    ``macs_per_token`` are multiply-accumulates, see :func:`liar.evaluate.timing.size_and_speed.macs_per_token`.
    ``bytes_in_memory`` are those of its parameters and buffers, ``bytes_on_disk`` those of its safetensors (None if
    never saved). ``widths`` are the distinct numbers of channels of its sites, ascending; ``rounded`` means int8.
    """

    model: ModelInfo
    embedding_parameters: int
    macs_per_token: int
    bytes_in_memory: int
    bytes_on_disk: int | None = None
    widths: list[int]
    rounded: bool = False


class SpeedComparison(Record):
    """Tokens per second of two models at the same work, measured in turns.

    ``sequences`` of ``tokens`` tokens each are read at once (for "decoding": generated after the prompt, one by one).
    ``gain`` is the pruned speed over the dense one within each turn, so that a slow phase of the machine affects both.
    """

    work: Workload
    sequences: int
    tokens: int
    dense: Quartiles
    pruned: Quartiles
    gain: Quartiles


class CostsResult(Record):
    """Content of ``liar measure --json``. ``context`` is the number of tokens a counted token sees, itself included."""

    schema_version: int = SCHEMA_VERSION
    dense: Costs
    pruned: Costs
    context: int
    speeds: list[SpeedComparison]
    repeats: int
    timings: dict[str, float] = Field(default_factory=dict)
    environment: dict[str, str] = Field(default_factory=dict)
