"""The course as a static site: a page for each lesson that any web host, or none, serves.

A running page serves it too (``server/reading.py``). A file loads nothing from anywhere; its script and its style are inline,
and their hashes are its content security policy.

>>> from liar.course.site import pages
>>> sorted(pages())[:2]
['01-units.html', '02-weights.html']
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader
from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markupsafe import Markup

from liar.course.figures import Known, Shelf
from liar.course.lesson import STEPS, ChoiceBet, CurveBet, Lesson, NumberBet, filled, lesson_named, lessons
from liar.course.pictures import HEIGHT, WIDTH, Axes, drawn, plot
from liar.report.export import as_command
from liar.report.pages.html import ENVIRONMENT
from liar.report.pages.interactive import content_hash, curves_data, script_of
from liar.spec import ALLOCATIONS, MAX_RATIO, RECONSTRUCTIONS, PruneSpec

_HERE = Path(__file__).parent
_PAGES_OF_RUNS = _HERE.parent / "report" / "pages"
_PAGES = ENVIRONMENT.overlay(loader=FileSystemLoader([_HERE, _PAGES_OF_RUNS]))
_SHELF = Shelf()
_MARKDOWN = MarkdownIt("commonmark", {"html": False})


def _name_parts(state: StateCore) -> None:
    """Make a span of each link to a part of the page, which is text unless the lesson is read beside the page."""
    for block in state.tokens:
        tag = "a"
        for token in block.children or ():
            if token.type == "link_open":
                address = str(token.attrs["href"])
                tag = "span" if address.startswith("#") else "a"
                if tag == "span":
                    token.attrs = {"class": "part", "data-part": address[1:]}
            if token.type in ("link_open", "link_close"):
                token.tag = tag


_MARKDOWN.core.ruler.push("parts", _name_parts)


LISTS = ("index.html", "teachers.html", "bets.html")
"""Files about all lessons."""

_OF_A_FORECAST = {"model", "targets", "criterion", "allocation", "reconstruction", "ratio", "edits", "multiple"}
"""Choices of a recipe that its forecast depends on."""


PLAN: tuple[tuple[int, str, tuple[int, ...]], ...] = (
    (5, "The questions below, on paper, without answers.", ()),
    (20, "In pairs. Both bet aloud before they lock in; the gap is what to talk about.", (1, 2, 3, 6)),
    (10, "Together: hands up for each allocation before the answer is shown.", (8,)),
    (5, "The same questions again.", ()),
    (5, "What changed, and why: each names one thing believed before.", ()),
)
"""Minutes, what is done, and the numbers of the lessons that are read."""


def pages() -> dict[str, str]:
    """Content of each file by its name; raises as :func:`page`."""
    return {name: page(name) for name in names()}


def names() -> tuple[str, ...]:
    """Names of all files, those of the lessons first."""
    return (*(lesson.file for lesson in lessons()), *LISTS)


def page(name: str, home: str | None = None, font_faces: str = "") -> str:
    """Content of a file; with the address of a running page as ``home`` it links its recipes there.

    ``font_faces``: CSS that loads :data:`liar.report.plots.frame.FONTS` from that page's server; without it, the visitor's own
    copy of the font is taken.

    Raises :class:`liar.errors.StorageError` for a missing run, atlas or lesson, :class:`KeyError` for a name not of
    :func:`names`.
    """
    every, every_page = lessons(), {"home": home, "font_faces": font_faces}
    if name in LISTS:
        figures = {lesson.name: lesson.known(_SHELF) for lesson in every}
        listed = {**every_page, "lessons": every, "known": figures, "plan": PLAN}
        about: dict[str, dict[str, Any]] = {
            lesson.name: {"number": lesson.number, "title": lesson.title} for lesson in every
        }
        if name == "bets.html":
            about = {lesson.name: about[lesson.name] | _bet_data(lesson, figures[lesson.name]) for lesson in every}
        return _rendered(f"{name}.j2", listed, {"lessons": about})
    lesson = {lesson.file: lesson for lesson in every}[name]
    known, place = lesson.known(_SHELF), every.index(lesson)
    around = {"Lesson before": every[place - 1 : place], "Next lesson": every[place + 1 : place + 2]}
    shown = {
        **every_page,
        "beside": _beside(lesson, home),
        "lesson": lesson,
        "known": known,
        "steps": {step: STEPS[step] for step in lesson.steps},
        "formula": Markup(convert(lesson.formula, display="block")),
        "earlier": lesson_named(lesson.back.lesson) if lesson.back else None,
        "around": {words: (other, _beside(other, home)) for words, others in around.items() for other in others},
        "choices": {
            "allocation": ALLOCATIONS,
            "reconstruction": RECONSTRUCTIONS,
            "criterion": lesson.task.criteria,
        },
        "most": MAX_RATIO,
        "command": as_command(_start(lesson)) if lesson.task.measured else "",
    }
    return _rendered("lesson.html.j2", shown, _data(lesson, known))


def _start(lesson: Lesson) -> PruneSpec:
    """The recipe that the task begins with."""
    return _SHELF.spec(lesson.task.model, **lesson.task.start)


def _beside(lesson: Lesson, home: str | None) -> str | None:
    """Address of the running page at ``home`` with the recipe of the task and the lesson beside it."""
    if home is None:
        return None
    return f"{home}?{_start(lesson).to_query()}&{lesson.view.changed(beside=lesson.name).to_query()}"


def _data(lesson: Lesson, known: Mapping[str, Known]) -> dict[str, Any]:
    """What the script of a lesson reads: of its task also the curves, and how its recipe is written in the page's address."""
    task, start = lesson.task, _start(lesson)
    recipe = start.model_dump(mode="json", include=_OF_A_FORECAST)
    return {
        "name": lesson.name,
        "steps": lesson.steps,
        "bet": _bet_data(lesson, known),
        "back": lesson.back.right(known) if lesson.back else None,
        "task": {
            **task.model_dump(mode="json", include={"start", "checks", "measured"}),
            "recipe": {name: value for name, value in recipe.items() if name not in task.opens},
            "linked": PruneSpec().model_dump(mode="json"),  # what the links of the page omit
        },
        "curves": {} if task.measured else curves_data(start, _SHELF.atlas(task.model, **task.start), task.criteria),
    }


def _bet_data(lesson: Lesson, known: Mapping[str, Known]) -> dict[str, Any]:
    bet = lesson.bet
    base = bet.model_dump(mode="json", exclude={"answer", "options", "given", "wins"})
    match bet:
        case NumberBet(answer=answer):
            figure = known[answer]
            return base | {"answer": figure.shown, "unit": figure.unit, "digits": figure.digits}
        case ChoiceBet(options=options):
            return base | {"answer": bet.right(known), "options": list(options)}
        case CurveBet(answer=answer):
            axes = Axes(bet.high)
            corners = {"left": axes.x(0), "right": axes.x(1), "bottom": axes.y(0), "top": axes.y(bet.high)}
            return base | {"answer": known[answer].value[::10], "width": WIDTH, "height": HEIGHT, **corners}


def _answer_words(lesson: Lesson, known: Mapping[str, Known]) -> str:
    match lesson.bet:
        case NumberBet(answer=answer):
            return known[answer].words
        case ChoiceBet():
            return lesson.bet.right(known)
        case CurveBet():
            return filled(lesson.reveal.alt, known)


def _canvas(bet: CurveBet, known: Mapping[str, Known]) -> Markup:
    """The plot that a curve is drawn on, with the curves that are given."""
    return plot(Axes(bet.high), {label: known[name] for label, name in bet.given.items()})


def _html(text: str, known: Mapping[str, Known]) -> Markup:
    return Markup(_MARKDOWN.render(filled(text, known)))


_PAGES.filters = {
    **_PAGES.filters,
    "answer": _answer_words,
    "canvas": _canvas,
    "drawn": drawn,
    "filled": filled,
    "html": _html,
}


def _rendered(template: str, shown: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    scripts = [_PAGES_OF_RUNS / "forecast.js", _HERE / "course.js"]
    if template == "bets.html.j2":
        scripts.append(_HERE / "bets.js")
    style, script = f"{shown['font_faces']}{_style()}", script_of(*scripts)
    hashes = {"style_hash": content_hash(style), "script_hash": content_hash(script)}
    return _PAGES.get_template(template).render(shown, data=data, style=Markup(style), script=Markup(script), **hashes)


@cache
def _style() -> str:
    plain: dict[str, Any] = {"variants": (), "colours": {}}
    return "".join(_PAGES.get_template(name).render(plain) for name in ("report.css.j2", "course.css.j2"))
