"""A link that is shared in a chat has a title, a sentence and a picture of its state: Open Graph (https://ogp.me).

The state is read from the query as the page reads it. Of a stored run, or between two of them, the card has the verdict; any
other state has the card of the page itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gradio.route_utils import get_root_url
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders, QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components.address import first_run, read_address
from components.card_picture import HEIGHT, WIDTH, Bar, Card, picture_of
from components.measured.before_after import PLAIN_VARIANTS
from components.rail.recipe import measured_on_its_task, opening_spec
from components.shared.studio import Studio
from liar.errors import LiarError
from liar.presets import preset_of
from liar.report.headline import gains_in_words, headline, headline_between
from liar.report.interpolation import interpolated, of_other_ratios
from liar.report.view import query_of
from liar.report.words.metric_sentences import evaluation_of, metric_of
from liar.results import VARIANTS, Variant
from liar.spec import PruneSpec
from liar.statistics.compare import by_task
from liar.store import RunSummary
from liar.tasks.metrics import METRICS, Metric

PICTURE = "/card.png"
"""Path of the pictures; their query is that of the page."""

MOST_CHARACTERS = 4_096
"""Longest query that is read; each of its choices is checked by itself."""

GENERAL = Card(
    "Prune a BERT or a LLaMA, repair it in closed form, see what happened.", "LIAR: structured pruning, measured."
)

NO_STATE = "card=general"
"""Query of the picture of :data:`GENERAL`: no state of the page has it."""

_OTHERS = re.compile(rb'<meta\s+(?:property|name)="(?:og|twitter):[^>]*>\s*')
"""Tags of Gradio, of which a chat would take the first."""
_HEAD = re.compile(rb"<head[^>]*>")


class Cards:
    """Middleware: writes the tags of the state that a query names into the page, and answers with its picture."""

    def __init__(self, app: ASGIApp, studio: Studio) -> None:
        self.app, self.studio = app, studio

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" and scope["method"] == "GET" else ""
        if path == PICTURE:
            card, _ = await run_in_threadpool(card_of, scope["query_string"], self.studio)
            picture = await run_in_threadpool(picture_of, card)
            kept = {"cache-control": "public, max-age=3600"}
            await Response(picture, media_type="image/png", headers=kept)(scope, receive, send)
        elif path == "/":
            card, query = await run_in_threadpool(card_of, scope["query_string"], self.studio)
            root = get_root_url(Request(scope), "/", scope.get("root_path"))
            await self.app(scope, receive, _with_tags(send, tags(card, root, query)))
        else:
            await self.app(scope, receive, send)


def card_of(query: bytes, studio: Studio) -> tuple[Card, str]:
    """The card of the state that a query of the page names, and the query of its address as the page writes it."""
    if len(query) > MOST_CHARACTERS:
        return GENERAL, NO_STATE
    spec, view, complaint = read_address(QueryParams(query).multi_items())
    if spec is None and complaint is None:
        opened = first_run(studio.store, opening_spec())
        spec = opened.spec if opened else None
    if spec is not None:
        spec = measured_on_its_task(spec)
        try:
            studio.profile.check(spec)
            if (card := _verdict(spec, studio)) is not None:
                return card, query_of(spec, view)
        except LiarError:
            pass
    return GENERAL, NO_STATE


def tags(card: Card, root: str, query: str) -> str:
    """Elements of the head, of a page at the address ``root``."""
    picture, link = f"{root}{PICTURE}?{query}", f"{root}/" if query == NO_STATE else f"{root}/?{query}"
    content = {
        "og:site_name": "LIAR",
        "og:type": "website",
        "og:title": card.title,
        "og:description": card.sentence,
        "og:url": link,
        "og:image": picture,
        "og:image:type": "image/png",
        "og:image:width": WIDTH,
        "og:image:height": HEIGHT,
        "og:image:alt": card.title,
    }
    found = [Markup('<meta property="{}" content="{}">').format(*each) for each in content.items()]
    return "\n".join([*found, '<meta name="twitter:card" content="summary_large_image">'])


def _verdict(spec: PruneSpec, studio: Studio) -> Card | None:
    """The card of a stored run, or of a ratio between two of them; None for any other recipe."""
    preset = preset_of(spec.model)
    model = (spec.model if preset is None else preset.label)[:80]
    if (run := studio.store.find(spec)) is not None:
        for items in by_task(run.evaluations).values():
            if items.keys() >= set(VARIANTS):
                values = {variant: items[variant].value for variant in VARIANTS}
                sentence = f"{model}: {gains_in_words(run.totals, run.gains)}"
                return Card(headline(run), sentence, _bars(values, METRICS[items["dense"].metric]))
        return None
    runs = of_other_ratios(spec, studio.store.summaries())
    if not (title := headline_between(spec, runs)):
        return None
    return Card(title, f"{model}: between two measured runs.", _between(spec, runs), is_measured=False)


def _between(spec: PruneSpec, runs: Mapping[float, RunSummary]) -> tuple[Bar, ...]:
    """Bars of the first task that is known at a ratio between two of ``runs``."""
    cut, repaired = (interpolated(spec, runs, variant) for variant in VARIANTS[1:])
    task = next(name for name in spec.evaluate if name in cut and name in repaired)
    dense = evaluation_of(next(iter(runs.values())), task, "dense")
    values: dict[Variant, float] = {"dense": dense.value} if dense is not None else {}
    return _bars({**values, "pruned": cut[task], "reconstructed": repaired[task]}, metric_of(runs.values(), task))


def _bars(values: Mapping[Variant, float], metric: Metric) -> tuple[Bar, ...]:
    # Rounded, so that the ratios with one headline have one picture.
    reach = 1.0 if metric.percent else max(map(abs, values.values())) or 1.0
    return tuple(
        Bar(PLAIN_VARIANTS[variant], variant, metric.words(value), round(min(1.0, max(0.0, value / reach)), 3))
        for variant, value in values.items()
    )


def _with_tags(send: Send, written: str) -> Send:
    """Sender that replaces the tags in the head of an HTML page by those ``written``."""
    begun: list[Message] = []
    body = bytearray()

    async def send_edited(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if message["status"] == 200 and headers.get("content-type", "").startswith("text/html"):
                begun.append(message)
                return
        elif begun and message["type"] == "http.response.body":
            body.extend(message.get("body", b""))
            if message.get("more_body", False):
                return
            page = _edited(bytes(body), written.encode())
            MutableHeaders(scope=begun[0])["content-length"] = str(len(page))
            await send(begun[0])
            message = {**message, "body": page}
        await send(message)

    return send_edited


def _edited(page: bytes, written: bytes) -> bytes:
    head, script, rest = page.partition(b"<script")
    head = _HEAD.sub(lambda found: found[0] + b"\n" + written, _OTHERS.sub(b"", head), count=1)
    return head + script + rest
