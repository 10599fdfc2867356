"""Signing in to the Hub on a Space, with Gradio's button and its addresses."""

from __future__ import annotations

import os
from urllib.parse import quote

from starlette.types import ASGIApp, Receive, Scope, Send

LOGIN_PATHS = ("/login/huggingface", "/login/callback", "/logout")

_TARGET = b"_target_url="


def offers_login() -> bool:
    """Whether this is a Space whose metadata say ``hf_oauth: true``; Gradio signs nobody in elsewhere."""
    return os.environ.get("SYSTEM") == "spaces" and bool(os.environ.get("OAUTH_CLIENT_ID"))


class WholeTarget:
    """Middleware: Gradio's button appends the query of the page to the address that it comes back to, without a quote, so that
    all but the first choice of the recipe would be lost."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] in LOGIN_PATHS:
            query: bytes = scope["query_string"]
            if query.startswith(_TARGET + b"/?"):
                target = query.removeprefix(_TARGET).decode("latin-1")
                scope = {**scope, "query_string": _TARGET + quote(target, safe="").encode()}
        await self.app(scope, receive, send)
