"""The first stage of a run: the tokens that its texts do not need go, before any text is read for the others.

What it leaves is a model with a tokenizer of its own, on which the other stages calibrate.
"""

from __future__ import annotations

from liar.data.needed_tokens import needed_tokens, report_of_vocabulary
from liar.models.loaded import LoadedModel
from liar.models.vocabulary.vocabulary import with_vocabulary
from liar.results import VocabularyReport
from liar.spec import PruneSpec


def in_its_vocabulary(spec: PruneSpec, loaded: LoadedModel) -> tuple[LoadedModel, VocabularyReport | None]:
    """The model with the tokens of ``spec.vocabulary`` alone, which shares its other parameters with ``loaded``, and the
    report; the model itself if the recipe names no vocabulary.

    Raises the errors of :func:`liar.data.needed_tokens.needed_tokens`.
    """
    if spec.vocabulary is None:
        return loaded, None
    kept = needed_tokens(spec, loaded)
    return with_vocabulary(loaded, kept), report_of_vocabulary(spec, loaded, kept)
