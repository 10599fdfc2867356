"""What a visitor waits for: the real page in headless Chromium, with the limits that it must keep.

    python benchmarks/page.py                 prints figures and limits; exits 1 above a limit
    python benchmarks/page.py --write         also puts them into docs/page.md, between its markers
    python benchmarks/page.py --only slider   one part alone: paint, slider, draw, apply, course or file

Chromium must be on the path. The page starts with an empty folder of runs, so only shipped results are stored.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import gradio as gr
from gradio.state_holder import SessionState
from playwright.sync_api import Browser, Page, sync_playwright
from readme import ROOT, command_line, memory, plain, show
from rich.table import Table

from liar.course.lesson import lessons
from liar.presets import PRESETS
from liar.spec import PruneSpec

PAINT_SECONDS, SLIDER_SECONDS, DRAW_SECONDS = 3.0, 0.4, 0.15
HEATMAP_SECONDS, ALL_SECONDS, KNOWN_SECONDS, CLASSIFIER_SECONDS = 25.0, 90.0, 55.0, 7.0
REVEAL_SECONDS, FILE_SECONDS = 0.4, 0.05
FILE_MEGABYTES, ALL_CRITERIA_MEGABYTES, LESSONS_MEGABYTES = 0.4, 1.5, 300.0
VISITS, MOVES, SITES = 5, 20, 60

WRITER = "demo/smollm2-135m"
RECIPE = "targets=ffn&schedule=one-shot&tokens=4096&separator=auto&layout=full&tab=layers"
"""Query of the applied recipes; all other choices are those of a link that leaves them out, such as the criterion obs."""

_Z = "JSON.stringify(document.querySelector('#heatmap .js-plotly-plot')?.data?.map((trace) => trace.z))"
"""JavaScript for the values of the heatmap."""

_MOVE = f"""async ([value]) => {{
  const isFull = document.body.dataset.layout === 'full';
  const layers = () => [...document.querySelectorAll('#model-picture svg')].map((layer) => layer.innerHTML).join();
  const drawn = () => isFull ? {_Z} : layers();
  const before = drawn(), slider = document.querySelector('#ratio input[type=range]'), begin = performance.now();
  slider.value = value;
  slider.dispatchEvent(new Event('input', {{ bubbles: true }}));
  while (performance.now() - begin < 10000) {{
    await new Promise(requestAnimationFrame);
    if (drawn() && drawn() !== before) return performance.now() - begin;
  }}
  throw new Error('the picture did not follow');
}}"""
"""JavaScript: milliseconds from moving the ratio slider to the frame that shows another picture of the model, or heatmap."""

_REVEAL = """async () => {
  const begin = performance.now();
  document.querySelector('#bet-form button').click();
  while (!document.querySelector('#said').textContent) await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
  return performance.now() - begin;
}"""
"""JavaScript: milliseconds from a click on the bet to the frame that shows its answer."""

_REDRAW = """([value]) => {
  const [ratio, heatmap] = ['#ratio', '#heatmap'].map((part) => document.querySelector(part)), before = heatmap.innerHTML;
  const begin = performance.now();
  ratio.value = value;
  ratio.dispatchEvent(new Event('input', { bubbles: true }));
  document.body.getBoundingClientRect();  // the layout of what was drawn
  const milliseconds = performance.now() - begin;
  if (heatmap.innerHTML === before) throw new Error('the heatmap did not follow');
  return milliseconds;
}"""
"""JavaScript: milliseconds in which a file that needs no server answers a move of its slider."""


@dataclass(frozen=True)
class Measured:
    """A figure in seconds or megabytes, its limit, and a description of the statistic."""

    part: str
    found: float
    limit: float
    of: str
    unit: str = "s"


def main() -> int:
    parser = command_line(__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone; may be repeated")
    arguments = parser.parse_args()
    if arguments.write and arguments.only:
        parser.error("--write replaces the whole section; leave --only out")
    chosen = arguments.only or list(PARTS)
    found = [measured for name in PARTS if name in chosen for measured in PARTS[name]()]
    table = Table("part", "found", "limit", "", "of", box=None)
    for measured in found:
        table.add_row(measured.part, f"{measured.found:.3f}", f"{measured.limit:g}", measured.unit, measured.of)
    show("page", plain(table), arguments.write)
    return 0 if all(measured.found <= measured.limit for measured in found) else 1


# -- parts ----------------------------------------------------------------------------------------------------------------


def paint() -> list[Measured]:
    """Time from opening the page with an empty cache until verdict and picture of the model are drawn."""
    seconds = []
    with served() as server, chromium() as browser:
        for _ in range(VISITS):
            begin = time.perf_counter()
            page = visit(browser, server.url)
            seconds.append(time.perf_counter() - begin)
            page.context.close()
    words = f"the slowest of {VISITS} visits, median {median(seconds):.3f}"
    return [Measured("first paint", max(seconds), PAINT_SECONDS, words)]


def slider() -> list[Measured]:
    """Times from a move of the ratio to the picture that the page opens with, and to the heatmap of SmolLM2's 30 sites."""
    found = []
    with served() as server, chromium() as browser:
        for part, query in (("picture", ""), ("heatmap", f"?model={WRITER}&layout=full&tab=layers")):
            page = visit(browser, f"{server.url}/{query}")
            page.wait_for_timeout(1000)
            page.evaluate(_MOVE, [0.3])  # the first move loads the atlas
            seconds = [page.evaluate(_MOVE, [round(0.1 + 0.04 * move, 2)]) / 1000 for move in range(MOVES)]
            words = f"median of {MOVES} moves, the slowest {max(seconds):.3f}"
            found.append(Measured(f"slider to {part}", median(seconds), SLIDER_SECONDS, words))
            page.context.close()
    return found


def draw() -> list[Measured]:
    """Time of the server's answer to a move, serialised as it is sent, for all 60 sites of SmolLM2."""
    from app import build
    from components.rail.recipe import default_spec
    from components.shared.studio import Studio
    from liar.explore.atlas_store import AtlasStore
    from liar.store import RunStore
    from server.job_queue import JobQueue
    from server.model_registry import ModelRegistry
    from server.profile import LOCAL

    with tempfile.TemporaryDirectory() as folder:
        studio = Studio(RunStore(Path(folder)), AtlasStore(Path(folder)), ModelRegistry(), JobQueue(), LOCAL)
        page, *_ = build(studio, default_spec())
        session, request = SessionState(page), gr.Request(session_hash="benchmark")
        explore = next(function for function in page.fns.values() if function.name == "explore")
        names = [block.elem_id for block in explore.inputs]
        values = [None if block.stateful else getattr(block, "value", None) for block in explore.inputs]
        values[names.index("targets")] = "both"
        seconds = []
        for move in range(MOVES + 1):  # the first one loads the atlas
            values[names.index("ratio")] = round(0.1 + 0.02 * move, 2)  # heads allow no more than a half
            begin = time.perf_counter()
            answer = asyncio.run(page.process_api(explore, list(values), session, request))
            seconds.append(time.perf_counter() - begin)
            drawn = str(answer["data"]).count("data-site=") // 2  # in the picture and in the table
            if drawn != SITES:
                raise RuntimeError(f"{drawn} sites were drawn in place of {SITES}")
    words = f"median of {MOVES} moves, the slowest {max(seconds[1:]):.3f}"
    return [Measured("draw 60 sites on the server", median(seconds[1:]), DRAW_SECONDS, words)]


def apply() -> list[Measured]:
    """Times from the click on "Measure it" to the measured heatmap and to all metrics and generations: with loading, and for
    another ratio once the dense model is known; of the classifiers the latter alone.
    """
    with served() as server, chromium() as browser:
        first, again = (applied(browser, server, WRITER, ratio) for ratio in (0.5, 0.4))
        classifiers = [preset for preset in PRESETS if preset.adapter is not None]
        later = [[applied(browser, server, preset.id, ratio)[1] for ratio in (0.5, 0.4)][1] for preset in classifiers]
    words = "SmolLM2, FFN, {} %, one-shot, 4,096 tokens, from the click"
    slowest = classifiers[later.index(max(later))].title
    return [
        Measured("apply, to the heatmap", first[0], HEATMAP_SECONDS, words.format(50)),
        Measured("apply, to all metrics and generations", first[1], ALL_SECONDS, words.format(50)),
        Measured("apply again, dense model known", again[1], KNOWN_SECONDS, words.format(40)),
        Measured("the same of classifiers", max(later), CLASSIFIER_SECONDS, f"the slowest of {len(later)}: {slowest}"),
    ]


def applied(browser: Browser, server: Served, model: str, ratio: float) -> tuple[float, float]:
    """Seconds from the click on "Measure it" to the measured heatmap, and to all metrics and generations."""
    page = visit(browser, f"{server.url}/?model={model}&ratio={ratio}&{RECIPE}")
    page.wait_for_timeout(1000)
    before = page.evaluate(_Z)
    begin = time.perf_counter()
    page.get_by_role("button", name="Measure it", exact=True).click()
    another = f"(before) => ![before, undefined].includes({_Z})"
    page.wait_for_function(another, arg=before, polling=100, timeout=300_000)
    heatmap = time.perf_counter() - begin
    page.locator("#status").get_by_text("Done.").wait_for(timeout=300_000)
    everything = time.perf_counter() - begin
    if page.locator("#generations-stored .variant").count() < 3:
        raise RuntimeError("the run has no generations to show")
    page.context.close()
    return heatmap, everything


def course() -> list[Measured]:
    """Times until a step of each lesson is there in an empty browser, from a bet to its answer, and the server's memory."""
    with served() as server, chromium() as browser:
        steps, reveals = [], []
        visit(browser, server.url).context.close()  # what the page itself takes
        before = server.megabytes
        for lesson in lessons():
            page = browser.new_context().new_page()
            begin = time.perf_counter()
            page.goto(f"{server.url}/?lesson={lesson.number}&step=2", wait_until="commit")
            page.locator("#bet-form button").wait_for()
            steps.append(time.perf_counter() - begin)
            if lesson.bet.kind == "choice":
                page.locator("#bet-form input").first.check()
                reveals.append(page.evaluate(_REVEAL) / 1000)
            page.context.close()
            page = browser.new_context().new_page()  # again, beside the page, whose recipe it sets
            page.goto(f"{server.url}/course/{lesson.number:02}-{lesson.name}.html")
            page.get_by_role("link", name="Read it beside the page").click()
            page.locator("#verdict h2").wait_for()
            page.frame_locator("#beside iframe").locator("h1").wait_for()
            page.context.close()
        after = server.megabytes
    seen = f"the slowest of {len(steps)} lessons, each seen first"
    return [
        Measured("a step of a lesson", max(steps), PAINT_SECONDS, seen),
        Measured("a bet to its answer", max(reveals), REVEAL_SECONDS, f"the slowest of {len(reveals)} lessons"),
        Measured("memory of the lessons", after - before, LESSONS_MEGABYTES, "all nine, on the server", "MB"),
    ]


def file() -> list[Measured]:
    """Time in which a page that needs no server answers a move, and the sizes of such pages."""
    from liar.explore.atlas_store import AtlasStore
    from liar.report.pages.html import html_report
    from liar.store import RunStore

    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        run = RunStore(Path(folder)).shipped_of(PruneSpec().model)
        assert run is not None, "runs of the demo models come with the package"
        atlas = AtlasStore(Path(folder)).find(run.spec)
        assert atlas is not None, "and their atlases"
        texts = [html_report(run, atlas, criteria) for criteria in ((), atlas.facts.criteria)]
        path = Path(folder) / "page.html"
        path.write_text(texts[0], encoding="utf-8")
        page = browser.new_page()
        page.goto(path.as_uri())
        page.locator("#live").wait_for()
        seconds = [page.evaluate(_REDRAW, [round(0.1 + 0.04 * move, 2)]) / 1000 for move in range(MOVES)]
    one, every = (len(text.encode()) / 1e6 for text in texts)
    words = f"SmolLM2, median of {MOVES} moves, the slowest {max(seconds):.3f}"
    return [
        Measured("a file: slider to heatmap", median(seconds), FILE_SECONDS, words),
        Measured("a file, one criterion", one, FILE_MEGABYTES, "SmolLM2", "MB"),
        Measured("a file, all criteria", every, ALL_CRITERIA_MEGABYTES, "SmolLM2", "MB"),
    ]


PARTS: dict[str, Callable[[], list[Measured]]] = {
    part.__name__: part for part in (paint, slider, draw, apply, course, file)
}

# -- server and visitors --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Served:
    """A page that runs, at ``url``."""

    url: str
    process: subprocess.Popen[bytes]

    @property
    def megabytes(self) -> float:
        """Memory of its process."""
        return memory("VmRSS", self.process.pid) / 1e6


@contextmanager
def served() -> Iterator[Served]:
    """Start the page on a free port, with an empty folder of runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "LIAR_RUNS": f"{folder}/runs"}
        process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        try:
            wait_until_up(url, process)
            yield Served(url, process)
        finally:
            process.terminate()
            process.wait(20)


def wait_until_up(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("the page did not come up")


@contextmanager
def chromium() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        raise SystemExit("No Chromium on this machine: install the package chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def visit(browser: Browser, link: str) -> Page:
    """Open ``link`` in a new browser profile, and return when verdict and picture, or heatmap, are drawn."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.goto(link, wait_until="commit")
    page.locator("#verdict h2").wait_for()
    page.locator("#model-picture svg, #heatmap .heatmaplayer .hm").locator("visible=true").first.wait_for()
    return page


if __name__ == "__main__":
    sys.exit(main())
