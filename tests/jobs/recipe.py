"""The default spec of the tests of runs, and the end of a run."""

from __future__ import annotations

from typing import Any

from liar import LoadedModel, PruneSpec, stream
from liar.events import Finished


def spec(text: str, **choices: object) -> PruneSpec:
    defaults = {"calibration": text, "tokens": 640, "sequence_length": 32, "targets": "both", "ratio": 0.5}
    return PruneSpec.create(model="tiny/llama", **{**defaults, **choices})


def finished(chosen: PruneSpec, loaded: LoadedModel, **given: Any) -> Finished:
    """The last event of a run that answers a prompt, so that its models stay in memory."""
    *_, last = stream(chosen, loaded, prompts=["a b c"], max_new_tokens=3, **given)
    return last
