"""Preset prompts, and the check of a prompt that a visitor wrote."""

from __future__ import annotations

from collections.abc import Mapping

from liar.errors import InvalidSpecError
from liar.presets import preset_of
from liar.spec import Task

_PROMPTS: Mapping[Task, tuple[str, ...]] = {
    "perplexity": (
        "What is the capital of France?",
        "How do plants make their food?",
        "Who invented the steam engine?",
    ),
    "sentiment": (
        "A warm, funny and quietly moving film.",
        "The plot makes no sense and the jokes fall flat.",
        "Not bad at all, though half an hour too long.",
    ),
    "topic": (
        "The orchestra played the symphony for the first time in Vienna.",
        "The river rises in the mountains and flows north to the sea.",
        "The striker scored twice in the final of the championship.",
    ),
}
"""Three prompts that suit the models of each task."""


def preset_prompts(model: str, *, writes: bool = True) -> list[str]:
    """Three prompts of the model's task, if a preset has one; else questions if the model ``writes``, else sentences."""
    preset = preset_of(model)
    task = preset.task if preset is not None else None
    return list(_PROMPTS[task or ("perplexity" if writes else "sentiment")])


def is_preset(prompt: str) -> bool:
    """Whether ``prompt`` is a preset or empty, so that a preset of another model may replace it."""
    return not prompt.strip() or any(prompt.strip() in prompts for prompts in _PROMPTS.values())


def read_prompt(text: str | None, most: int) -> str:
    """One prompt of one or more lines; raises :class:`InvalidSpecError` if empty or longer than ``most`` characters."""
    prompt = (text or "").strip()
    if not prompt:
        raise InvalidSpecError("The prompt is empty: write a sentence.")
    if len(prompt) > most:
        raise InvalidSpecError(f"The prompt is longer than {most:,} characters: shorten it.")
    return prompt
