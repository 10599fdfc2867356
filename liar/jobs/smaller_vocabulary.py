"""The first stage of a run: the tokens that its texts do not need go, before any text is read for the others.

What it leaves is a model with a tokenizer of its own, on which the other stages calibrate.
"""

from __future__ import annotations

from collections.abc import Generator

from liar.data.needed_tokens import needed_tokens_steps, report_of_vocabulary
from liar.events import Progress
from liar.models.loaded import LoadedModel
from liar.models.vocabulary.vocabulary import with_vocabulary
from liar.progress import relay
from liar.results import VocabularyReport
from liar.spec import PruneSpec


def in_its_vocabulary(
    spec: PruneSpec, loaded: LoadedModel
) -> Generator[Progress, None, tuple[LoadedModel, VocabularyReport | None]]:
    """The model with the tokens of ``spec.vocabulary`` alone, which shares its other parameters with ``loaded``, and the
    report; the model itself if the recipe names no vocabulary.

    Raises the errors of :func:`liar.data.needed_tokens.needed_tokens_steps`.
    """
    if spec.vocabulary is None:
        return loaded, None
    steps = needed_tokens_steps(spec, loaded)
    kept = yield from relay(steps, lambda texts: Progress("calibrate", 0, 0, f"Counting the tokens of {texts:,} texts"))
    return with_vocabulary(loaded, kept), report_of_vocabulary(spec, loaded, kept)
