"""Table of the named models, printed by ``liar models``. Any other id of a supported family loads as well.

>>> from liar.presets import PRESETS
>>> [preset.id for preset in PRESETS if preset.task == "topic"]
['demo/minilm-topic']
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from liar.spec import Task

DEMO = "demo/"
"""Prefix of the ids of the demo models."""

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Preset:
    """A named model. ``parameters`` in millions; ``revision`` is a package version (demo) or a Hub commit or branch."""

    id: str
    title: str
    family: str
    task: Task | None
    parameters: float
    revision: str
    licence: str

    @property
    def is_pinned(self) -> bool:
        """Whether the id always means the same weights; a branch may move."""
        return self.id.startswith(DEMO) or _COMMIT.fullmatch(self.revision) is not None


PRESETS: tuple[Preset, ...] = (
    Preset("demo/smollm2-135m", "SmolLM2 135M Instruct", "llama", "perplexity", 134.5, "0.1.2", "Apache-2.0"),
    Preset("demo/minilm-sentiment", "MiniLM, movie sentences", "bert", "sentiment", 22.7, "0.1.0", "Apache-2.0"),
    Preset("demo/minilm-topic", "MiniLM, Wikipedia topics", "bert", "topic", 22.7, "0.1.0", "Apache-2.0"),
    Preset("demo/minilm", "MiniLM without a head", "bert", None, 22.7, "0.1.0", "Apache-2.0"),
    Preset("HuggingFaceTB/SmolLM2-360M", "SmolLM2 360M", "llama", "perplexity", 361.8, "main", "Apache-2.0"),
    Preset("HuggingFaceTB/SmolLM2-1.7B", "SmolLM2 1.7B", "llama", "perplexity", 1711.4, "main", "Apache-2.0"),
    Preset("Qwen/Qwen2.5-0.5B", "Qwen2.5 0.5B", "llama", "perplexity", 494.0, "main", "Apache-2.0"),
    Preset("Qwen/Qwen3-0.6B", "Qwen3 0.6B", "llama", "perplexity", 596.0, "main", "Apache-2.0"),
    Preset("huggyllama/llama-7b", "LLaMA 7B, the paper's", "llama", "perplexity", 6738.4, "main", "LLaMA research"),
    Preset("meta-llama/Llama-2-7b-hf", "Llama 2 7B, gated", "llama", "perplexity", 6738.4, "main", "Llama 2"),
    Preset("mistralai/Mistral-7B-v0.1", "Mistral 7B", "llama", "perplexity", 7241.7, "main", "Apache-2.0"),
    Preset("google-bert/bert-base-uncased", "BERT base, the paper's", "bert", None, 109.5, "main", "Apache-2.0"),
    Preset("FacebookAI/roberta-base", "RoBERTa base", "bert", None, 124.6, "main", "MIT"),
)


def revision_of(model: str) -> str | None:
    """Revision of the preset ``model``; None for any other id, which uses the Hub's default branch."""
    return next((preset.revision for preset in PRESETS if preset.id == model), None)
