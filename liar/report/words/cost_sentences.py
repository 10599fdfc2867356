"""Savings of a smaller model as sentences and table rows, for the page, the command line and docs/results/cost.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from liar.report.costs import CostsResult, SpeedComparison
from liar.report.words.metric_sentences import counts, percent, share_gone
from liar.results import Quartiles, SpeedGain, Workload

DOING: Mapping[Workload, str] = {
    "prompt": "at reading a prompt",
    "decoding": "at writing",
    "text": "with one text at a time",
    "batch": "with texts in batches",
}

NEGLIGIBLE = 0.02
"""Shares below this count as zero: timed against itself, a model differs by a percent in most turns."""

_WIDE = 0.25
"""Quartiles farther apart than this share of the median measure the machine rather than the model."""

_WIDE_AROUND_ONE = 0.1
"""Limit of the absolute distance of the quartiles if 1 lies between them: those of equally fast models are closer."""

_ONE_BY_ONE: tuple[Workload, ...] = ("decoding", "text")
"""Work in which a layer computes little at once."""

_MULTIPLE = 8
"""Kernels compute multiples of this many numbers at once: an AVX vector in fp32, a tensor tile in half precision."""


Row = tuple[str, str, str, str]
"""One cost with its unit, its value for each model, and the change."""


def rows(result: CostsResult) -> list[Row]:
    """Table rows of everything measured: costs, then speeds with their quartiles."""
    dense, pruned = result.dense, result.pruned
    known = dense.bytes_on_disk or pruned.bytes_on_disk
    return [
        _number_row("parameters", dense.model.parameters, pruned.model.parameters),
        _number_row(f"MACs a token, {result.context:,} in sight", dense.macs_per_token, pruned.macs_per_token),
        _byte_row("bytes in memory", dense.bytes_in_memory, pruned.bytes_in_memory),
        *([_byte_row("bytes on disk", dense.bytes_on_disk, pruned.bytes_on_disk)] if known else []),
        *(_speed_row(speed, result.context) for speed in result.speeds),
    ]


def sentences(result: CostsResult) -> list[str]:
    """Sentences on the savings, on each speed (with the reason if there is no gain), and on large embeddings."""
    return [_saved(result), *(_speed(speed, result) for speed in result.speeds), *_embeddings(result)]


# -- words --------------------------------------------------------------------------------------------------------------


def _saved(result: CostsResult) -> str:
    dense, pruned = result.dense, result.pruned
    shares = {
        "parameters": share_gone(dense.model.parameters, pruned.model.parameters),
        "multiplications a token": share_gone(dense.macs_per_token, pruned.macs_per_token),
        "bytes in memory": share_gone(dense.bytes_in_memory, pruned.bytes_in_memory),
    }
    fewer = [f"{name} ({percent(share)})" for name, share in shares.items() if share >= NEGLIGIBLE]
    return f"Fewer {', '.join(fewer)}." if fewer else "Nothing was saved: both models are of one size."


def _speed(speed: SpeedComparison, result: CostsResult) -> str:
    doing, gain, found = DOING[speed.work], speed.gain, trend(speed.gain)
    if found == "noisy":
        return (
            f"How fast it is {doing} is not known: half of the turns lie between {gain.lower:.2f} and {gain.upper:.2f} times "
            "as fast; repeat it more often, or on a machine that does nothing else."
        )
    if found == "faster":
        return f"{gain.median:.2f} times as fast {doing}."
    result_words = f"Slower ({gain.median:.2f} times as fast)" if found == "slower" else "Not measurably faster"
    return f"{result_words} {doing}: {_why(speed, result)}"


def _why(speed: SpeedComparison, result: CostsResult) -> str:
    """Likeliest reason for no gain that the figures do not rule out."""
    if result.pruned.rounded and not result.dense.rounded:
        return "weights of eight bits are turned back before every product, which takes time; what they save is memory."
    fewer = share_gone(result.dense.macs_per_token, result.pruned.macs_per_token)
    if fewer < NEGLIGIBLE:
        return "it multiplies hardly less than the dense one."
    if trend(speed.gain) != "slower" and speed.gain.upper >= 1 / (1 - fewer):
        return (
            f"the turns differ by more than {percent(fewer)} fewer multiplications can bring; repeat it more often, or "
            "on a machine that does nothing else."
        )
    odd = [width for width in result.pruned.widths if width % _MULTIPLE]
    if odd:
        are = "is" if len(odd) == 1 else "are"
        return (
            f"{len(odd)} of its {len(result.pruned.widths)} widths ({', '.join(map(str, odd[:3]))}) {are} no multiple of "
            f"{_MULTIPLE}, which slows kernels down."
        )
    if speed.work in _ONE_BY_ONE:
        return (
            f"its {result.pruned.model.layers} layers each cost a fixed time, whatever their width, and with so little to do "
            "at once that is most of it; fewer layers or larger batches would help, narrower layers do not."
        )
    return "the time goes elsewhere than into the layers that became narrower."


def _embeddings(result: CostsResult) -> list[str]:
    share = result.pruned.embedding_parameters / result.pruned.model.parameters
    if share <= 0.5:
        return []
    return [f"Embeddings, which pruning leaves alone, are {percent(share)} of what is left, so little more can go."]


# -- speed ------------------------------------------------------------------------------------------------------------


def trend(gain: Quartiles) -> Literal["noisy", "faster", "slower", "alike"]:
    """Whether the second model was faster or slower in three turns of four, and by more than :data:`NEGLIGIBLE`; noisy if the
    turns differ too much from each other for a conclusion.
    """
    width = gain.upper - gain.lower
    if width > _WIDE * gain.median or (gain.lower < 1 < gain.upper and width > _WIDE_AROUND_ONE):
        return "noisy"
    if gain.lower > 1 and gain.median > 1 + NEGLIGIBLE:
        return "faster"
    return "slower" if gain.upper < 1 and gain.median < 1 - NEGLIGIBLE else "alike"


def speed_words(item: SpeedGain) -> str:
    """``1.41 times as fast at reading a prompt (1.38 to 1.46 in turns)``, or that no difference could be measured."""
    gain, doing = item.gain, DOING[item.work]
    spread = f"{gain.lower:.2f} to {gain.upper:.2f}"
    if trend(gain) == "noisy":
        return f"the machine was too noisy to measure how fast ({spread} times in turns)"
    if trend(gain) != "alike":
        return f"{'slower: ' if gain.median < 1 else ''}{gain.median:.2f} times as fast {doing} ({spread} in turns)"
    return f"not measurably faster {doing} ({spread} times in turns)"


# -- rows ---------------------------------------------------------------------------------------------------------------


def _number_row(name: str, before: int, after: int) -> Row:
    return (name, *counts(before, after), _change(before, after))


def _byte_row(name: str, before: int | None, after: int | None) -> Row:
    dense, pruned = (f"{size / 1e6:,.1f} MB" if size else "—" for size in (before, after))
    return (name, dense, pruned, _change(before, after) if before and after else "—")


def _speed_row(speed: SpeedComparison, context: int) -> Row:
    name, each = {
        "prompt": (f"tokens a second, reading {speed.tokens:,}", 1),
        "decoding": (f"tokens a second, writing {speed.tokens:,} after {context:,}", 1),
        "text": (f"texts of {speed.tokens:,} tokens a second", speed.tokens),
        "batch": (f"the same, {speed.sequences} at once", speed.tokens),
    }[speed.work]
    dense, pruned = (_quartiles(rate, each) for rate in (speed.dense, speed.pruned))
    gain = speed.gain
    return (name, dense, pruned, f"{gain.median:.2f} x ({gain.lower:.2f} to {gain.upper:.2f})")


def _quartiles(rate: Quartiles, each: int) -> str:
    """``812 (790 to 820)``: median and quartiles, with one decimal below 100."""
    digits = 0 if rate.median / each >= 100 else 1
    lower, median, upper = (f"{value / each:,.{digits}f}" for value in (rate.lower, rate.median, rate.upper))
    return f"{median} ({lower} to {upper})"


def _change(before: int, after: int) -> str:
    change = round(100 * (after / before - 1))
    sign = "+" if change > 0 else "\N{MINUS SIGN}" if change < 0 else ""
    return f"{sign}{abs(change)} %"
