"""What was found, at ``/findings``: ten claims, each with its figures and a link to its run in the page and to the study."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

from jinja2 import FileSystemLoader
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from liar.course.claims import Bar, claims
from liar.course.figures import Shelf
from liar.course.pictures import bars
from liar.errors import LiarError
from liar.report.pages.html import ENVIRONMENT
from liar.report.pages.interactive import content_hash
from liar.report.plots.frame import FONTS
from liar.report.view import View, query_of
from server.reading import font_faces

_HERE = Path(__file__).parent


def _drawn(figures: Sequence[Bar]) -> Markup:
    return bars({bar.label: bar.figure for bar in figures}, [bar.variant for bar in figures])


_PAGES = ENVIRONMENT.overlay(loader=FileSystemLoader(_HERE))
_PAGES.filters = {**_PAGES.filters, "bars": _drawn}


@cache
def findings_page() -> str:
    """HTML of the claims that their figures bear out; raises :class:`liar.errors.StorageError` for a missing run."""
    fonts = f":root {{ --fonts: {', '.join(FONTS)}; }}"
    style = f"{font_faces()}\n{fonts}\n{(_HERE / 'findings.css').read_text(encoding='utf-8')}"
    return _PAGES.get_template("findings.html.j2").render(
        claims=[claim for claim in claims(Shelf()) if claim.holds],
        query_of=partial(query_of, view=View()),
        style=Markup(style),
        style_hash=content_hash(style),
    )


def _findings(_request: Request) -> Response:
    try:
        return HTMLResponse(findings_page())
    except LiarError as error:
        return PlainTextResponse(str(error), 503)


FINDINGS = [Route("/findings", _findings, methods=["GET"])]
