"""The course at ``/course/``, and the links ``/?lesson=6&step=3`` into it."""

from __future__ import annotations

from functools import cache
from urllib.parse import parse_qs, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from liar.course.lesson import lessons
from liar.course.site import names, page
from liar.errors import LiarError

COURSE = "/course/"


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


@cache
def _page(name: str) -> str:
    return page(name, home="../")


def _answer(request: Request) -> Response:
    name = request.path_params.get("name", "index.html")
    if name not in names():
        return PlainTextResponse("The course has no such page; its list of lessons is at /course/.", 404)
    try:
        return HTMLResponse(_page(name))
    except LiarError as error:
        return PlainTextResponse(str(error), 503)


COURSE_ROUTES = [Route(COURSE, _answer, methods=["GET"]), Route(f"{COURSE}{{name}}", _answer, methods=["GET"])]
