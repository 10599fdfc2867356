"""The prompts the page starts with, and the reading of what somebody wrote in their place."""

from __future__ import annotations

from liar.errors import InvalidSpecError

MAX_PROMPTS = 3
MAX_CHARACTERS = 2_000

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


def preset_prompts(model: str) -> list[str]:
    """Three prompts that suit the model: sentences to label, else questions to answer."""
    return list(_BY_MODEL.get(model, _QUESTIONS))


def read_prompts(text: str | None) -> list[str]:
    """The non-empty lines of ``text``; raises :class:`InvalidSpecError` for more or longer ones than the page shows."""
    prompts = list(dict.fromkeys(line.strip() for line in (text or "").splitlines() if line.strip()))
    if len(prompts) > MAX_PROMPTS:
        raise InvalidSpecError(f"There are {len(prompts)} prompts and room for {MAX_PROMPTS}: remove some lines.")
    if any(len(prompt) > MAX_CHARACTERS for prompt in prompts):
        raise InvalidSpecError(f"A prompt is longer than {MAX_CHARACTERS:,} characters: shorten it.")
    return prompts
