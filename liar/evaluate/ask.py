"""One prompt for every variant of a run, answered piece by piece."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from liar.evaluate.generate import MAX_NEW_TOKENS, EditedAnswer, edits_that_flip, generate_steps
from liar.events import Progress
from liar.models.environment import readable_failures
from liar.models.variants import Variants
from liar.progress import Pace, Part
from liar.results import VARIANTS, Generation, Variant

_PIECES = 8
"""New tokens between two reports of progress."""


@dataclass(frozen=True, slots=True)
class Heard:
    """The next piece of text that a variant generates."""

    variant: Variant
    text: str


@dataclass(frozen=True, slots=True)
class Edited:
    """Labels that a variant of a classifier gives to the sentence after each small edit."""

    variant: Variant
    answers: list[EditedAnswer]


def ask(
    variants: Variants, prompt: str, *, max_new_tokens: int = MAX_NEW_TOKENS, temperature: float = 0.0, seed: int = 0
) -> Generator[Progress | Heard | Generation | Edited, None, None]:
    """Give ``prompt`` to every available variant, one after the other, with the same settings.

    A language model yields each piece, then the whole :class:`Generation`; a classifier yields the generation with its
    probabilities, then :class:`Edited`. Closing the iterator stops between two pieces. Raises what
    :func:`liar.evaluate.generate.generate_steps` raises, and :class:`liar.errors.InsufficientMemoryError`.
    """
    present = [variant for variant in VARIANTS if variant != "dense" or variants.dense is not None]
    pace = Pace([Part(variant, 1.0, "generate") for variant in present])
    with readable_failures():
        for done, variant in enumerate(present):
            words = f"The {variant} model answers"
            yield pace.at(variant, "generate", done, len(present), words, fraction=0.0)
            with variants.using(variant) as loaded:
                steps = generate_steps(
                    loaded,
                    prompt,
                    variant,
                    max_new_tokens=max_new_tokens,
                    temperature=temperature,
                    seed=seed,
                    dense=variants.dense,
                )
                heard = 0
                while True:
                    try:
                        piece = next(steps)
                    except StopIteration as stop:
                        generation: Generation = stop.value
                        break
                    yield Heard(variant, piece.text)
                    heard += 1
                    if heard % _PIECES == 0:
                        reached = heard / max_new_tokens
                        yield pace.at(variant, "generate", done, len(present), words, fraction=reached)
                yield generation
                if generation.probabilities is not None:
                    yield Edited(variant, edits_that_flip(loaded, prompt))
