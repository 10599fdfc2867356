"""Sentences about whole layers that went.

>>> from liar.report.words.layer_sentences import named
>>> named([13, 14, 15]), named([4])
('layers 13 to 15', 'layer 4')
"""

from __future__ import annotations

from collections.abc import Sequence

from liar.choices import Reconstruction
from liar.report.words.site_sentences import error_words
from liar.results import SiteReport


def removed_layers(sites: Sequence[SiteReport]) -> list[int]:
    """Indices of the layers of which nothing is kept, ascending; for the ``sites`` of a removal of whole layers."""
    return sorted({site.layer for site in sites if site.kept == 0})


def named(layers: Sequence[int]) -> str:
    """``layers 13 to 18`` for consecutive layers."""
    return f"layer {layers[0]}" if len(layers) == 1 else f"layers {layers[0]} to {layers[-1]}"


def what_went(sites: Sequence[SiteReport], reconstruction: Reconstruction) -> str:
    """Sentence on the layers that went and on what replaces them; of a removal of whole layers."""
    gone = removed_layers(sites)
    if not gone:
        return "No layer went: the ratio is nearest to none."
    patched = next((site for site in sites if site.error), None)
    name = named(gone)
    words = f"{name[0].upper()}{name[1:]} went"
    if patched is None:
        return f"{words}."
    error, bare = (patched.norm_aware_error.get(each) for each in (reconstruction, "none"))
    if reconstruction == "none":
        return f"{words}, and nothing replaces them: the norm-aware error behind them is {error_words(bare)}."
    return (
        f"{words}, and layer {patched.layer} replaces them: the norm-aware error of the residual stream behind them is "
        f"{error_words(error)}, and {error_words(bare)} without the patch."
    )
