"""The tab Take away: a link, files that can be read, a report that needs no network, and the smaller model."""

from __future__ import annotations

import csv
import re
import zipfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from liar.report.export import file_stem
from liar.results import RunResult
from liar.spec import PruneSpec
from tests.browser.conftest import (
    FAST,
    MINILM,
    Visit,
    apply,
    drawn,
    finished,
    full,
    kind,
    redrawn,
    severe,
    slide,
    to_tab,
    too_wide,
)

SITES = 12


def fetched(page: Page, words: str) -> Path:
    """Click the button ``words`` and return the downloaded file; its extension must be the one in parentheses."""
    with page.expect_download() as download:
        page.get_by_role("button", name=words).click()
    ending = words.split("(")[1].rstrip(")").lower()
    assert download.value.suggested_filename.endswith(f".{ending}")
    return Path(download.value.path())


def test_the_link_is_that_of_the_view_on_screen_and_opens_the_same(visit: Visit) -> None:
    """The field must be current without being hovered or focused."""
    page = visit()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    full(page, MINILM, site="layers.3.ffn")
    expect(page.locator("#site")).to_be_visible()
    field = page.get_by_label("Link to what is on the screen")
    for tab in ("take-away", "runs", "take-away"):
        page.get_by_role("tab", name=tab.replace("-", " ").capitalize()).focus()
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(f"tab={tab}"))
        if tab == "take-away":
            expect(field).to_have_value(page.url)
    slide(page, "#ratio", 0.7)
    expect(page).to_have_url(re.compile("ratio=0.7"))
    expect(kind(page)).to_have_text("Measured")
    expect(page.locator("#verdict")).to_contain_text("70 % of the heads and neurons")
    expect(field).to_have_value(page.url)
    link, verdict = field.input_value(), page.locator("#verdict h2").inner_text()
    button = page.locator("#takeaway-address button")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#takeaway-address .copied")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == link == field.input_value()

    other = visit()
    other.goto(link)
    expect(other.locator("#verdict h2")).to_have_text(verdict)
    expect(other.locator("body")).to_have_attribute("data-tab", "take-away")
    to_tab(other, "Layers")
    expect(other.locator("#site-words h3")).to_have_text("Layer 3 FFN")


def test_figures_and_report_arrive_as_files_that_need_no_network(visit: Visit, tmp_path: Path) -> None:
    page = full(visit(), MINILM)
    to_tab(page, "Take away")
    run = RunResult.model_validate_json(fetched(page, "All figures (JSON)").read_text())
    assert run.spec.model == "demo/minilm-sentiment"
    assert len(run.sites) == SITES
    with fetched(page, "Sites (CSV)").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == SITES
    assert {row["site"] for row in rows} == {site.name for site in run.sites}
    with Image.open(fetched(page, "Heatmap (PNG)")) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert picture.width == 2 * 960
        assert len(picture.convert("RGB").resize((240, 100)).getcolors(24_000) or []) > 20, "an empty picture"
    expect(page.locator("#takeaway-command")).to_contain_text("liar prune demo/minilm-sentiment --targets both")
    expect(page.locator("#takeaway-python")).to_contain_text(re.compile(r'targets="both"'))

    reader = visit()
    asked: list[str] = []
    reader.on("request", lambda request: asked.append(request.url))
    report = fetched(page, "Report (HTML)").rename(tmp_path / "report.html")
    reader.context.set_offline(True)
    reader.goto(report.as_uri())
    expect(reader.locator("h1")).to_be_visible()
    expect(reader.locator("#heatmap rect").first).to_be_visible()
    expect(reader.locator("body")).to_contain_text("demo/minilm-sentiment")
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    expect(reader.locator("#kind")).to_have_text("Measured")
    reader.locator("#ratio").press("ArrowRight")
    expect(reader.locator("#kind")).to_have_text("Predicted")


def test_a_picture_is_full_and_names_its_recipe(page: Page) -> None:
    """The view is a difference, which has one strip; the recipe on screen is only interpolated."""
    full(page, MINILM, show="none-least-squares")
    before = drawn(page, "#heatmap")
    slide(page, "#ratio", 0.72)
    redrawn(page, "#heatmap", before)
    height, meta = page.locator("#heatmap .js-plotly-plot").evaluate(
        "(plot) => [plot._fullLayout.height, plot.layout.meta]"
    )
    assert meta["caption"].startswith("Interpolated: demo/minilm-sentiment: 72 % of the heads and neurons")
    to_tab(page, "Take away")
    with page.expect_download() as download:
        page.get_by_role("button", name="Heatmap (PNG)").click()
    assert download.value.suggested_filename == "liar-minilm-sentiment-both-72-heatmap.png"
    with Image.open(download.value.path()) as picture:
        ink = picture.convert("L").point(lambda value: 255 if value < 250 else 0).getbbox()
        assert ink is not None
        top, bottom = ink[1] / 2, ink[3] / 2
        assert picture.height / 2 > height + 17, "space for the caption"
        assert top < 24
        assert bottom > picture.height / 2 - 30
        bands = [(0, top, picture.width, top + 100) for top in range(0, picture.height - 100, 100)]
        darkest = [picture.convert("L").crop(band).getextrema()[0] for band in bands]
        assert max(darkest) < 250, "no band of 100 pixels is blank"
    note = page.locator("#takeaway-difference")
    expect(note).to_contain_text("the recipe differs")
    slide(page, "#ratio", 0.5)
    expect(note).not_to_contain_text("differs")


def saved(page: Page) -> str:
    """Save the model; return the sentence under the button at the end of the job."""
    page.get_by_role("button", name="Save the model").click()
    status = page.locator("#save-status")
    expect(status.get_by_text("Loaded again").or_(status.get_by_role("alert"))).to_be_visible(timeout=120_000)
    expect(page.get_by_role("button", name="Save the model")).to_be_enabled()
    return status.inner_text()


def test_a_model_is_downloaded(page: Page) -> None:
    """All layers keep the same number of neurons: the stock form."""
    query = FAST.replace("targets=both", "targets=ffn")
    stem = file_stem(PruneSpec.from_query(query))
    full(page, query)
    apply(page)
    finished(page)
    to_tab(page, "Take away")
    assert f"AutoModelForSequenceClassification.from_pretrained('{stem}')" in saved(page)
    expect(page.locator("#save-status")).to_contain_text("its logits differ by 0 at most")
    with page.expect_download() as download:
        page.locator("#save-ready").click()
    assert download.value.suggested_filename == f"{stem}.zip"
    with zipfile.ZipFile(download.value.path()) as file:
        assert file.testzip() is None
        assert {f"{stem}/{name}" for name in ("config.json", "liar.json", "model.safetensors")} <= {*file.namelist()}
    assert severe(page) == []


def test_a_model_for_onnxruntime_is_downloaded(page: Page) -> None:
    query = FAST.replace("targets=both", "targets=ffn") + "&seed=35"  # a recipe that no other test has run
    stem = f"{file_stem(PruneSpec.from_query(query))}-onnx"
    full(page, query)
    apply(page)
    finished(page)
    to_tab(page, "Take away")
    expect(page.get_by_label("bfloat16")).to_be_visible()
    page.get_by_label("ONNX: onnxruntime, browsers").check()
    expect(page.get_by_label("bfloat16")).to_have_count(0)
    page.get_by_label("8 bits").check()
    page.get_by_role("button", name="Save the model").click()
    status = page.locator("#save-status")
    expect(status.get_by_text("Share of answers equal").or_(status.get_by_role("alert"))).to_be_visible(timeout=180_000)
    expect(status).to_contain_text("onnx/model_quantized.onnx")
    with page.expect_download() as download:
        page.locator("#save-ready").click()
    with zipfile.ZipFile(download.value.path()) as file:
        assert {f"{stem}/{name}" for name in ("onnx/model_quantized.onnx", "config.json", "export.json")} <= {
            *file.namelist()
        }
    assert severe(page) == []
    page.get_by_label("GGUF: llama.cpp, Ollama").check()
    page.get_by_role("button", name="Save the model").click()
    expect(status.get_by_role("alert")).to_contain_text("llama.cpp takes language models", timeout=60_000)


def test_a_stored_run_is_repeated_and_saved(visit: Visit, tmp_path: Path) -> None:
    """The models of the shipped run are not in memory, so it runs again. Removed heads of a BERT need the ragged form."""
    page = full(visit(width=390), MINILM, tab="take-away")
    page.get_by_label("bfloat16").check()
    folder = tmp_path / "mine"
    page.get_by_label("Folder").fill(str(folder))
    words = saved(page)
    assert f"Saved {folder}, " in words
    assert "(bfloat16)" in words
    assert "trust_remote_code=True" in words
    expect(page.locator("#save-ready")).not_to_be_visible()
    assert (folder / "model.safetensors").exists()
    assert too_wide(page) == 0

    page.get_by_role("button", name="Save the model").click()
    expect(page.locator("#save-status").get_by_role("alert")).to_contain_text("exists already")
