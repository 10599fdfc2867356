"""Preset prompts, and the check of a prompt that a visitor wrote."""

from __future__ import annotations

from liar.errors import InvalidSpecError
from liar.presets import preset_of
from liar.tasks.record import HeadKind
from liar.tasks.registry import TASKS, task_named


def preset_prompts(model: str, kind: HeadKind | None = None) -> list[str]:
    """Three prompts of the model's task, if a preset has one; else those of the first task of this ``kind``."""
    preset = preset_of(model)
    named = task_named(preset.task) if preset is not None and preset.task is not None else None
    first = next(task for task in TASKS if task.prompts and task.head == (kind or "language-model"))
    return list((named or first).prompts)


def is_preset(prompt: str) -> bool:
    """Whether ``prompt`` is a preset or empty, so that a preset of another model may replace it."""
    return not prompt.strip() or any(prompt.strip() in task.prompts for task in TASKS)


def read_prompt(text: str | None, most: int) -> str:
    """One prompt of one or more lines; raises :class:`InvalidSpecError` if empty or longer than ``most`` characters."""
    prompt = (text or "").strip()
    if not prompt:
        raise InvalidSpecError("The prompt is empty: write a sentence.")
    if len(prompt) > most:
        raise InvalidSpecError(f"The prompt is longer than {most:,} characters: shorten it.")
    return prompt
