"""The study, docs/study.md and the pages that it links, as one page of HTML at ``/study``."""

from __future__ import annotations

import re
from base64 import b64encode
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

STUDY = Path(__file__).resolve().parent.parent / "docs" / "study.md"
"""Its first page; the others and their pictures are in the folder ``study`` beside it."""

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
    """HTML of the study, its pictures included."""
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


def _answer(_request: Request) -> Response:
    return HTMLResponse(study_page())


STUDY_ROUTE = Route("/study", _answer, methods=["GET"])
