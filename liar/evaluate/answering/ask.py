"""One prompt for every variant of a run, answered piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count

from liar.evaluate.answering.generate import MAX_NEW_TOKENS, Piece, generate_steps
from liar.events import Progress
from liar.models.variants import Variants
from liar.progress import Pace, Part, relay_all
from liar.results import VARIANTS, Generation, Variant
from liar.runtime.environment import readable_failures

_PIECES = 8
"""New tokens between two reports of progress."""


@dataclass(frozen=True, slots=True)
class PartialAnswer:
    """The next piece of text that a variant generates."""

    variant: Variant
    text: str


def ask(
    variants: Variants, prompt: str, *, max_new_tokens: int = MAX_NEW_TOKENS, temperature: float = 0.0, seed: int = 0
) -> Generator[Progress | PartialAnswer | Generation, None, None]:
    """Give ``prompt`` to every available variant, one after the other, with the same settings.

    A language model yields each piece, then the whole :class:`Generation`; a classifier yields the generation with its
    probabilities. Closing the iterator stops between two pieces. Raises what
    :func:`liar.evaluate.answering.generate.generate_steps` raises, and :class:`liar.errors.InsufficientMemoryError`.
    """
    present = [variant for variant in VARIANTS if variant != "dense" or variants.dense is not None]
    pace = Pace([Part(variant, 1.0, "generate") for variant in present])
    with readable_failures():
        for done, variant in enumerate(present):
            at = partial(pace.at, variant, "generate", done, len(present), f"The {variant} model answers")
            yield at(fraction=0.0)
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
                yield (yield from relay_all(steps, partial(_reports, variant, at, max_new_tokens, count(1))))


def _reports(
    variant: Variant, at: Callable[..., Progress], most: int, numbers: Iterator[int], piece: Piece
) -> Iterator[Progress | PartialAnswer]:
    """The text of the next piece of an answer of at most ``most`` tokens, and after some of them progress."""
    yield PartialAnswer(variant, piece.text)
    if (number := next(numbers)) % _PIECES == 0:
        yield at(fraction=number / most)
