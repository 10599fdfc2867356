"""A lesson as data: what a learner believes at first, a bet on a figure, its answer, a task, and what stays.

A lesson is a Markdown file of :data:`FOLDER`: a TOML head between lines of ``+++``, then one section of text for each of
:data:`TEXTS`. ``{name}`` in a text stands for the words of a figure, ``[the slider](#ratio)`` names a part of the page, of
:data:`liar.report.view.NAMED`, that is lit if the lesson is read beside the page.

>>> from liar.course.lesson import lessons
>>> [lesson.number for lesson in lessons()] == list(range(1, len(lessons()) + 1))
True
>>> lessons()[0].bet.kind
'number'
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from liar.choices import Reconstruction
from liar.course.figures import Known, Shelf, Unit
from liar.course.lesson_figures import FIGURES
from liar.errors import StorageError
from liar.report.view import NAMED, View

FOLDER = Path(__file__).with_name("lessons")

_TITLES = ("Look", "Your bet", "The answer", "Break and mend", "From before", "To keep")
STEPS = dict(zip(("look", "bet", "reveal", "task", "back", "keep"), _TITLES, strict=True))
"""Steps of every lesson with their titles, in order; a lesson without an earlier one has no ``back``."""

TEXTS = ("look", "bet", "reveal", "hit", "near", "far", "task", "solved", "back", "why back", "keep")
"""Sections of a lesson's text. ``hit``, ``near`` and ``far`` are the sentences on a bet, by how far off it was; a choice is
right or far off."""

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_PART = re.compile(r"\]\(#([a-z-]*)\)")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Picture(_Record):
    """Figures by their labels: ``bars`` of numbers, ``curves`` over the ratio with points at ``marks``, ``columns`` over the
    layers, ``stacks`` of layers, one ``matrix``, or a drawing of :mod:`liar.course.matrix_pictures`.

    ``alt`` says in words what it shows; bars have their numbers beside them.
    """

    kind: Literal["bars", "curves", "columns", "stacks", "matrix", "units", "product", "cuts"]
    title: str
    alt: str = ""
    shown: dict[str, str]
    marks: dict[str, str] = {}


class NumberBet(_Record):
    """Guess the figure ``answer``, between ``low`` and ``high``; a guess at most ``hit`` off is right, at most ``near`` close.

    Bounds and steps are in the unit that the figure is shown in: percent for a share.
    """

    kind: Literal["number"]
    answer: str
    low: float
    high: float
    step: float
    hit: float
    near: float


class _Choice(_Record):
    """Labels with their figures; the right one is that whose figure is the ``wins`` of all."""

    options: dict[str, str]
    wins: Literal["largest", "smallest"]

    def right(self, known: Mapping[str, Known]) -> str:
        """The right label."""
        chosen = max if self.wins == "largest" else min
        return chosen(self.options, key=lambda label: float(known[self.options[label]].value))


class ChoiceBet(_Choice):
    """Choose the right label."""

    kind: Literal["choice"]


class CurveBet(_Record):
    """Draw the curve ``answer`` over the ratio, beside those ``given``; the gap is the mean distance at the tens of percent."""

    kind: Literal["curve"]
    answer: str
    given: dict[str, str]
    high: float
    hit: float
    near: float


Bet = Annotated[NumberBet | ChoiceBet | CurveBet, Field(discriminator="kind")]

Choice = Literal["ratio", "allocation", "reconstruction", "criterion"]


class Check(_Record):
    """A condition of a task: bounds of the share of the blocks' parameters that goes, of an ``error``, of the divergence that
    the curves predict in nats, or of the ``metric`` that a run measured of the repaired model.

    ``site``: that of the error, None for the mean over all. ``repair``: that of the error, None for the one of the recipe.
    ``task``: that of the metric, None for the first one.
    """

    title: str
    of: Literal["blocks", "error", "divergence", "metric"]
    site: str | None = None
    repair: Reconstruction | None = None
    task: str | None = None
    at_most: float | None = None
    at_least: float | None = None
    unit: Unit = ""
    digits: int = 2

    @property
    def bound_words(self) -> str:
        """``45 %``, ``0.15``."""
        bound = self.at_most if self.at_least is None else self.at_least
        return Known(bound, self.unit, self.digits).words


class Task(_Record):
    """A recipe of ``model`` that is at ``start`` and must be brought to meet the ``checks``, with some of its choices open.

    The checks read a forecast, of a ``measured`` task a finished run: only those need the model.
    """

    model: str
    measured: bool = False
    start: dict[str, Any]
    solution: dict[str, Any]
    opens: tuple[Choice, ...]
    criteria: tuple[str, ...] = ()
    checks: tuple[Check, ...]


class Back(_Choice):
    """A question on an earlier lesson."""

    lesson: str


class Question(_Record):
    """A question on the idea of a lesson, for before and after the course; its ``answer`` is one of the ``options``."""

    asks: str
    options: tuple[str, ...]
    answer: str
    why: str

    @model_validator(mode="after")
    def _has_its_answer(self) -> Question:
        if self.answer not in self.options:
            raise ValueError(f"{self.answer!r} is none of the options")
        return self


class Source(_Record):
    words: str
    url: str


class Lesson(_Record):
    """A lesson: what its TOML head has, its number and name from the file's name, and its texts by section.

    ``view`` is the page that it is read beside. ``unit_picture`` follows the first words; ``formula_picture`` leads from what
    is to keep in words to the formula.
    """

    number: int
    name: str
    texts: dict[str, str]
    title: str
    minutes: int
    misconception: str
    claim: str
    look: Picture
    bet: Bet
    reveal: Picture
    task: Task
    view: View = View()
    back: Back | None = None
    question: Question | None = None
    unit_picture: Picture | None = None
    formula_picture: Picture | None = None
    takeaway: str
    formula: str
    shapes: str
    sources: tuple[Source, ...]

    @model_validator(mode="after")
    def _is_whole(self) -> Lesson:
        left_out = {"near"} if self.bet.kind == "choice" else set()
        left_out |= set() if self.back else {"back", "why back"}
        missing = [name for name in TEXTS if name not in {*self.texts, *left_out}]
        unknown = [name for name in self.texts if name not in TEXTS]
        if missing or unknown:
            raise ValueError(f"sections missing: {missing}, unknown: {unknown}")
        if self.name not in FIGURES:
            raise ValueError(f"no figures of {self.name} in lesson_figures.py")
        if dark := sorted(set(_PART.findall("".join(self.texts.values()))) - set(NAMED)):
            raise ValueError(f"no such parts of the page: {dark}")
        return self

    @property
    def file(self) -> str:
        """Name of its page: ``01-units.html``."""
        return f"{self.number:02}-{self.name}.html"

    @property
    def pictures(self) -> tuple[Picture, ...]:
        every = (self.unit_picture, self.look, self.reveal, self.formula_picture)
        return tuple(picture for picture in every if picture is not None)

    @property
    def named(self) -> set[str]:
        """Names of the figures that the texts, the pictures, the bet and the question show."""
        words = [text for picture in self.pictures for text in (picture.title, picture.alt)]
        texts = [*self.texts.values(), self.misconception, self.claim, self.takeaway, *words]
        shown = {name for picture in self.pictures for name in (*picture.shown.values(), *picture.marks.values())}
        if self.back:
            shown.update(self.back.options.values())
        match self.bet:
            case NumberBet(answer=answer):
                shown.add(answer)
            case ChoiceBet(options=options):
                shown.update(options.values())
            case CurveBet(answer=answer, given=given):
                shown |= {answer, *given.values()}
        return shown.union(*map(_PLACEHOLDER.findall, texts))

    @property
    def steps(self) -> tuple[str, ...]:
        return tuple(step for step in STEPS if step != "back" or self.back is not None)

    def known(self, shelf: Shelf) -> dict[str, Known]:
        """All figures with their values; raises :class:`StorageError` if a run or an atlas is missing, or a figure."""
        found = FIGURES[self.name](shelf)
        if lost := sorted(self.named - set(found)):
            raise StorageError(f"The lesson {self.name} names figures that it does not have: {', '.join(lost)}.")
        return found


def filled(text: str, known: Mapping[str, Known]) -> str:
    """``text`` with the words of its figures."""
    return _PLACEHOLDER.sub(lambda match: known[match[1]].words.replace(" ", "\u00a0"), text)


@cache
def lessons() -> tuple[Lesson, ...]:
    """All lessons in order; raises :class:`StorageError` for a file that is none."""
    return tuple(read(path) for path in sorted(FOLDER.glob("*.md")))


def lesson_named(name: str) -> Lesson | None:
    """The lesson of this name; None if there is none."""
    return next((lesson for lesson in lessons() if lesson.name == name), None)


def read(path: Path) -> Lesson:
    """The lesson in a file ``NN-name.md``; raises :class:`StorageError` if it is none."""
    number, _, name = path.stem.partition("-")
    try:
        _, head, body = path.read_text(encoding="utf-8").split("+++\n", 2)
        sections = re.split(r"^## (.+)\n", body, flags=re.MULTILINE)[1:]
        texts = {title.lower(): text.strip() for title, text in zip(sections[::2], sections[1::2], strict=True)}
        return Lesson(number=int(number), name=name, texts=texts, **tomllib.loads(head))
    except (OSError, ValueError, TypeError) as error:  # ValidationError and TOMLDecodeError are ValueErrors
        reason = str(error)
        if isinstance(error, ValidationError):
            reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise StorageError(f"The lesson {path.name} cannot be read: {reason}; install the package anew.") from error
