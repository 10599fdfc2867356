"""What is to read beside the page: the course at ``/course/`` with links ``/?lesson=6&step=3`` into it, the study, and a page
that runs two models in the browser, if one was exported.
"""

from __future__ import annotations

import re
from base64 import b64encode
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import gradio as gr
from markdown_it import MarkdownIt
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from liar.course.lesson import lessons
from liar.course.site import names, page
from liar.errors import LiarError
from liar.report.plots.frame import TYPEFACE


class LessonLinks:
    """Middleware: leads a link to the page that names a lesson to the course, at its step."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/" and (target := lesson_of(scope["query_string"])):
            await RedirectResponse(target)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def lesson_of(query: bytes) -> str | None:
    """Address of the lesson that a query names, relative to the page; None if it names none.

    An unknown lesson leads to the list of all, which says so.
    """
    named = parse_qs(query.decode("latin-1"), keep_blank_values=True)
    if "lesson" not in named:
        return None
    wanted = named["lesson"][-1]
    found = next((each for each in lessons() if wanted in (str(each.number), each.name)), None)
    if found is None:
        return f"course/?{urlencode({'lesson': wanted[:40]})}"
    step = urlencode({"step": named["step"][-1][:40]}) if "step" in named else ""
    return f"course/{found.file}" + (f"?{step}" if step else "")


def font_faces(root: str = "") -> str:
    """CSS that loads the typeface of the page from Gradio's files, which are below the relative address ``root``."""
    css = gr.themes.LocalFont(TYPEFACE, weights=(400, 700)).stylesheet()["css"] or ""
    return css.replace("url('static", f"url('{root}static")


@cache
def _page(name: str) -> str:
    return page(name, home="../", font_faces=font_faces("../"))


def _course(request: Request) -> Response:
    name = request.path_params.get("name", "index.html")
    if name not in names():
        return PlainTextResponse("The course has no such page; its list of lessons is at /course/.", 404)
    try:
        return HTMLResponse(_page(name))
    except LiarError as error:
        return PlainTextResponse(str(error), 503)


STUDY = Path(__file__).resolve().parent.parent / "docs" / "study.md"
"""First page of the study; the others and their pictures are in the folder ``study`` beside it."""

_LINK = re.compile(r"\(study/(\w+)\.md\)")
_PICTURE = re.compile(r'src="([\w-]+\.svg)"')

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>LIAR: what we found</title>
<style>
body { max-width: 88ch; margin: 0 auto; padding: 24px 16px 64px; font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 28px; line-height: 1.2; } h2 { margin-top: 2em; font-size: 20px; }
a { color: light-dark(#1d4ed8, #93c5fd); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: 4px 14px 4px 0; border-bottom: 1px solid light-dark(#d4d8e0, #3f4757); text-align: left; }
img { max-width: 100%; border-radius: 8px; }
sub { display: block; margin-top: 8px; font-size: 12.5px; vertical-align: baseline; color: light-dark(#525b6b, #aab3c2); }
</style>
</head>
<body>
<main>
"""


@cache
def study_page(path: Path = STUDY) -> str:
    """HTML of the study, docs/study.md and the pages that it links, with their pictures."""
    folder, first = path.with_suffix(""), path.read_text(encoding="utf-8")

    def included(match: re.Match[str]) -> str:
        return f'src="data:image/svg+xml;base64,{b64encode((folder / match[1]).read_bytes()).decode()}"'

    pages = [
        f"<a id='{name}'></a>\n\n#{(folder / f'{name}.md').read_text(encoding='utf-8')}"
        for name in _LINK.findall(first)
    ]
    text = "\n\n".join([_LINK.sub(r"(#\1)", first), *pages])
    body = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    body = body.replace("<table>", '<div class="wide" role="region" aria-label="Table" tabindex="0"><table>')
    body = body.replace("</table>", "</table></div>")
    return f"{_HEAD}{_PICTURE.sub(included, body)}</main>\n</body>\n</html>\n"


def _study(_request: Request) -> Response:
    return HTMLResponse(study_page())


SITE = Path(__file__).resolve().parent.parent / "site"
"""Where `liar export A B --to page --out site`, run beside ``app.py``, writes a page that runs two models in the browser."""


def site(folder: Path = SITE) -> list[Mount]:
    """The page of ``folder``, at ``/site/``; nothing if there is none."""
    if not (folder / "index.html").is_file():
        return []
    return [Mount("/site", StaticFiles(directory=folder, html=True))]


READING = [
    Route("/course/", _course, methods=["GET"]),
    Route("/course/{name}", _course, methods=["GET"]),
    Route("/study", _study, methods=["GET"]),
]
