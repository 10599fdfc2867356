"""The lessons: every figure is traced, every task is open at its start and closed by its solution, no text is long."""

from __future__ import annotations

import re
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from parts.points import PointStore
from readme import ROOT

from liar.course.figures import Shelf, evaluation_of
from liar.course.lesson import FOLDER, ChoiceBet, CurveBet, Lesson, NumberBet, filled, lessons, read
from liar.course.lesson_figures import SMOLLM2, TOPIC
from liar.course.pictures import drawn
from liar.course.site import PLAN, page
from liar.errors import StorageError
from liar.explore.atlas import RATIOS
from liar.statistics.compare import difference
from tests.course_lessons import is_met, named

SHELF = Shelf()
MOST_WORDS = 90
EVERY = pytest.mark.parametrize("lesson", lessons(), ids=lambda lesson: lesson.name)


def test_there_are_nine_in_order() -> None:
    assert [lesson.number for lesson in lessons()] == list(range(1, 10))
    assert len({lesson.name for lesson in lessons()}) == 9


@EVERY
def test_no_figure_is_typed_into_a_text(lesson: Lesson) -> None:
    texts = [*lesson.texts.values(), lesson.title, lesson.misconception, lesson.claim, lesson.takeaway]
    texts += [words for picture in lesson.pictures for words in (picture.title, picture.alt, *picture.shown)]
    if lesson.question:
        texts += [lesson.question.asks, lesson.question.why, *lesson.question.options]
    texts += [re.sub(r"layers\.\d+\.(ffn|attention)", "", check.title) for check in lesson.task.checks]
    bare = re.sub(r"\{\w+\}|SmolLM2", "", "\n".join(texts))
    assert re.findall(r".{0,20}\d.{0,20}", bare) == []


@EVERY
def test_every_figure_is_found_and_used(lesson: Lesson) -> None:
    known = lesson.known(SHELF)
    assert all(np.isfinite(np.array(figure.value, dtype=float)).all() for figure in known.values())
    assert set(known) <= lesson.named, "a figure that nothing shows"


@EVERY
def test_a_step_has_few_words(lesson: Lesson) -> None:
    known = lesson.known(SHELF)
    words = {name: len(filled(text, known).split()) for name, text in lesson.texts.items()}
    reveal = words["reveal"] + max(words.get(gap, 0) for gap in ("hit", "near", "far"))
    steps = [words["look"], words["bet"], reveal, words["task"] + words["solved"]]
    steps += [words["keep"] + len(lesson.takeaway.split())]
    assert max(steps) <= MOST_WORDS, steps


@EVERY
def test_the_task_is_open_at_its_start_and_closed_by_its_solution(lesson: Lesson) -> None:
    task = lesson.task
    assert not is_met(task, SHELF, task.start)
    assert is_met(task, SHELF, task.solution)
    changed = {name for name in task.solution if task.solution[name] != task.start.get(name)}
    assert changed <= set(task.opens), "solved by what is open"
    assert all((check.at_most is None) != (check.at_least is None) for check in task.checks)
    assert task.measured == (lesson.number in (8, 9)), "only a measured task needs the model"


@EVERY
def test_a_bet_can_be_won_and_lost(lesson: Lesson) -> None:
    known, bet = lesson.known(SHELF), lesson.bet
    match bet:
        case NumberBet():
            figure = known[bet.answer]
            answer = float(figure.value) * (100 if figure.unit == "%" else 1)
            assert bet.low + bet.near < answer or answer + bet.near < bet.high, "a guess can be far off"
            assert bet.low <= answer <= bet.high
            assert bet.hit < bet.near
        case ChoiceBet():
            values = sorted(float(known[name].value) for name in bet.options.values())
            ends = values[-2:] if bet.wins == "largest" else values[:2]
            assert ends[1] > 1.05 * ends[0], "no other option is nearly as good"
        case CurveBet():
            curve = known[bet.answer].value
            assert len(curve) == len(RATIOS)
            assert max(curve) <= bet.high


@EVERY
def test_every_bar_has_its_whisker_or_says_why_not(lesson: Lesson) -> None:
    known = lesson.known(SHELF)
    for picture in lesson.pictures:
        if picture.kind != "bars":
            continue
        drawing = drawn(picture, known)
        measured = [known[name] for name in picture.shown.values() if not known[name].is_exact]
        assert all(figure.stderr for figure in measured)
        assert drawing.count('class="whisker"') == drawing.count(" ± ") == len(measured)
        assert len(measured) in (0, len(picture.shown))
        assert ("Whiskers: one standard error." if measured else "of all of the calibration text") in drawing


@EVERY
def test_the_question_is_on_an_earlier_lesson(lesson: Lesson) -> None:
    if lesson.back is None:
        assert lesson.number == 1
        return
    earlier = {each.name for each in lessons()[: lesson.number - 1]}
    assert lesson.back.lesson in earlier
    assert lesson.back.right(lesson.known(SHELF)) in lesson.back.options


@pytest.mark.parametrize("name", ["repair", "curves", "where", "sum"])
def test_words_come_before_symbols_and_a_picture_between(name: str) -> None:
    lesson = named(name)
    assert lesson.formula_picture is not None
    before = " ".join((lesson.texts["look"], lesson.texts["bet"], lesson.takeaway, lesson.title))
    assert not re.search(r"\b[B-HJ-Z]\b|\w_\w", re.sub(r"\{\w+\}", "", before)), "a symbol"
    place = [
        page(lesson.file).index(part) for part in ("To keep</h2>", lesson.formula_picture.title, 'class="formula"')
    ]
    assert place == sorted(place)


def test_a_question_is_on_the_idea_and_no_bet() -> None:
    asked = [lesson for lesson in lessons() if lesson.question]
    assert len(asked) == 5
    for lesson in asked:
        assert lesson.question is not None
        assert lesson.question.asks not in lesson.texts["bet"]
        if isinstance(lesson.bet, ChoiceBet):
            assert not set(lesson.question.options) & set(lesson.bet.options)


def test_the_plan_of_45_minutes_has_the_lessons_that_are_asked_for() -> None:
    assert sum(minutes for minutes, _, _ in PLAN) == 45
    assert [number for _, _, read in PLAN for number in read] == [each.number for each in lessons() if each.question]
    for minutes, _, numbers in PLAN:
        assert minutes >= sum(lessons()[number - 1].minutes for number in numbers)


def test_a_question_without_its_answer_is_one_sentence(tmp_path: Path) -> None:
    wrong = re.sub(r'^answer = "Its row.*"$', 'answer = "Nothing."', GOOD, flags=re.MULTILINE)
    with pytest.raises(StorageError, match=r"'Nothing\.' is none of the options"):
        read(written(tmp_path, wrong))


def test_what_the_lessons_claim_is_so() -> None:
    """Words without a number that a new model or recipe could make untrue."""
    known = {lesson.name: {name: figure.value for name, figure in lesson.known(SHELF).items()} for lesson in lessons()}
    units, weights, means, repair = known["units"], known["weights"], known["mean"], known["repair"]
    assert units["half"] > 0.9 * units["dense"], "most answers stay"
    late, fast = units["dense"] - units["half"], units["seven"] - units["nine"]
    assert 0 < late < 0.04, "the loss comes late"
    assert fast > 0.15, "and then fast"
    lost = difference(*(evaluation_of(SHELF.ran(TOPIC), name) for name in ("dense", "pruned")))
    assert lost.stderr is not None
    assert -lost.change > 2 * lost.stderr, "removing half costs something, beyond chance"
    assert weights["magnitude"] > weights["by_lot"], "worse than chance"
    assert weights["wanda"] < 1.05 * weights["best_choice"]
    assert means["bert_back"] > 3 * means["llama_back"]
    answers = PointStore(ROOT / "docs" / "study").read("ratios")["minilm-span, neurons, 50%"].values
    noise = answers["none stderr"] + answers["bias stderr"]
    assert answers["none"] - answers["bias"] > 2 * noise, "worse with a bias than with no repair"
    assert repair["kept_channels"] < repair["outputs"] <= repair["kept_neurons"]
    assert repair["ffn_ratio"] < 1.05
    where, summed, hidden = known["where"], known["sum"], known["hidden"]
    assert where["massive"] < 0.01 * where["middle"]
    assert min(where["kept"]) == summed["middle"]
    slopes = {}
    for each in ("early", "fifth", "late"):
        at = round(100 * where[f"{each}_gone"])
        slopes[each] = where[f"{each}_nats"][at + 3] - where[f"{each}_nats"][at]
    assert slopes["late"] == pytest.approx(slopes["fifth"], rel=0.1), "about equally steep"
    assert slopes["early"] > max(slopes["fifth"], slopes["late"]), "steeper from its start"
    assert summed["uniform_error"] < summed["error_error"] < summed["loss_error"], "the largest mean error"
    assert summed["loss_measured"] < summed["error_measured"] < summed["uniform_measured"], "and the lowest perplexity"
    chosen, second = (
        evaluation_of(SHELF.ran(SMOLLM2, **each), "reconstructed") for each in ({}, {"allocation": "error-curve"})
    )
    behind = difference(chosen, second)
    assert behind.stderr is not None
    assert behind.change > 2 * behind.stderr, "beyond chance, on the same windows"
    assert summed["in_order"] < summed["one_shot"]
    assert abs(hidden["repaired"] - hidden["dense"]) < 0.005, "by this figure next to nothing happened"
    assert hidden["other_times"] > hidden["wiki_times"]
    broken, mended = hidden["broken"], hidden["mended"]
    assert abs(broken - mended) <= sqrt(broken + mended), "the two cancel, but for chance"


def test_a_figure_that_there_is_not_is_one_sentence(tmp_path: Path) -> None:
    changed = read(written(tmp_path, GOOD.replace("{neurons} neurons", "{neuron} neurons")))
    with pytest.raises(StorageError, match="The lesson units names figures that it does not have: neuron"):
        changed.known(SHELF)


# -- files that are no lesson ------------------------------------------------------------------------------------------------

GOOD = (FOLDER / "01-units.md").read_text(encoding="utf-8")


def written(folder: Path, text: str) -> Path:
    path = folder / "01-units.md"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (("## Keep", "## Kept"), "sections missing: ['keep'], unknown: ['kept']"),
        (("minutes = 3", "minutes = three"), "Invalid value"),
        (("minutes = 3\n", ""), "Field required"),
        (("+++\n", "---\n"), "not enough values to unpack"),
        (("## Look\n", "## Look\nThe [knob](#volume) is\n"), "no such parts of the page: ['volume']"),
    ],
)
def test_a_file_that_is_no_lesson_is_one_sentence(tmp_path: Path, changed: tuple[str, str], reason: str) -> None:
    with pytest.raises(StorageError, match=r"The lesson 01-units.md cannot be read: ") as caught:
        read(written(tmp_path, GOOD.replace(*changed)))
    assert reason in str(caught.value)
    assert "Value error" not in str(caught.value)
    assert str(caught.value).endswith("install the package anew.")
