"""Links to a lesson, and the course and the study as the page serves them: all of both, and nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from unittest.mock import Mock

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from liar.course.lesson import lessons
from liar.course.site import names
from liar.errors import StorageError
from server import reading
from server.reading import READING, STUDY, LessonLinks, lesson_of, site, study_page

CLIENT = TestClient(
    Starlette(routes=READING, middleware=[Middleware(LessonLinks)]),
    follow_redirects=False,
    base_url="http://page",
)


@pytest.mark.parametrize(
    ("query", "target"),
    [
        (b"", None),
        (b"model=demo/minilm-topic&step=3", None),
        (b"lesson=6&step=3", "course/06-curves.html?step=3"),
        (b"lesson=curves", "course/06-curves.html"),
        (b"lesson=12", "course/?lesson=12"),
        (b"lesson=", "course/?lesson="),
        (b"lesson=6&step=3&lesson=1", "course/01-units.html?step=3"),
        (b"lesson=//evil.example", "course/?lesson=%2F%2Fevil.example"),
        (b"lesson=1&step=%0d%0aSet-Cookie:a", "course/01-units.html?step=%0D%0ASet-Cookie%3Aa"),
        (b"lesson=%ff" + b"a" * 5000, "course/?lesson=%EF%BF%BD" + "a" * 39),
    ],
)
def test_where_a_link_leads(query: bytes, target: str | None) -> None:
    assert lesson_of(query) == target


def test_every_page_is_served_and_its_recipe_links_to_the_page() -> None:
    for name in names():
        answer = CLIENT.get(f"/course/{name}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
    for lesson in lessons():
        recipe = re.search(r'href="\.\./\?([^"]+)"', CLIENT.get(f"/course/{lesson.number:02}-{lesson.name}.html").text)
        assert recipe is not None
        assert f"ratio={lesson.task.start['ratio']}" in recipe[1] or lesson.task.start["ratio"] == 0.5


def test_the_course_loads_the_typeface_of_the_page() -> None:
    source = CLIENT.get("/course/01-units.html").text
    assert "font-src 'self'" in source
    fonts = re.findall(r"url\('([^']+)'\)", source)
    assert fonts
    assert all(font.startswith("../static/fonts/IBMPlexSans/") for font in fonts)


def test_the_list_and_the_links() -> None:
    assert "Pruning in 9 lessons" in CLIENT.get("/course/").text
    answer = CLIENT.get("/?lesson=2")
    assert (answer.status_code, answer.headers["location"]) == (307, "course/02-weights.html")
    missing = CLIENT.get("/course/10-more.html")
    assert missing.status_code == 404
    assert "no such page" in missing.text


def test_a_run_that_is_missing_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = StorageError("The run of a lesson does not come with this package; install it anew.")
    monkeypatch.setattr(reading, "_page", Mock(side_effect=missing))
    answer = CLIENT.get("/course/01-units.html")
    assert (answer.status_code, answer.text.count(".")) == (503, 1)


def test_all_tables_and_pictures_are_included() -> None:
    pages = [STUDY, *STUDY.with_suffix("").glob("*.md")]
    page, text = study_page(), "\n".join(each.read_text(encoding="utf-8") for each in pages)
    assert page.count("<h1>") == 1
    assert page.count("<h2>") == text.count("\n# ") + text.count("\n## ")
    assert page.count("<table>") == text.count("\n| ---")
    assert page.count("<img") == text.count("\n![") == page.count("data:image/svg+xml;base64,")
    linked = re.findall(r'(?:src|href)="(?!data:)([^"]*)"', page)
    inside = {address[1:] for address in linked if address.startswith("#")}
    assert inside == {each.stem for each in pages[1:]} == set(re.findall(r"<a id='(\w+)'>", page))
    assert all(address.startswith(("#", "https://arxiv.org/")) for address in linked)


def test_a_picture_is_read_from_beside_the_text(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "curve.svg").write_text("<svg/>")
    path = tmp_path / "study.md"
    (tmp_path / "study" / "one.md").write_text("# One\n\n![A curve](curve.svg)\n")
    path.write_text("# Found\n\n- [One](study/one.md)\n")
    assert 'src="data:image/svg+xml;base64,PHN2Zy8+"' in study_page(path)


def test_an_exported_page_is_served_and_nothing_beside_it(tmp_path: Path) -> None:
    assert site(tmp_path / "site") == []
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("two models")
    (tmp_path / "site" / "link").symlink_to(tmp_path / "secret")
    client = TestClient(Starlette(routes=site(tmp_path / "site")))
    assert client.get("/site/").text == "two models"
    assert [client.get(f"/site/{name}").status_code for name in ("../secret", "%2e%2e/secret", "link")] == [404] * 3
