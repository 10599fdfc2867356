"""The course as a static site: a page for each lesson that any web host, or none, serves.

A running page serves it too (``server/course.py``). A file loads nothing from anywhere; its script and its style are inline,
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
from liar.course.lesson import STEPS, ChoiceBet, CurveBet, Lesson, NumberBet, best, filled, lessons
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


LISTS = ("index.html", "teachers.html")
"""Files about all lessons."""

_OF_A_FORECAST = {"model", "targets", "criterion", "allocation", "reconstruction", "ratio", "edits", "multiple"}
"""Choices of a recipe that its forecast depends on."""


def pages() -> dict[str, str]:
    """Content of each file by its name; raises as :func:`page`."""
    return {name: page(name) for name in names()}


def names() -> tuple[str, ...]:
    """Names of all files, those of the lessons first."""
    return (*map(file_of, lessons()), *LISTS)


def page(name: str, home: str | None = None) -> str:
    """Content of a file; with the address of a running page as ``home`` it links its recipes there.

    Raises :class:`liar.errors.StorageError` for a missing run, atlas or lesson, :class:`KeyError` for a name not of
    :func:`names`.
    """
    if name in LISTS:
        shown = {"home": home, "lessons": [_facts(lesson, lesson.known(_SHELF)) for lesson in lessons()]}
        return _rendered(f"{name}.j2", shown, {"lessons": {lesson.name: file_of(lesson) for lesson in lessons()}})
    return _lesson_page({file_of(lesson): lesson for lesson in lessons()}[name], home)


def file_of(lesson: Lesson) -> str:
    """``01-units.html``."""
    return f"{lesson.number:02}-{lesson.name}.html"


def _facts(lesson: Lesson, known: Mapping[str, Known]) -> dict[str, Any]:
    """What the lists of all lessons show of one."""
    return {
        "file": file_of(lesson),
        "number": lesson.number,
        "title": lesson.title,
        "minutes": lesson.minutes,
        "misconception": filled(lesson.misconception, known),
        "claim": filled(lesson.claim, known),
        "question": _html(lesson.texts["bet"], known),
        "options": list(lesson.bet.options) if isinstance(lesson.bet, ChoiceBet) else [],
        "answer": _answer_words(lesson, known),
        "solution": ", ".join(f"{name} {value}" for name, value in lesson.task.solution.items()),
        "takeaway": filled(lesson.takeaway, known),
    }


def _answer_words(lesson: Lesson, known: Mapping[str, Known]) -> str:
    match lesson.bet:
        case NumberBet(answer=answer):
            return known[answer].words
        case ChoiceBet(options=options, wins=wins):
            return best(options, wins, known)
        case CurveBet():
            return filled(lesson.reveal.alt, known)


def _lesson_page(lesson: Lesson, home: str | None) -> str:
    known, every, bet, task = lesson.known(_SHELF), lessons(), lesson.bet, lesson.task
    before, after = (None, *every)[every.index(lesson)], (*every, None)[every.index(lesson) + 1]
    shown = {
        "home": home,
        "beside": _beside(lesson, home),
        "lesson": lesson,
        "steps": {step: STEPS[step] for step in lesson.steps},
        "texts": {name: _html(text, known) for name, text in lesson.texts.items()},
        "pictures": {"look": drawn(lesson.look, known), "reveal": drawn(lesson.reveal, known)},
        "takeaway": filled(lesson.takeaway, known),
        "formula": Markup(convert(lesson.formula, display="block")),
        "unit": known[bet.answer].unit if isinstance(bet, NumberBet) else "",
        "canvas": _canvas(bet, known) if isinstance(bet, CurveBet) else "",
        "earlier": next((each for each in every if lesson.back and each.name == lesson.back.lesson), None),
        "around": {
            words: {"file": file_of(other), "beside": _beside(other, home)}
            for words, other in (("Lesson before", before), ("Next lesson", after))
            if other is not None
        },
        "choices": {"allocation": ALLOCATIONS, "reconstruction": RECONSTRUCTIONS, "criterion": task.criteria},
        "most": MAX_RATIO,
        "command": as_command(_start(lesson)) if task.measured else "",
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
        "back": best(lesson.back.options, lesson.back.wins, known) if lesson.back else None,
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
        case ChoiceBet(options=options, wins=wins):
            return base | {"answer": best(options, wins, known)}
        case CurveBet(answer=answer):
            axes = Axes(bet.high)
            corners = {"left": axes.x(0), "right": axes.x(1), "bottom": axes.y(0), "top": axes.y(bet.high)}
            return base | {"answer": known[answer].value[::10], "width": WIDTH, "height": HEIGHT, **corners}


def _canvas(bet: CurveBet, known: Mapping[str, Known]) -> Markup:
    """The plot that a curve is drawn on, with the curves that are given."""
    return plot(Axes(bet.high), {label: known[name] for label, name in bet.given.items()})


def _html(text: str, known: Mapping[str, Known]) -> Markup:
    return Markup(_MARKDOWN.render(filled(text, known)))


def _rendered(template: str, shown: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    style, script = _style(), script_of(_PAGES_OF_RUNS / "forecast.js", _HERE / "course.js")
    hashes = {"style_hash": content_hash(style), "script_hash": content_hash(script)}
    return _PAGES.get_template(template).render(shown, data=data, style=Markup(style), script=Markup(script), **hashes)


@cache
def _style() -> str:
    plain: dict[str, Any] = {"variants": (), "colours": {}}
    return "".join(_PAGES.get_template(name).render(plain) for name in ("report.css.j2", "course.css.j2"))
