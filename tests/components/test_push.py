"""Pushing from the page without a browser: refusals, and what a job does with the login."""

from __future__ import annotations

from typing import Any

import fastapi
import gradio as gr
import pytest

from components.shared.studio import Bus, Studio
from components.takeaway.save_model import PushPanel
from liar.errors import PushError
from liar.report.view import View
from liar.save import push
from server import login
from tests.fakes import language_run


@pytest.fixture
def panel(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> PushPanel:
    monkeypatch.setattr(gr.Blocks, "expects_oauth", False)  # else Gradio asks for an account on this machine
    result = language_run()
    studio.store.save(result)
    with gr.Blocks():
        dtype = gr.Radio(["auto", "bfloat16"], value="auto")
        return PushPanel(studio, Bus(result.spec, View(), result.spec.key), dtype)


def from_session(name: str) -> gr.Request:
    return gr.Request(fastapi.Request({"type": "http", "headers": []}), session_hash=name)


TOKEN = gr.OAuthToken("hf_ofTheVisitor", "contribute-repos", 0)


def said(panel: PushPanel, key: str, repo: str, token: gr.OAuthToken | None) -> str:
    *_, last = panel.push(key, "auto", repo, False, from_session("visitor"), token)
    return str(last[panel.work.status])


def test_nobody_pushes_without_a_run_or_a_login(panel: PushPanel) -> None:
    assert "press “Apply” first" in said(panel, "", "small", None)
    assert "Sign in first" in said(panel, language_run().spec.key, "small", None)


def test_a_refusal_of_the_hub_is_one_sentence_without_the_token(
    panel: PushPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def refuse(repo: str, *, private: bool, credential: Any) -> None:
        asked.append(credential.token)
        raise PushError(f"The Hub refuses {credential.name}; {credential.renewal}.")

    monkeypatch.setenv("HF_TOKEN", "hf_ofTheServer")
    monkeypatch.setattr(push, "find_destination", refuse)
    words = said(panel, language_run().spec.key, "", TOKEN)
    assert "The Hub refuses your login; sign out and in again." in words
    assert asked == ["hf_ofTheVisitor"]
    assert "hf_" not in words


def test_two_visitors_never_share_a_push(panel: PushPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[str] = []

    def submit(request: gr.Request, key: str, *_: Any) -> None:
        keys.append(key)
        raise PushError("enough")

    monkeypatch.setattr(panel.work, "submit", submit)
    for session in ("one", "other"):
        list(panel.push(language_run().spec.key, "auto", "small", True, from_session(session), TOKEN))
    assert len(set(keys)) == 2
    assert not any("hf_" in key for key in keys)


@pytest.mark.parametrize(
    ("environment", "offered"),
    [
        ({}, False),
        ({"SYSTEM": "spaces"}, False),
        ({"OAUTH_CLIENT_ID": "a"}, False),
        ({"SYSTEM": "spaces", "OAUTH_CLIENT_ID": "a"}, True),
    ],
)
def test_a_login_is_offered_on_a_space_that_has_one(
    environment: dict[str, str], offered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SYSTEM", "OAUTH_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert login.offers_login() is offered
