"""The card of a link: what a chat shows of a state of the page, and its picture as a PNG of fixed size."""

from __future__ import annotations

from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import gradio as gr
from PIL import Image, ImageDraw, ImageFont

from liar.report.plots.frame import VARIANT_COLOURS
from liar.results import Variant

SIZE = WIDTH, HEIGHT = 1200, 630
"""Pixels of a picture: what chats ask for."""

MOST_KEPT = 64
"""Pictures in memory, some 30 kB each."""

_FONTS = Path(gr.__file__).parent / "templates" / "frontend" / "static" / "fonts" / "IBMPlexSans"
_INK, _QUIET, _GROUND = "#0f172a", "#475569", "#f8fafc"
_LEFT, _LABELS, _NUMBERS = 70, 190, 190
_BAR_HEIGHT, _BAR_STEP = 52, 84
_MOST_LINES = 3

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Bar(NamedTuple):
    """``share``: length of the bar, 0 to 1."""

    label: str
    variant: Variant
    words: str
    share: float


class Card(NamedTuple):
    """Title, sentence and bars of a state; ``is_measured``: they are of a run, else they are interpolated."""

    title: str
    sentence: str
    bars: tuple[Bar, ...] = ()
    is_measured: bool = True


@lru_cache(maxsize=MOST_KEPT)
def picture_of(card: Card) -> bytes:
    """PNG of :data:`SIZE`: the title, a bar for each model, and the sentence; interpolated bars have an outline alone."""
    image = Image.new("RGB", SIZE, _GROUND)
    draw = ImageDraw.Draw(image)
    title = _font("Bold", 54)
    for place, line in enumerate(_lines(card.title, title)[:_MOST_LINES]):
        draw.text((_LEFT, 56 + 68 * place), line, _INK, title)
    words, number, first = _font("Regular", 36), _font("Bold", 36), HEIGHT - 110 - _BAR_STEP * len(card.bars)
    start, longest = _LEFT + _LABELS + _NUMBERS, WIDTH - 2 * _LEFT - _LABELS - _NUMBERS
    for place, bar in enumerate(card.bars):
        top = first + _BAR_STEP * place
        middle, colour = top + _BAR_HEIGHT / 2, VARIANT_COLOURS[bar.variant]
        draw.text((_LEFT, middle), bar.label, _INK, words, anchor="lm")
        draw.text((start - 24, middle), bar.words, _INK, number, anchor="rm")
        box = (start, top, start + max(6, longest * bar.share), top + _BAR_HEIGHT)
        draw.rounded_rectangle(box, 4, colour if card.is_measured else None, colour, width=4)
    draw.text((_LEFT, HEIGHT - 62), _lines(card.sentence, small := _font("Regular", 28))[0], _QUIET, small, anchor="lm")
    written = BytesIO()
    image.save(written, "PNG", optimize=True)
    return written.getvalue()


@cache
def _font(weight: str, size: int) -> Font:
    """The page's own typeface; that of Pillow if Gradio has it elsewhere."""
    try:
        return ImageFont.truetype(str(_FONTS / f"IBMPlexSans-{weight}.woff2"), size)
    except OSError:
        return ImageFont.load_default(size)


def _lines(text: str, font: Font) -> list[str]:
    """``text`` in lines that fit beside the margins; a longer word stays whole."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) > WIDTH - 2 * _LEFT and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
