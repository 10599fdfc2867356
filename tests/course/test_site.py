"""The course as a static site: complete, small, and able to load or run nothing but itself."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from components.address import read_address
from components.lesson_beside import complaint_about
from components.shared.theme import theme
from liar.course.lesson import Lesson, lessons
from liar.course.site import page, pages
from liar.report.plots.frame import FONTS
from tests.report.test_html import Document

PAGES = pages()
EVERY = pytest.mark.parametrize("name", sorted(PAGES))


def test_there_is_a_page_for_every_lesson_and_three_for_all() -> None:
    names = {f"{lesson.number:02}-{lesson.name}.html" for lesson in lessons()}
    assert set(PAGES) == names | {"index.html", "teachers.html", "bets.html"}


@EVERY
def test_only_its_own_script_and_style_may_run_and_nothing_is_loaded(name: str) -> None:
    document = Document(PAGES[name])
    document.runs_its_own_alone()
    assert document.loads_nothing()


@EVERY
def test_every_link_leads_to_a_page_a_part_or_a_source(name: str) -> None:
    tags = Document(PAGES[name]).tags
    ids = {attributes.get("id") for _, attributes in tags}
    for target in (attributes["href"] or "" for tag, attributes in tags if tag == "a"):
        assert target in PAGES or target.startswith("https://") or target.removeprefix("#") in ids


@pytest.mark.parametrize("lesson", lessons(), ids=lambda lesson: lesson.name)
def test_a_running_page_offers_the_lesson_beside_its_recipe(lesson: Lesson) -> None:
    alone, served = PAGES[lesson.file], page(lesson.file, home="../")
    assert "beside=" not in alone
    links = [attributes["href"] or "" for tag, attributes in Document(served).tags if tag == "a"]
    query = next(link for link in links if "beside=" in link).removeprefix("../?")
    spec, view, complaint = read_address(parse_qsl(query))
    assert complaint is None
    assert spec is not None
    assert (spec.model, view.beside) == (lesson.task.model, lesson.name)
    assert {name: spec.model_dump()[name] for name in lesson.task.start} == lesson.task.start
    assert complaint_about(view) is None


def test_it_is_small() -> None:
    sizes = [len(content.encode()) for content in PAGES.values()]
    assert max(sizes) < 400_000
    assert sum(sizes) < 1_600_000


@pytest.mark.parametrize("lesson", lessons(), ids=lambda lesson: lesson.name)
def test_a_lesson_has_its_steps_its_formula_and_no_open_placeholder(lesson: Lesson) -> None:
    source = PAGES[lesson.file]
    document = Document(source)
    sections = [attributes["id"] for tag, attributes in document.tags if tag == "section"]
    assert sections == list(lesson.steps)
    assert document.count("math") == 1
    assert not re.search(r"\{\w+\}", document.text)
    (text,) = re.findall(r'id="data">(.*?)</script>', source, re.DOTALL)
    assert json.loads(text)["name"] == lesson.name


def test_a_teacher_finds_every_answer() -> None:
    text = Document(PAGES["teachers.html"]).text
    assert all(lesson.misconception in text for lesson in lessons())
    assert text.count("Answer to the bet") == len(lessons())


def test_a_teacher_reads_which_tasks_need_the_running_page() -> None:
    text = Document(PAGES["teachers.html"]).text
    assert "The course needs no server" in text
    needed = text.split("need the running page")[1].split("also shows each lesson")[0]
    assert [f"Lesson {lesson.number}, {lesson.title}" in needed for lesson in lessons()] == [
        lesson.task.measured for lesson in lessons()
    ]


@EVERY
def test_the_typeface_is_that_of_the_page(name: str) -> None:
    assert f"font: 1rem/1.55 {', '.join(FONTS)};" in PAGES[name]
    fonts = theme().font.split(", ")
    assert [font.strip("'") for font in fonts] == list(FONTS)


@EVERY
def test_every_part_that_lights_up_is_named(name: str) -> None:
    parts = [found for _, found in Document(PAGES[name]).tags if "part" in (found.get("class") or "").split()]
    assert all(part.get("data-part") for part in parts)


def test_only_the_page_of_bets_knows_all_answers() -> None:
    assert '"answer"' in PAGES["bets.html"]
    assert '"answer"' not in re.findall(r'id="data">(.*?)</script>', PAGES["index.html"], re.DOTALL)[0]


def test_the_package_brings_the_lessons() -> None:
    project = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text()
    assert all(f'"course/{pattern}"' in project for pattern in ("*.j2", "*.js", "lessons/*.md"))
