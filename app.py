"""The page: build its Blocks and serve them; the panels are in ``components``, the work is in ``liar``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile

import gradio as gr
from gradio.blocks import Block
from starlette.middleware import Middleware

from components.address import Opening, address_bar, first_run
from components.api import serve_api
from components.apply import Apply
from components.card import Cards
from components.explorer import Explorer
from components.layers.layers import LayersPanel
from components.layers.picture import ModelPicture
from components.lesson_beside import LessonBeside
from components.measured.accuracy import AccuracyPanel
from components.measured.before_after import BeforeAfterPanel
from components.measured.generations import GenerationsPanel
from components.measured.verdict import VerdictPanel
from components.openings import OPENINGS, STORIES, openings
from components.rail.recipe import Recipe, of_layout, opening_spec
from components.shared.lookup import what_is_known
from components.shared.panel import QUEUED, Panel
from components.shared.provenance import provenance
from components.shared.studio import Bus, Studio
from components.shared.theme import HEAD, stylesheets, theme
from components.simple_or_full import layout_marker, layout_switch, mark
from components.takeaway.runs import RunsPanel, picked
from components.takeaway.save_model import SavingPanel
from components.takeaway.takeaway import TakeawayPanel
from components.tradeoff.tradeoff import TradeoffPanel
from liar.cli.startup import settle_threads
from liar.errors import LiarError
from liar.events import Finished
from liar.explore.atlas_store import AtlasStore
from liar.report.view import Layout, View
from liar.spec import PruneSpec
from liar.store import RunStore
from server.findings import FINDINGS
from server.headers import Headers
from server.job_queue import JobQueue
from server.login import WholeTarget
from server.model_registry import ModelRegistry
from server.profile import PROFILES, Profile, profile_of, serves_tools
from server.rate import Rate
from server.reading import READING, LessonLinks, site
from server.request_filter import RequestFilter
from server.strict_blocks import Page

TITLE = (
    "<h1>LIAR</h1><p class='full-only'>Prune a BERT or a LLaMA, repair it in closed form, see what happened.</p>"
    "<p><a href='course/' target='_blank'>Course</a> <a href='findings' target='_blank'>Findings</a> {site}"
    "<a href='#recipe' class='to-recipe'>To the recipe</a></p>"
)

IN_BROWSER = "<a href='site/' target='_blank'>In your browser</a> "
"""Leads to the page of two models that was exported for this one."""

SWITCH_SECONDS = 0.0005
"""Longest time that a handler may keep the interpreter from a run, which needs it before each of its many products."""

WAITING_EVENTS = 64
"""Most events in Gradio's own queue; above that, Gradio asks the visitor to come back."""

PRIVATE_NETWORKS = "127.0.0.1,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16"
"""Networks of a Space's proxy: the client address that it forwards is trusted, since only it can reach the server."""

LOOK_SECONDS = 0.02
"""Pause of Gradio between looks for new events; its default, a millisecond, costs a run a twentieth of its time."""


def build(studio: Studio, opens_with: PruneSpec) -> tuple[gr.Blocks, Apply, Opening]:
    """Build the whole page, with the stored run of the recipe ``opens_with`` if there is one; the parts beside it lead to all
    others.
    """
    result, view = first_run(studio.store, opens_with), View()
    spec = result.spec if result else opens_with
    line = provenance(spec, spec.key, result) if result else ""
    page = Page(title="LIAR: prune and repair", analytics_enabled=False, fill_width=True)
    with page:
        bus = Bus(spec, view, spec.key if result else "")
        with gr.Row(elem_id="header"):
            gr.HTML(TITLE.format(site=IN_BROWSER if site() else ""), elem_id="title")
            links, (layout, remembered) = openings(studio.store, OPENINGS, "openings"), layout_switch(view.layout)
        address, marker, beside = address_bar(), layout_marker(view), LessonBeside(bus)
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=0, min_width=320, elem_id="recipe"):
                recipe = Recipe(what_is_known(studio, spec), studio.profile)
                with gr.Column(elem_id="actions"):
                    apply = Apply(studio, bus, recipe)
                    explorer = Explorer(studio, bus, recipe, apply.work.status)
            with gr.Column(scale=1, min_width=320, elem_id="results"):
                verdict, picture, before_after = (
                    VerdictPanel(result),
                    ModelPicture(bus, result, studio.atlases.find(spec)),
                    BeforeAfterPanel(result),
                )
                with gr.Tabs(selected=view.tab, elem_id="tabs") as tabs:
                    with _tab("Layers", "layers"):
                        layers = LayersPanel(studio, bus, result)
                    with _tab("Accuracy", "accuracy"):
                        lines = [gr.HTML(line, elem_classes=["provenance"])]
                        accuracy = AccuracyPanel(studio, bus, result)
                    _tab("Generations", "generations")  # its panel is below the tabs: the simple layout shows it too
                    with _tab("Trade-off", "trade-off"):
                        tradeoff = TradeoffPanel(studio, bus)
                    with _tab("Runs", "runs"):
                        runs = RunsPanel(studio, bus, result)
                    with _tab("Take away", "take-away"):
                        takeaway = TakeawayPanel(studio, bus, result)
                        saving = SavingPanel(studio, bus)
                with gr.Column(elem_id="generations", elem_classes=["card"]):
                    lines.append(gr.HTML(line, elem_classes=["provenance"]))
                    generations = GenerationsPanel(studio, bus, result)
                stories = openings(studio.store, STORIES, "stories")
        panels: list[Panel] = [accuracy, generations, tradeoff, runs, takeaway]
        explorer.wire(verdict, picture, before_after, layers, panels, lines, address)
        opening = Opening(explorer, tabs, layout, marker, beside)
        gr.on([links.select, stories.select], picked, None, bus.open, **QUEUED)
        for panel in (layers, picture, generations, runs, takeaway, beside, opening):
            panel.wire()
        tabs.select(_to_tab, bus.view, [bus.view, marker], **QUEUED)
        laid_out: list[Block] = [bus.view, marker, remembered, tabs, recipe.criterion]
        layout.input(_to_layout, [layout, bus.view, bus.spec], laid_out, **QUEUED)
        loaded = page.load(opening.open, remembered, opening.outputs, **QUEUED)
        apply.wire(explorer, loaded)
        for watching in (tradeoff, accuracy.costs, saving):
            watching.wire(loaded)
        page.unload(apply.leave)
        serve_api(studio)
    return page, apply, opening


def _tab(label: str, id: str) -> gr.Tab:
    return gr.Tab(label, id=id, elem_id=f"tab-{id}")


def _to_tab(view: View, event: gr.EventData) -> tuple[View, dict[str, str]]:
    view = view.changed(tab=str(getattr(event, "value", "")).lower().replace(" ", "-"))
    return view, mark(view)


def _to_layout(layout: Layout, view: View, spec: PruneSpec) -> tuple[View, dict[str, str], str, gr.Tabs, gr.Dropdown]:
    view = view.changed(layout=layout)
    criterion = gr.Dropdown(**of_layout(view.layout, spec.criterion))
    return view, mark(view), view.layout, gr.Tabs(selected=mark(view)["tab"]), criterion


def warm_up() -> None:
    """Import torch and all else that a run needs before the first visitor comes: in a thread the import would take as
    long, and make the open pages stutter."""
    import liar.jobs.pipeline  # noqa: F401


def chosen_profile(arguments: list[str] | None = None) -> Profile:
    """The profile named on the command line, else the one for this host."""
    parser = argparse.ArgumentParser(description="Serve the page of LIAR.")
    parser.add_argument("--profile", choices=PROFILES, help="default: local on a loopback address, else public")
    named = parser.parse_args(arguments).profile
    server, space = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), os.environ.get("SPACE_ID")
    profile = profile_of(named, server, space)
    if named is None and space is None and profile.name == "public":
        print(f"Others can reach {server}, so the profile is public; --profile local trusts every visitor.")
    return profile


def preload(studio: Studio) -> None:
    """Fetch and load the model that the page opens with, for the first visitor who applies a recipe."""
    model = opening_spec().model
    try:
        if studio.profile.preloads:
            studio.registry.get(model, "auto", "auto")
    except LiarError as error:
        print(f"{model} is not loaded yet. {error}")


def main(arguments: list[str] | None = None) -> None:
    """Serve the page; Gradio reads GRADIO_SERVER_NAME and GRADIO_SERVER_PORT."""
    profile = chosen_profile(arguments)
    settle_threads()
    sys.setswitchinterval(SWITCH_SECONDS)
    if "SPACE_ID" in os.environ:
        os.environ.setdefault("FORWARDED_ALLOW_IPS", PRIVATE_NETWORKS)
    # Gradio serves every file in its temporary folder, which by default all Gradio apps on a machine share.
    with tempfile.TemporaryDirectory(prefix="liar-page-", dir=os.environ.get("GRADIO_TEMP_DIR")) as downloads:
        os.environ["GRADIO_TEMP_DIR"] = downloads
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that the folder is removed
        serve(profile)


def serve(profile: Profile) -> None:
    """Build the page and serve it until the process ends."""
    try:
        tools = serves_tools(profile, os.environ.get("GRADIO_MCP_SERVER", "").lower() == "true")
    except LiarError as error:
        sys.exit(str(error))
    store, registry = RunStore(), ModelRegistry(profile.model_bytes)

    def keep(finished: Finished) -> None:
        if finished.variants is not None:
            registry.keep(finished.result.spec.key, finished.variants)
        if finished.calibration is not None:
            registry.keep_calibration(finished.calibration)

    jobs = JobQueue(profile.waiting_jobs, rate=Rate(profile.starts, profile.starts_of_address), on_finished=keep)
    studio = Studio(store, AtlasStore(), registry, jobs, profile)
    page, *_ = build(studio, opening_spec())
    page.queue(max_size=WAITING_EVENTS, api_open=False)
    page._queue.sleep_when_free = page._queue.progress_update_sleep_when_free = LOOK_SECONDS
    page._queue.pending_messages_per_session.max_size = profile.sessions
    warm_up()
    page.launch(
        theme=theme(),
        css_paths=stylesheets(),
        head=HEAD,
        footer_links=[],
        mcp_server=tools,
        ssr_mode=False,
        run_history=False,
        enable_monitoring=False,
        state_session_capacity=profile.sessions,
        app_kwargs={
            "middleware": [
                Middleware(RequestFilter, page=page, profile=profile),
                Middleware(LessonLinks),
                Middleware(Cards, studio=studio),
                Middleware(WholeTarget),
                Middleware(Headers),
            ],
            "routes": [*READING, *site(), *FINDINGS],
        },
        prevent_thread_lock=True,
    )
    preload(studio)
    page.block_thread()


if __name__ == "__main__":
    main()
