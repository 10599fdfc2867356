"""Response headers that shorten the loading of the page."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ASSETS = "/assets/"
FOR_EVER = "public, max-age=31536000, immutable"


class Headers:
    """Middleware: announces plotly (4.6 MB) with the page, since Gradio requests it only when a figure is mounted, and
    lets browsers cache bundled files for ever, since their names contain a hash of their content.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        bundled = Path(gr.__file__).parent / "templates" / "frontend" / "assets"
        # None if Gradio bundles plotly differently, which only loses the early start.
        self.link = ", ".join(f"<assets/{file.name}>; rel=modulepreload" for file in bundled.glob("PlotlyPlot-*.js"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")

        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                headers = MutableHeaders(scope=message)
                if path == "/" and self.link:
                    headers["link"] = self.link
                elif path.startswith(ASSETS):
                    headers["cache-control"] = FOR_EVER
            await send(message)

        await self.app(scope, receive, send_more if scope["type"] == "http" else send)
