"""Cards of links: the tags in the head of the page and their picture, of a state as the page reads it."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import gradio as gr
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from components.card import GENERAL, MOST_CHARACTERS, PICTURE, Cards, card_of
from components.card_picture import SIZE, Bar, Card, picture_of
from components.rail.recipe import default_of, opening_spec
from components.shared.studio import Studio
from liar.report.headline import headline, headline_between
from liar.report.interpolation import of_other_ratios
from liar.report.view import View, query_of
from liar.store import RunStore
from server.profile import PUBLIC

PAGE = (Path(gr.__file__).parent / "templates" / "frontend" / "index.html").read_text(encoding="utf-8")
"""Gradio's own page, not filled in."""

HOSTILE = (
    'ratio="><script>alert(1)</script>',
    "model=%22%3E%3Cimg+src=x+onerror=alert(1)%3E",
    "model=../../../../etc/passwd",
    "ratio=nan&ratio=1e999",
    "ratio=0.5&" * 2_000,
    "edits=layers.0.ffn:keep=" + "1," * 9_000,
    "%ff%fe%00",
    "v=2&model=demo%2Fminilm-match&data=%00",
    "calibration=a" + "%2B" * 1_000,
    "=&&==&;",
    "tab=%0d%0aSet-Cookie:a",
)


@pytest.fixture
def shipped(studio: Studio, tmp_path: Path) -> Studio:
    """A public page with nothing but the runs that come with the package."""
    return replace(studio, store=RunStore(tmp_path / "none"), profile=PUBLIC)


@pytest.fixture
def client(shipped: Studio) -> TestClient:
    def page(_request: Request) -> Response:
        return HTMLResponse(PAGE)

    def other(_request: Request) -> Response:
        return PlainTextResponse("<head>")

    routes = [Route("/", page), Route("/other", other)]
    app = Starlette(routes=routes, middleware=[Middleware(Cards, studio=shipped)])
    return TestClient(app, base_url="https://page.example")


class _Head(HTMLParser):
    """The ``content`` of every meta element by its property or name, all values of each."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, list[str]] = {}
        self.feed(page.partition("<script")[0])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "meta" and (name := values.get("property") or values.get("name")):
            self.found.setdefault(name, []).append(values.get("content") or "")


def tags_of(client: TestClient, query: str, **headers: str) -> dict[str, str]:
    answer = client.get(f"/?{query}", headers=headers)
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == len(answer.content)
    found = {name: values for name, values in _Head(answer.text).found.items() if name.startswith(("og:", "twitter:"))}
    assert all(len(values) == 1 for values in found.values()), "chats take the first of several"
    return {name: values[0] for name, values in found.items()}


def size_of(content: bytes) -> tuple[str | None, tuple[int, int]]:
    with Image.open(BytesIO(content)) as image:
        image.load()
        return image.format, image.size


def test_a_stored_run_has_its_headline(client: TestClient, shipped: Studio) -> None:
    spec = default_of("demo/minilm-match")
    run = shipped.store.find(spec)
    assert run is not None
    query = query_of(spec, View(tab="accuracy"))
    found = tags_of(client, query)
    assert found["og:title"] == found["og:image:alt"] == headline(run)
    assert "smaller" in found["og:description"]
    assert (found["og:type"], found["twitter:card"]) == ("website", "summary_large_image")
    assert found["og:url"] == f"https://page.example/?{query}"
    assert found["og:image"] == f"https://page.example{PICTURE}?{query}"


def test_a_ratio_between_two_runs_is_interpolated(client: TestClient, shipped: Studio) -> None:
    spec = opening_spec().model_copy(update={"ratio": 0.65})
    expected = headline_between(spec, of_other_ratios(spec, shipped.store.summaries()))
    assert expected
    assert tags_of(client, spec.to_query())["og:title"] == expected
    card, _ = card_of(spec.to_query().encode(), shipped)
    assert not card.is_measured
    assert [bar.variant for bar in card.bars] == ["dense", "pruned", "reconstructed"]
    bars = [bar.share for bar in card.bars]
    assert bars[1] < bars[2] < bars[0]


def test_a_bare_address_has_the_opening_state(client: TestClient, shipped: Studio) -> None:
    run = shipped.store.find(opening_spec())
    assert run is not None
    assert {tags_of(client, query)["og:title"] for query in ("", "layout=full", "__theme=dark")} == {headline(run)}


@pytest.mark.parametrize(
    "query",
    ["ratio=nan", "nonsense=1", "model=demo/minilm-topic&ratio=0.5&seed=7", "model=own/model", "ratio=0.95&seed=1"],
)
def test_any_other_state_has_the_general_card(client: TestClient, query: str) -> None:
    found = tags_of(client, query)
    assert (found["og:title"], found["og:description"]) == GENERAL[:2]
    assert found["og:url"] == "https://page.example/"
    assert client.get(found["og:image"]).content == picture_of(GENERAL)


def test_what_the_page_leaves_out_of_a_link_is_left_out(client: TestClient) -> None:
    query = default_of("demo/minilm-topic").to_query()
    assert tags_of(client, f"{query}&seed=-1&nonsense=<b>") == tags_of(client, query)


@pytest.mark.parametrize("query", HOSTILE)
def test_nothing_of_a_hostile_query_is_in_the_head(client: TestClient, query: str) -> None:
    answer = client.get(f"/?{query}")
    assert answer.status_code == 200
    before, after = (page.partition("<script")[0] for page in (PAGE, answer.text))
    assert not {"alert(1)", "onerror", "passwd", "Set-Cookie"} & set(
        re.findall(r"alert\(1\)|onerror|passwd|Set-Cookie", after)
    )
    assert after.count("<") - after.count("<meta") == before.count("<") - before.count("<meta")
    assert set(answer.headers) == {"content-length", "content-type"}
    picture = client.get(f"{PICTURE}?{query}")
    assert picture.status_code == 200
    assert size_of(picture.content) == ("PNG", SIZE)


def test_what_is_stored_is_escaped(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    wild = Card('"><script>alert(1)</script>', "it's & <b>")
    monkeypatch.setattr("components.card.card_of", lambda *_: (wild, 'a="><b>'))
    answer = client.get("/")
    assert "<script>alert(1)" not in answer.text
    found = _Head(answer.text).found
    assert (found["og:title"], found["og:description"]) == ([wild.title], [wild.sentence])


def test_a_picture_is_a_png_of_fixed_size(client: TestClient) -> None:
    found = tags_of(client, default_of("demo/smollm2-135m").to_query())
    answer = client.get(found["og:image"])
    assert answer.headers["content-type"] == "image/png"
    assert size_of(answer.content) == ("PNG", SIZE) == ("PNG", (1200, 630))
    assert (found["og:image:width"], found["og:image:height"]) == ("1200", "630")
    assert len(answer.content) < 100_000


def test_a_picture_shows_a_bar_of_each_model() -> None:
    bars = tuple(
        Bar(name, variant, "50.0 %", 0.5) for name, variant in (("Cut", "pruned"), ("Repaired", "reconstructed"))
    )
    with Image.open(BytesIO(picture_of(Card("Half gone. " * 30, "word" * 100, bars)))) as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(maxcolors=2**24) or ()}
    assert {(0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2)} <= colours
    assert (0x7A, 0x81, 0x90) not in colours


def test_a_picture_without_the_typeface_of_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from components import card_picture

    monkeypatch.setattr(card_picture, "_FONTS", tmp_path)
    card_picture._font.cache_clear()
    try:
        assert size_of(picture_of(Card("Another typeface", "A sentence."))) == ("PNG", SIZE)
    finally:
        card_picture._font.cache_clear()


@pytest.mark.parametrize(
    ("headers", "root"),
    [
        ({}, "https://page.example"),
        ({"x-forwarded-host": "liar.example", "x-forwarded-proto": "https"}, "https://liar.example"),
        ({"host": "other.example:8080"}, "https://other.example:8080"),
    ],
)
def test_addresses_are_those_of_the_visitor(client: TestClient, headers: dict[str, str], root: str) -> None:
    found = tags_of(client, "", **headers)
    for name in ("og:url", "og:image"):
        assert found[name].startswith(f"{root}/")


def test_a_page_below_a_path_says_so(shipped: Studio) -> None:
    app = Starlette(routes=[Route("/", lambda _: HTMLResponse(PAGE))], middleware=[Middleware(Cards, studio=shipped)])
    client = TestClient(app, base_url="https://page.example", root_path="/liar")
    scope_path = client.get("/").text
    assert urlsplit(_Head(scope_path).found["og:image"][0]).path == f"/liar{PICTURE}"


def test_other_answers_are_left_alone(client: TestClient) -> None:
    assert client.get("/other").text == "<head>"
    assert client.get("/missing").status_code == 404


def test_a_query_is_read_up_to_a_limit(shipped: Studio) -> None:
    query = default_of("demo/minilm-topic").to_query().encode()
    assert card_of(query, shipped)[0] != GENERAL
    assert card_of(query + b"&seed=0" * MOST_CHARACTERS, shipped)[0] == GENERAL
