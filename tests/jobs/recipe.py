"""The default spec of the tests of runs."""

from __future__ import annotations

from liar import PruneSpec


def spec(text: str, **choices: object) -> PruneSpec:
    defaults = {"calibration": text, "tokens": 640, "sequence_length": 32, "targets": "both", "ratio": 0.5}
    return PruneSpec.create(model="tiny/llama", **{**defaults, **choices})
