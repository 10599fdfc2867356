"""A page of two models in Chromium with the network cut: labels are those of Python, and nothing else is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from liar import LoadedModel, load_model, save_model
from liar.evaluate.answering.nearest import leads
from liar.export import parity
from liar.export.browser.page_for_browsers import page_steps
from liar.export.onnx import onnx_run
from liar.models.heads import class_names
from liar.progress import finish
from liar.tasks.samples import Sample
from tests.browser.conftest import OUT, SCREENS, severe, too_wide
from tests.cut_models import cut

pytestmark = pytest.mark.long

TEXTS = 20
TIES, TIE = 1, 0.1
"""How many of 40 labels may differ from Python's, where the two largest shares are how near."""
Site = tuple[Path, LoadedModel]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the page is asked for many files."""


def made(model: str, folder: Path) -> Site:
    """A page of a demo model and of its copy with a third of its neurons gone, ragged."""
    loaded = load_model(model, "cpu", "float32")
    smaller = load_model(model, "cpu", "float32")
    cut(smaller, "ffn", lambda layer: 900 + 50 * layer, repaired=False)
    save_model(smaller, folder / "smaller")
    finish(page_steps([model, str(folder / "smaller")], folder / "site"))
    return folder / "site", loaded


@pytest.fixture(scope="module")
def topics(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return made("demo/minilm-topic", tmp_path_factory.mktemp("topics"))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return made("demo/minilm-match", tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return made("demo/minilm", tmp_path_factory.mktemp("search"))


@contextmanager
def opened(browser: Browser, site: Path, fragment: str = "", **context: object) -> Iterator[Page]:
    """The page as a static host serves it; a script error, or a request to any other host, fails the test."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site)))
    Thread(target=server.serve_forever, daemon=True).start()
    home = f"http://127.0.0.1:{server.server_port}/"
    visitor = browser.new_context(**context)  # type: ignore[arg-type]
    page, problems = visitor.new_page(), []
    page.route("**/*", lambda route: route.continue_() if route.request.url.startswith(home) else route.abort())
    page.on("requestfailed", lambda request: problems.append(request.url))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    try:
        page.goto(f"{home}{fragment}")
        expect(page.locator("body[data-answered]")).to_be_attached(timeout=60_000)
        yield page
        assert problems == []
    finally:
        visitor.close()
        server.shutdown()


def ask(page: Page, sample: Sample) -> None:
    texts = [sample.text] if sample.pair is None else [sample.text, sample.pair]
    for name, text in zip(("#text", "#pair"), texts, strict=False):
        page.locator(name).fill(text)
    asked = json.dumps(texts, ensure_ascii=False, separators=(",", ":"))
    expect(page.locator("body")).to_have_attribute("data-answered", asked, timeout=20_000)


def first_answers(page: Page) -> list[str]:
    """What both models say first."""
    return page.locator(".answer li:first-child b").all_inner_texts()


def in_python(
    site: Path, loaded: LoadedModel, samples: list[Sample], answer: Callable[[parity.Answer], Any]
) -> list[list[Any]]:
    """The first answers of both models of the page to each sample."""
    records = [json.loads((site / "models" / number / "export.json").read_text()) for number in "01"]
    runs = [onnx_run(site / "models" / str(number) / record["files"][0], 1) for number, record in enumerate(records)]
    return [[answer(run(feed)) for run in runs] for feed in parity.feeds(loaded, samples, 1)]


@pytest.mark.parametrize("kind", ["topics", "pairs"])
def test_labels_are_those_of_python(kind: str, request: pytest.FixtureRequest, browser: Browser) -> None:
    """But for ties: another processor rounds activations otherwise, which moves a share by some hundredths."""
    site, loaded = request.getfixturevalue(kind)
    samples = parity.texts_for(loaded, TEXTS)
    names = class_names(loaded.model.config)
    shares = in_python(site, loaded, samples, lambda answer: answer["logits"][0].softmax(dim=-1).sort(descending=True))
    wanted = [[names[int(found.indices[0])] for found in both] for both in shares]
    assert len({label for labels in wanted for label in labels}) > 1
    with opened(browser, site) as page:
        found = []
        for sample in samples:
            ask(page, sample)
            found.append(first_answers(page))
    different = [
        float(share.values[0] - share.values[1])
        for ours, theirs, both in zip(found, wanted, shares, strict=True)
        for our, their, share in zip(ours, theirs, both, strict=True)
        if our != their
    ]
    assert len(different) <= TIES
    assert max(different, default=0.0) < TIE


def test_nearest_texts_are_those_of_python(search: Site, browser: Browser) -> None:
    import numpy as np

    site, loaded = search
    samples = [Sample(sample.text) for sample in parity.texts_for(loaded, 10)]
    vectors = [
        np.fromfile(site / "models" / number / "vectors.bin", np.float32).reshape(len(leads()), -1) for number in "01"
    ]
    asked = in_python(site, loaded, samples, lambda answer: answer["sentence_embedding"][0].numpy())
    wanted = [
        [leads()[int((each @ vector).argmax())].title for each, vector in zip(vectors, pair, strict=True)]
        for pair in asked
    ]
    with opened(browser, site) as page:
        found = []
        for sample in samples:
            ask(page, sample)
            assert page.locator(".answer li").count() == 10
            found.append(first_answers(page))
        expect(page.get_by_text("licence CC BY-SA 4.0")).to_be_attached()
    assert found == wanted


def test_a_link_brings_a_text_back_and_an_empty_one_is_asked_for(topics: Site, browser: Browser) -> None:
    site, _ = topics
    with opened(browser, site, "#text=A+symphony+by+Mahler.") as page:
        assert page.locator("#text").input_value() == "A symphony by Mahler."
        page.locator("#text").fill("  ")
        expect(page.locator("#verdict")).to_have_text("Type a text.")
        assert page.locator(".answer li").count() == 0
        page.locator("#text").fill("word " * 400)
        expect(page.locator(".answer li").first).to_be_visible()
        assert "text=word" in page.url


@pytest.mark.parametrize("kind", ["topics", "pairs", "search"])
def test_it_fits_and_can_be_read(kind: str, request: pytest.FixtureRequest, browser: Browser) -> None:
    site, _ = request.getfixturevalue(kind)
    for width, scheme in SCREENS:
        context = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme, "bypass_csp": True}
        with opened(browser, site, **context) as page:
            page.screenshot(path=OUT / f"page-{kind}-{width}-{scheme}.png", full_page=True)
            assert too_wide(page) == 0
            page.locator("summary").click()
            assert severe(page) == []


def test_a_missing_file_is_said(topics: Site, browser: Browser, tmp_path: Path) -> None:
    import shutil

    site = tmp_path / "site"
    shutil.copytree(topics[0], site)
    (site / "models" / "1" / "tokenizer.json").unlink()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site)))
    Thread(target=server.serve_forever, daemon=True).start()
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{server.server_port}/")
    expect(page.locator("#status")).to_contain_text("models/1/tokenizer.json is missing on this host (404)")
    page.close()
    server.shutdown()
