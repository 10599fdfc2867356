"""The course opened from disk with the network off: bets, answers, tasks and what the browser keeps."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, FilePayload, Page, ViewportSize, expect

from liar.course.figures import Shelf
from liar.course.lesson import ChoiceBet, CurveBet, Lesson, NumberBet, filled, lessons
from liar.course.site import pages
from tests.browser.conftest import SCREENS, severe, tab_to, too_wide
from tests.course_lessons import holds, named, value_of

SHELF = Shelf()
EVERY = pytest.mark.parametrize("lesson", lessons(), ids=lambda lesson: lesson.name)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("course")
    for name, content in pages().items():
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def opened(page: Page, site: Path, lesson: Lesson, query: str = "") -> Page:
    page.goto((site / lesson.file).as_uri() + query)
    return framed(page)


def framed(page: Page) -> Page:
    """Wait for the first frame, since a lesson reads what is kept no earlier."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page


def bet(page: Page, lesson: Lesson) -> str:
    """Make the right bet with the mouse; returns the sentence that follows."""
    known = lesson.known(SHELF)
    match lesson.bet:
        case NumberBet(answer=answer):
            figure = known[answer]
            value = float(figure.value) * (100 if figure.unit == "%" else 1)
            page.get_by_label("Your bet as a number").fill(f"{value:.4f}")
            said = "exactly right"
        case ChoiceBet():
            page.locator("#bet").get_by_label(lesson.bet.right(known)).check()
            said = "So it is."
        case CurveBet(answer=answer):
            draw(page, known[answer].value[::10])
            said = "from the measured one on average"
    page.get_by_role("button", name="That is my bet").click()
    expect(page.locator("#said")).to_contain_text(said)
    return said


def draw(page: Page, values: list[float], upto: int = 10) -> None:
    """Drag over the empty plot."""
    canvas = page.locator("#canvas")
    canvas.scroll_into_view_if_needed()
    box, frame = canvas.bounding_box(), page.evaluate("data.bet")
    assert box is not None
    scale = box["width"] / frame["width"]
    for place in range(1, upto + 1):
        x = frame["left"] + (frame["right"] - frame["left"]) * place / 10
        y = frame["bottom"] + (frame["top"] - frame["bottom"]) * values[place] / frame["high"]
        page.mouse.move(box["x"] + scale * x, box["y"] + scale * y)
        if place == 1:
            page.mouse.down()
    page.mouse.up()


def reloaded(page: Page) -> Page:
    page.reload()
    return framed(page)


@EVERY
def test_a_lesson_from_the_bet_to_the_end(offline: Page, site: Path, lesson: Lesson) -> None:
    page = opened(offline, site, lesson)
    assert page.locator("section:visible").evaluate_all("all => all.map((one) => one.id)") == ["look", "bet"]
    said = bet(page, lesson)
    expect(page.locator(".gap:visible")).to_have_attribute("data-gap", "hit")
    assert page.locator("section:visible").count() == len(lesson.steps)
    if not lesson.task.measured:
        expect(page.locator("#solved")).to_be_hidden()
        for name in lesson.task.opens:
            value = str(lesson.task.solution[name])
            control = page.locator(f"#task-form #{name}")
            if name == "ratio":
                control.fill(value)
            else:
                control.select_option(value)
        expect(page.locator("#solved")).to_be_visible()
    if lesson.back is not None:
        page.locator("#back").get_by_label(lesson.back.right(lesson.known(SHELF))).check()
        page.get_by_role("button", name="Answer").click()
        expect(page.locator("#back-said")).to_have_text("Right.")
    reloaded(page)
    expect(page.locator("#said")).to_contain_text(said)
    expect(page.get_by_role("button", name="That is my bet")).to_be_disabled()
    page.get_by_role("button", name="Start this lesson over").click()
    expect(page.locator("#reveal")).to_be_hidden()
    expect(page.get_by_role("button", name="That is my bet")).to_be_enabled()


@pytest.mark.parametrize(
    "lesson", [lesson for lesson in lessons() if not lesson.task.measured], ids=lambda each: each.name
)
def test_the_task_reads_what_the_library_forecasts(offline: Page, site: Path, lesson: Lesson) -> None:
    page, task = opened(offline, site, lesson), lesson.task
    values: dict[str, tuple[Any, ...]] = {
        "ratio": (0.1, 0.37, 0.5, 0.8),
        "allocation": ("uniform", "error-curve", "loss-curve", "global"),
        "reconstruction": ("none", "bias", "liar", "least-squares"),
        "criterion": task.criteria,
    }
    for chosen in product(*(values[name] for name in task.opens)):
        choices = {**task.start, **dict(zip(task.opens, chosen, strict=True))}
        found = page.evaluate("async (choices) => { await readCurves(); return checked(choices); }", choices)
        for check, line in zip(task.checks, found["checks"], strict=True):
            expected = value_of(check, task, SHELF, choices)
            assert line["value"] == pytest.approx(expected, rel=1e-9, abs=1e-12), (choices, check.title)
            assert line["holds"] == holds(check, expected)


def test_the_first_lesson_by_keyboard_alone(offline: Page, site: Path) -> None:
    page = opened(offline, site, named("units"))
    tab_to(page, "#guess-range")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#guess")).to_have_value("51")
    tab_to(page, "#bet-form button")
    page.keyboard.press("Enter")
    half = named("units").known(SHELF)["half"]
    off = f"{half.shown - 51:.1f} points too low."
    expect(page.locator("#said")).to_contain_text(f"You said 51 %, and it is {half.words}: {off}")
    expect(page.locator(".gap:visible")).to_have_attribute("data-gap", "far")
    expect(page.locator("#reveal-title")).to_be_focused()
    tab_to(page, "#ratio")
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#ratio-words")).to_have_text("50 %")
    tab_to(page, "#allocation")
    page.keyboard.type("error")
    expect(page.locator("#solved")).to_be_visible()


def test_a_curve_by_keyboard(offline: Page, site: Path) -> None:
    page = opened(offline, site, named("curves"))
    page.get_by_role("slider", name="Error with 10 % removed").focus()
    for _ in range(10):
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowRight")
    last = page.get_by_role("slider", name="Error with 100 % removed")
    expect(last).to_have_attribute("aria-valuenow", "0.40")
    page.get_by_role("button", name="That is my bet").click()
    expect(page.locator("#said")).to_contain_text("on average")
    expect(page.locator("#reveal polyline.yours")).to_have_count(1)


@pytest.mark.parametrize(
    ("name", "spoil", "sentence"),
    [
        ("units", lambda page: None, "Give a number from 0 to 100 %."),
        ("units", lambda page: page.locator("#guess").fill("101"), "Give a number from 0 to 100 %."),
        ("weights", lambda page: None, "Choose one of the answers."),
        (
            "curves",
            lambda page: draw(page, [0.5] * 11, upto=6),
            "Draw the curve to its end: 4 of its points are missing.",
        ),
    ],
)
def test_a_bet_that_is_none_is_one_sentence_and_nothing_is_lost(
    offline: Page, site: Path, name: str, spoil: Any, sentence: str
) -> None:
    page = opened(offline, site, named(name))
    spoil(page)
    page.get_by_role("button", name="That is my bet").click()
    expect(page.locator("#bet-problem")).to_have_text(sentence)
    expect(page.locator("#reveal")).to_be_hidden()


def test_a_link_opens_a_step_and_an_unknown_one_is_one_sentence(offline: Page, site: Path) -> None:
    page = opened(offline, site, named("curves"), "?step=3")
    expect(page.locator("#reveal")).to_be_visible()
    expect(page.locator("#task")).to_be_hidden()
    expect(page.locator("#said")).to_be_empty()
    opened(page, site, named("units"), "?step=9")
    expect(page.locator("#note")).to_have_text("This lesson has no step 9; it has 5.")


@pytest.mark.parametrize("text", ["{", "[]", "null", "3", '{"bet": 400}', '{"bet": "much"}'])
def test_a_damaged_memory_is_as_good_as_none(offline: Page, site: Path, text: str) -> None:
    page = opened(offline, site, named("units"))
    page.evaluate("(text) => localStorage.setItem(keyOf('units'), text)", text)
    reloaded(page)
    expect(page.locator("#reveal")).to_be_hidden()
    bet(page, named("units"))


@pytest.mark.parametrize(
    ("script", "place", "sentence"),
    [
        (
            "Object.defineProperty(window, 'localStorage', { get() { throw new Error('off'); } })",
            "#note",
            "This browser keeps nothing",
        ),
        ("delete window.DecompressionStream", "#task-problem", "cannot read the curves"),
    ],
)
def test_a_browser_that_lacks_something_is_told_and_can_be_used(
    offline: Page, site: Path, script: str, place: str, sentence: str
) -> None:
    offline.add_init_script(script)
    page = opened(offline, site, named("units"))
    bet(page, named("units"))
    expect(page.locator(place)).to_contain_text(sentence)


def test_a_lesson_that_there_is_not_is_said_above_the_list(offline: Page, site: Path) -> None:
    offline.goto(f"{(site / 'index.html').as_uri()}?lesson=12")
    note, first = offline.get_by_text("There is no lesson 12; these are all."), offline.locator("li").first
    expect(note).to_be_visible()
    places = [found.bounding_box() for found in (note, first)]
    assert places[0]["y"] < places[1]["y"], "where it is seen on a phone too"  # type: ignore[index]


def test_bets_of_every_tab_are_listed_saved_and_forgotten(offline: Page, site: Path) -> None:
    units, listed = named("units"), offline.locator("li", has_text="What a unit is")
    offline.goto((site / "index.html").as_uri())
    expect(listed).not_to_contain_text("bet made")
    beside = opened(offline.context.new_page(), site, units)
    bet(beside, units)
    expect(listed).to_contain_text("bet made")
    beside.close()
    offline.reload()
    expect(listed).to_contain_text("bet made")
    with offline.expect_download() as started:
        offline.get_by_role("button", name="Save my bets").click()
    saved = json.loads(started.value.path().read_text())
    assert saved["lessons"]["units"]["bet"] == pytest.approx(units.known(SHELF)["half"].shown, abs=1e-3)
    offline.get_by_role("button", name="Start over").click()
    expect(offline.get_by_role("button", name="Start over")).to_be_hidden()
    opened(offline, site, units)
    expect(offline.locator("#reveal")).to_be_hidden()


def test_two_tabs_keep_the_bets_of_both(offline: Page, site: Path) -> None:
    units, repair = named("units"), named("repair")
    one, same = opened(offline, site, units), opened(offline.context.new_page(), site, units)
    beside = opened(offline.context.new_page(), site, repair)
    bet(one, units)
    expect(same.locator("#reveal")).to_be_visible()
    expect(same.get_by_role("button", name="That is my bet")).to_be_disabled()
    said = bet(beside, repair)
    for lesson in (units, repair):
        opened(offline, site, lesson)
        expect(offline.locator("#reveal")).to_be_visible()
    expect(offline.locator("#said")).to_contain_text(said)


def test_a_tab_behind_the_others_overwrites_no_other_lesson(offline: Page, site: Path) -> None:
    """Each of a browser's processes reads a copy of what is kept: here one never sees a change."""
    units, beside = named("units"), offline.context.new_page()
    beside.add_init_script("""
        const early = {}, read = Storage.prototype.getItem;
        Storage.prototype.getItem = function (key) { return (early[key] ??= [read.call(this, key)])[0]; };
    """)
    opened(beside, site, named("repair"))
    bet(opened(offline, site, units), units)
    bet(beside, named("repair"))
    reloaded(offline)
    expect(offline.locator("#said")).to_contain_text("exactly right")


@pytest.mark.parametrize("name", ["09-hidden.html", "index.html"])
def test_what_is_kept_is_not_touched_before_the_first_frame(offline: Page, site: Path, name: str) -> None:
    """Chromium may give a script that comes earlier a storage that keeps nothing."""
    offline.add_init_script("""
        const { get } = Object.getOwnPropertyDescriptor(window, 'localStorage'), listen = window.addEventListener;
        const touched = window.touched = [];
        let framed = false;
        const touch = (how) => touched.push(framed ? how : `${how} too early`);
        requestAnimationFrame(() => { framed = true; });
        Object.defineProperty(window, 'localStorage', { get() { touch('read'); return get.call(window); } });
        window.addEventListener = (event, ...rest) => {
          if (event === 'storage') touch('followed');
          return listen.call(window, event, ...rest);
        };
    """)
    offline.goto((site / name).as_uri())
    assert set(framed(offline).evaluate("window.touched")) == {"read", "followed"}


@pytest.mark.parametrize("lesson", [named("units"), named("weights"), named("curves")], ids=lambda lesson: lesson.name)
def test_a_printed_lesson_is_a_worksheet(offline: Page, site: Path, lesson: Lesson) -> None:
    page = opened(offline, site, lesson)
    said = bet(page, lesson)
    for kept in (True, False):  # with a bet that is shown, and without
        page.emulate_media(media="print")
        assert page.locator(
            "button, select, input[type=range], input[type=number], #said, #solved, .yours"
        ).evaluate_all("all => all.every((one) => !one.checkVisibility())")
        text = page.locator("body").inner_text()
        assert said not in text
        assert lesson.takeaway[:30] not in text
        assert filled(lesson.texts["reveal"], lesson.known(SHELF))[:40] not in text
        expect(page.locator("#look figure").last).to_be_visible()
        assert page.locator("#reveal figure, #keep figure").evaluate_all(
            "all => all.every((one) => !one.checkVisibility())"
        )
        titles = page.locator("h2:visible").all_inner_texts()
        assert len(titles) == len(lesson.steps)
        for step in lesson.steps[1:]:
            expect(page.locator(f"#{step} .written .line").first).to_be_visible()
        if not isinstance(lesson.bet, NumberBet):
            expect(page.locator("#bet .option input, #canvas").last).to_be_visible()
        if kept:
            page.emulate_media(media="screen")
            page.get_by_role("button", name="Start this lesson over").click()
            framed(page)


def bets_file(name: str, content: object) -> FilePayload:
    text = content if isinstance(content, str) else json.dumps(content)
    return {"name": name, "mimeType": "application/json", "buffer": text.encode()}


def exported(**bets: object) -> dict[str, object]:
    return {"course": "liar-course-1", "lessons": {name: {"bet": value} for name, value in bets.items()}}


def test_bets_of_a_class_become_histograms(offline: Page, site: Path) -> None:
    offline.goto((site / "bets.html").as_uri())
    repair = named("repair").bet
    assert isinstance(repair, ChoiceBet)
    first, second = repair.options
    offline.get_by_label("Choose files").set_input_files(
        [
            bets_file("a.json", exported(units=52, repair=first, curves=[0.1 * each for each in range(11)])),
            bets_file("b.json", exported(units=58.5, repair=second)),
            bets_file("c.json", exported(units=100, repair=second)),
        ]
    )
    expect(offline.locator("#note")).to_have_text("3 files are counted.")
    expect(offline.locator("#problems li")).to_have_count(0)
    expect(offline.locator("figcaption")).to_have_text([re.compile(f"^{number}") for number in (1, 5, 6)])
    units, choice, curve = (offline.locator("figure").nth(place) for place in range(3))
    half = named("units").known(SHELF)["half"]
    expect(units).to_contain_text(f"3 bets. Answer: {half.words}.")
    expect(units.get_by_role("img")).to_have_attribute("aria-label", "Bets by value, %: 50 to 60: 2; 90 to 100: 1")
    place = float(units.locator(".answer").get_attribute("x1") or 0)
    assert place == pytest.approx(10 + 4.6 * half.shown)
    right = repair.right(named("repair").known(SHELF))
    expect(choice.locator("tr.right")).to_contain_text(f"✓ {right}")
    expect(choice.locator("td.number")).to_have_text(["1", "2"])
    expect(curve).to_contain_text("1 bet on the error with half removed")
    expect(curve.get_by_role("img")).to_have_attribute("aria-label", "Bets by value: 0.5 to 0.6: 1")


def test_files_that_are_dropped_are_added_and_the_same_one_is_counted_once(offline: Page, site: Path) -> None:
    offline.goto((site / "bets.html").as_uri())
    drop = """([name, text]) => {
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([text], name, { lastModified: 1 }));
        document.body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
    }"""
    for name in ("a.json", "b.json", "a.json"):
        offline.evaluate(drop, [name, json.dumps(exported(units=50))])
    expect(offline.locator("#note")).to_have_text("2 files are counted.")
    expect(offline.locator("figure")).to_contain_text("2 bets.")


@pytest.mark.parametrize(
    ("content", "end"),
    [
        ("{", "is no JSON."),
        ("null", "is no file of bets of this course."),
        ({"course": "another", "lessons": {}}, "is no file of bets of this course."),
        ({"course": "liar-course-1", "lessons": 3}, "is no file of bets of this course."),
        (exported(), "has no bets."),
        (exported(units=400), "has a bet that lesson 1 does not allow."),
        (exported(weights="<b>all</b>"), "has a bet that lesson 2 does not allow."),
        (exported(curves=[0, 1]), "has a bet that lesson 6 does not allow."),
        ("9" * 1_000_001, "is larger than any file of bets."),
    ],
)
def test_a_file_of_no_bets_is_one_sentence_with_its_name(offline: Page, site: Path, content: object, end: str) -> None:
    offline.goto((site / "bets.html").as_uri())
    files = [bets_file("<i>odd</i>.json", content), bets_file("good.json", exported(units=50))]
    offline.get_by_label("Choose files").set_input_files(files)
    expect(offline.locator("#problems li")).to_have_text([f"“<i>odd</i>.json” {end}"])
    expect(offline.locator("#note")).to_have_text("1 file is counted.")


@pytest.mark.long
@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_every_page_can_be_read_by_everybody(offline: Page, site: Path, width: int, scheme: Any) -> None:
    offline.set_viewport_size(ViewportSize(width=width, height=900))
    offline.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    for lesson in lessons():
        opened(offline, site, lesson)
        bet(offline, lesson)
        assert too_wide(offline) <= 0, lesson.name
        assert severe(offline) == [], lesson.name
    for name in ("index.html", "teachers.html", "bets.html"):
        offline.goto((site / name).as_uri())
        if name == "bets.html":
            offline.get_by_label("Choose files").set_input_files(
                [bets_file("a.json", exported(units=50, sum="uniform")), bets_file("b.json", "{")]
            )
            expect(offline.locator("figure")).to_have_count(2)
        assert too_wide(offline) <= 0
        assert severe(offline) == []


def test_without_scripts_everything_can_be_read(browser: Browser, site: Path) -> None:
    page = browser.new_context(java_script_enabled=False, offline=True).new_page()
    for lesson in lessons():
        page.goto((site / lesson.file).as_uri())
        expect(page.get_by_text(re.compile("Scripts are off"))).to_be_visible()
        assert page.locator("section:visible").count() == len(lesson.steps), lesson.name
        expect(page.locator("#reveal .picture")).to_be_visible()
    page.context.close()
