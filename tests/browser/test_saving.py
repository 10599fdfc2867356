"""The smaller model can be downloaded as a zip, or saved to a folder of this computer."""

from __future__ import annotations

import zipfile
from pathlib import Path

from playwright.sync_api import Page, expect

from liar.report.export import file_stem
from liar.spec import PruneSpec
from tests.browser.conftest import FAST, MINILM, Visit, apply, finished, full, severe, to_tab, too_wide


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
