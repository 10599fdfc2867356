"""The app on a free port, and Chromium to visit it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Locator, Page, Request, expect, sync_playwright

from liar.results import RunResult
from liar.store import RunStore
from tests.hostile.client import first_traceback, free_port
from tests.shipped import shipped_run

ROOT = Path(__file__).resolve().parents[2]
OUT = Path(__file__).resolve().parent / "out"
"""Folder of pictures, which nobody commits."""

DATA = Path(__file__).resolve().parent / "data"
FONTS = {"FONTCONFIG_FILE": str(Path(__file__).resolve().parent / "fonts.conf")}
"""The browser finds the same fonts on every machine."""

START_SECONDS = 90
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-quic",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

SCREENS: list[tuple[int, Literal["light", "dark"]]] = [(1280, "light"), (390, "dark")]
"""Widths and themes of pictures and of checks of accessibility: each width and each theme once."""

SHIPPED = shipped_run("demo/minilm-sentiment").spec
WRITER = shipped_run("demo/smollm2-135m").spec.to_query()
"""The shipped run of the language model at 50 %."""

MINILM = SHIPPED.to_query()
"""The shipped run of the small classifier at 50 %, whatever the defaults were when it was made."""

FAST = f"{MINILM}&criterion=fluctuation&allocation=uniform&schedule=one-shot&tokens=2048&evaluate_limit=100"
"""A recipe that is applied in seconds; neither a run nor an atlas of it is stored."""

SLOW = f"{FAST.replace('=100', '=1200')}&sequence_length=128"
"""The same recipe, slow enough to be stopped or reloaded on the way."""


@dataclass(frozen=True)
class Server:
    """A running page: its ``port``, the file ``log`` of its output, and the ``start_seconds`` until its first answer.

    ``runs`` is the folder of its finished runs, ``pid`` the id of its process.
    """

    port: int
    log: Path
    start_seconds: float
    runs: Path
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


_DRAWN = """(selector) => {
  const plot = document.querySelector(selector + ' .js-plotly-plot');
  if (!plot?.data) return '';
  return JSON.stringify({
    traces: plot.data.map(({ type, name, x, y, z, customdata }) => ({ type, name, x, y, z, customdata })),
    titles: (plot.layout.annotations ?? []).map((item) => item.text),
    shapes: (plot.layout.shapes ?? []).map(({ x0, y0, yref }) => ({ x0, y0, yref })),
  });
}"""

Visit = Callable[..., Page]


@pytest.fixture(scope="session")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium on this machine: install the package chromium")
    return found


@pytest.fixture(scope="session")
def server(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The page as started by default; fails if its log holds a traceback after the last test."""
    with serving(["-m", "app"], tmp_path_factory.mktemp("server")) as server:
        yield server
        assert first_traceback(server.log) == ""


def still_run() -> RunResult:
    """The only run of the still page, with separator and tokens of the shipped run, so that the shipped atlases apply."""
    run = RunResult.model_validate_json((DATA / "run.json").read_text())
    chosen = {"separator": SHIPPED.separator, "tokens": SHIPPED.tokens}
    return run.model_copy(update={"spec": run.spec.model_copy(update=chosen)})


@pytest.fixture(scope="session")
def still_server(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The page with one fixed run, for screenshots and for tests that need no model; its endpoints are tools as well."""
    folder = tmp_path_factory.mktemp("still")
    RunStore(shipped=folder / "shipped").ship(still_run())
    command = [str(Path(__file__).parent / "still_page.py"), str(folder / "shipped")]
    with serving(command, folder, GRADIO_MCP_SERVER="True") as server:
        yield server


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    OUT.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS, env={**os.environ, **FONTS})
        yield browser
        browser.close()


@pytest.fixture
def offline(browser: Browser) -> Iterator[Page]:
    """A page of a browser without a network; a script error or a refused resource fails the test."""
    context = browser.new_context(offline=True)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text))
    yield page
    context.close()
    assert problems == []


@pytest.fixture
def visit(browser: Browser, server: Server) -> Iterator[Visit]:
    """A function that opens the page for another visitor, each in its own context; a script error fails the test."""
    with visits(browser, server) as visit:
        yield visit


@pytest.fixture
def visit_still(browser: Browser, still_server: Server) -> Iterator[Visit]:
    """The same for the page with one fixed run."""
    with visits(browser, still_server) as visit:
        yield visit


@pytest.fixture
def still(visit_still: Visit) -> Page:
    """The full layout of the page with one fixed run, which a test must not make load a model."""
    return full(visit_still(), still_run().spec.to_query())


@pytest.fixture
def page(visit: Visit) -> Page:
    """The page of a new visitor at 1280 x 900 pixels."""
    return visit()


# -- actions and readings ------------------------------------------------------------------------------------------------


def opened(page: Page, link: str = "/") -> Page:
    """Open ``link`` and wait until its figures are drawn and, for the full layout, the view of the link is set."""
    page.goto(link)
    expect(page.locator("#verdict h2")).to_be_visible()
    if "layout=full" in link:
        expect(page.locator("body")).to_have_attribute("data-layout", "full")
    if not any(f"tab={name}" in link for name in ("accuracy", "generations", "trade-off", "runs", "take-away")):
        nothing = page.get_by_role("heading", name="Nothing is known of this recipe yet.")
        figure = "#heatmap .heatmaplayer .hm" if "layout=full" in link else "#model-picture svg"
        expect(page.locator(figure).first.or_(nothing).first).to_be_visible()
    return page


def full(page: Page, recipe: str = WRITER, tab: str = "layers", **view: str) -> Page:
    """Open the full layout with a recipe, and wait until the view of the link is set."""
    chosen = "".join(f"&{name}={value}" for name, value in view.items())
    return opened(page, f"/?{recipe}&layout=full&tab={tab}{chosen}")


def settled(page: Page) -> None:
    """Wait until every figure in sight is as wide as its place."""
    page.wait_for_function(
        """() => [...document.querySelectorAll('.js-plotly-plot')].every(
            (plot) => !plot.offsetParent || Math.abs(plot._fullLayout?.width - plot.clientWidth) < 1)"""
    )


def to_tab(page: Page, name: str) -> None:
    """Open a tab, through the overflow menu if the window is too narrow for it."""
    tab, menu = page.get_by_role("tab", name=name), page.get_by_role("button", name="More tabs")
    expect(tab.or_(menu).first).to_be_visible()
    if not tab.is_visible():
        menu.click()
        tab = page.locator(".overflow-dropdown").get_by_role("button", name=name)
    tab.click()
    expect(page.locator("body")).to_have_attribute("data-tab", name.lower().replace(" ", "-"))


def apply(page: Page) -> None:
    """Press the primary button and wait until the run can be stopped."""
    page.get_by_role("button", name="Measure it", exact=True).click()
    expect(page.locator("#apply-stop")).to_be_enabled()


def finished(page: Page, seconds: float = 120) -> None:
    """Wait for the end of the run; an error message of the page fails the test at once."""
    status = page.locator("#status")
    expect(status.get_by_text("Done.").or_(status.get_by_role("alert"))).to_be_visible(timeout=seconds * 1000)
    expect(status).to_contain_text("Done.")
    expect(page.locator("#apply")).to_be_enabled()


def kind(page: Page) -> Locator:
    """The pill of the verdict: Measured or Predicted."""
    return page.locator("#verdict h2 .kind")


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until the element has the focus."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"40 presses of Tab do not reach {selector}")


def slide(page: Page, selector: str, value: float) -> None:
    """Set a slider, with the events that dragging it fires."""
    page.locator(f"{selector} input[type=range]").fill(f"{value:g}")


def unfolded(control: Locator) -> Locator:
    """``control``, once the group of the rail that it is in is open."""
    control.evaluate("(control) => control.closest('.group')?.dispatchEvent(new Event('liar:unfold'))")
    return control


def dropdown(page: Page, label: str, option: str) -> None:
    unfolded(page.get_by_label(label, exact=True)).click()
    page.get_by_role("option", name=option, exact=True).click()


def drawn(page: Page, selector: str) -> str:
    """Traces, titles and shapes of the plotly figure at ``selector`` as JSON, to compare figures."""
    return str(page.evaluate(_DRAWN, selector))


def redrawn(page: Page, selector: str, before: str, seconds: float = 30) -> str:
    """Wait until a figure is no longer ``before``; return the new one."""
    changed = f"([selector, before]) => ![before, ''].includes(({_DRAWN})(selector))"
    page.wait_for_function(changed, arg=[selector, before], timeout=seconds * 1000)
    return drawn(page, selector)


def events_of(page: Page, id: str) -> list[Any]:
    """A list of the events of the element ``id`` that the page sends to the server from now on."""
    component = page.evaluate("id => gradio_config.components.find(({ props }) => props.elem_id === id).id", id)
    sent: list[Any] = []

    def note(request: Request) -> None:
        if "/queue/join" in request.url and request.post_data_json["trigger_id"] == component:
            sent.append(request.post_data_json)

    page.on("request", note)
    return sent


def severe(page: Page) -> list[tuple[str, list[Any]]]:
    """Serious and critical accessibility violations found by axe: each rule and the first elements that break it.

    The colours are those that stay: in the middle of a transition, as of a button that is enabled again, they are of
    neither state.
    """
    from axe_playwright_python.sync_playwright import Axe

    page.evaluate(
        """() => Promise.allSettled(
            document.getAnimations().filter((one) => one instanceof CSSTransition).map((one) => one.finished)
        )"""
    )
    report = Axe().run(page, options={"resultTypes": ["violations"]})
    return [
        (item["id"], [node["target"] for node in item["nodes"]][:5])
        for item in report.response["violations"]
        if item["impact"] in ("serious", "critical")
    ]


def too_wide(page: Page) -> int:
    """Pixels by which the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def fits_and_can_be_read(page: Page) -> None:
    """Assert that the page has no severe violation and is not too wide, on a computer and on a phone."""
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        assert severe(page) == []


# -- servers and visitors -------------------------------------------------------------------------------------------------


@contextmanager
def serving(command: list[str], folder: Path, cwd: Path = ROOT, **more: str) -> Iterator[Server]:
    """The page that ``python`` starts with ``command`` in ``cwd``; its runs and its log are in ``folder``."""
    port, log, start = free_port(), folder / "log", time.monotonic()
    environment = {
        **os.environ,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "LIAR_RUNS": str(folder / "runs"),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        **more,
    }
    with log.open("w") as file:
        process = subprocess.Popen([sys.executable, *command], cwd=cwd, env=environment, stdout=file, stderr=file)
        try:
            _wait_until_up(f"http://127.0.0.1:{port}", process, log)
            yield Server(port, log, time.monotonic() - start, folder / "runs", process.pid)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def visits(browser: Browser, server: Server) -> Iterator[Visit]:
    expect.set_options(timeout=20_000)
    contexts = []
    errors: list[str] = []

    def visit(width: int = 1280, height: int = 900) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, base_url=server.url)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not errors, errors


def _wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the page did not come up:\n{log.read_text()[-3000:]}")
