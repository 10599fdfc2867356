"""Preset prompts, and the check of a prompt that a visitor wrote."""

from __future__ import annotations

from liar.errors import InvalidSpecError

_QUESTIONS = (
    "What is the capital of France?",
    "How do plants make their food?",
    "Who invented the steam engine?",
)
_SENTIMENT = (
    "A warm, funny and quietly moving film.",
    "The plot makes no sense and the jokes fall flat.",
    "Not bad at all, though half an hour too long.",
)
_TOPIC = (
    "The orchestra played the symphony for the first time in Vienna.",
    "The river rises in the mountains and flows north to the sea.",
    "The striker scored twice in the final of the championship.",
)
_BY_MODEL = {"demo/minilm-sentiment": _SENTIMENT, "demo/minilm-topic": _TOPIC}


def preset_prompts(model: str, *, writes: bool = True) -> list[str]:
    """Three prompts that suit the model: questions to answer if it ``writes``, else sentences to label."""
    return list(_BY_MODEL.get(model, _QUESTIONS if writes else _SENTIMENT))


def is_preset(prompt: str) -> bool:
    """Whether ``prompt`` is a preset or empty, so that a preset of another model may replace it."""
    return prompt.strip() in ("", *_QUESTIONS, *_SENTIMENT, *_TOPIC)


def read_prompt(text: str | None, most: int) -> str:
    """One prompt of one or more lines; raises :class:`InvalidSpecError` if empty or longer than ``most`` characters."""
    prompt = (text or "").strip()
    if not prompt:
        raise InvalidSpecError("The prompt is empty: write a sentence.")
    if len(prompt) > most:
        raise InvalidSpecError(f"The prompt is longer than {most:,} characters: shorten it.")
    return prompt
