"""A visitor of a Space signs in to the Hub and pushes the smaller model to an own repository."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import MINILM, Server, fits_and_can_be_read, full, serving, visits
from tests.hub import Hub, running

pytestmark = [pytest.mark.demo, pytest.mark.long]

VISITOR = "hf_oauth_ofTheVisitor"
SERVER = "hf_ofTheServer"


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with running(Hub(VISITOR)) as found:
        yield found


@pytest.fixture(scope="module")
def space(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The page as Spaces starts it for metadata with ``hf_oauth: true``."""
    environment = {
        "SYSTEM": "spaces",
        "SPACE_ID": "lab/liar",
        "OAUTH_CLIENT_ID": "liar",
        "OAUTH_CLIENT_SECRET": "between the two",
        "OAUTH_SCOPES": "openid profile contribute-repos",
        "OPENID_PROVIDER_URL": hub.address,
        "AUTHLIB_INSECURE_TRANSPORT": "1",
        "HF_ENDPOINT": hub.address,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": SERVER,
    }
    with serving(["app.py"], tmp_path_factory.mktemp("space"), **environment) as server:
        yield server


@pytest.fixture
def visitor(browser: Browser, space: Server) -> Iterator[Page]:
    with visits(browser, space) as visit:
        yield visit()


def test_the_model_goes_to_the_account_of_the_visitor(visitor: Page, hub: Hub, space: Server) -> None:
    page = full(visitor, MINILM, tab="take-away", site="layers.3.ffn")
    push = page.get_by_role("button", name="Push to the Hub")
    page.locator("#push-settings").scroll_into_view_if_needed()
    fits_and_can_be_read(page)
    page.get_by_label("Repository").fill("small")
    push.click()
    expect(page.get_by_text("Sign in first: the model goes to your own account.")).to_be_visible()
    page.get_by_role("button", name="Sign in with Hugging Face").click()
    expect(page.get_by_role("button", name="Sign out (ada)")).to_be_visible()
    expect(page).to_have_url(re.compile(r"tab=take-away&layout=full.*&site=layers\.3\.ffn"))
    page.get_by_label("Repository").fill("club/small")
    push.click()
    expect(page.get_by_text("belongs to somebody else")).to_be_visible(timeout=60_000)
    page.get_by_label("Repository").fill("small")
    page.get_by_label("bfloat16").check()
    push.click()
    expect(page.locator("#push-status progress")).to_be_visible()
    page.reload()  # the push goes on, and is found again
    expect(page.get_by_text(f"It is at {hub.address}/ada/small")).to_be_visible(timeout=400_000)
    files = hub.repositories["ada/small"].files
    assert {"config.json", "model.safetensors", "README.md"} <= set(files)
    assert json.loads(files["config.json"])["dtype"] == "bfloat16"
    assert {header for _, header in hub.asked if header and header.startswith("Bearer ")} == {f"Bearer {VISITOR}"}
    log = space.log.read_text()
    assert VISITOR not in log
    assert SERVER not in log
    assert VISITOR not in page.content()
    page.get_by_role("button", name="Sign out (ada)").click()
    expect(page.get_by_role("button", name="Sign in with Hugging Face")).to_be_visible()
