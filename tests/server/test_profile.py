"""Profiles: the choice for a server, and what each profile refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from pydantic import ValidationError

import app
import server.profile
from components.rail.recipe import default_spec, measured_on_its_task
from components.shared.job_bodies import loading
from components.shared.studio import Studio
from liar.errors import DownloadError, InvalidSpecError
from liar.presets import PRESETS
from liar.spec import MAX_RUNS, PruneSpec
from liar.store import RunStore
from server.model_registry import ModelRegistry
from server.profile import LOCAL, PUBLIC, Profile, profile_of, serves_tools


@pytest.mark.parametrize(
    ("named", "server", "space", "expected"),
    [
        (None, "127.0.0.1", None, LOCAL),
        (None, "localhost", None, LOCAL),
        (None, "::1", None, LOCAL),
        (None, "127.0.0.1", "owner/liar", PUBLIC),
        (None, "0.0.0.0", None, PUBLIC),
        (None, "192.168.1.5", None, PUBLIC),
        (None, "liar.example.org", None, PUBLIC),
        ("local", "0.0.0.0", "owner/liar", LOCAL),
        ("public", "127.0.0.1", None, PUBLIC),
    ],
)
def test_a_server_that_others_can_reach_is_public_by_default(
    named: Any, server: str, space: str | None, expected: Profile
) -> None:
    assert profile_of(named, server, space) is expected


def test_the_command_prints_why_it_takes_public(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    assert app.chosen_profile([]) is PUBLIC
    assert "--profile local" in capsys.readouterr().out
    assert app.chosen_profile(["--profile", "local"]) is LOCAL
    monkeypatch.setenv("GRADIO_SERVER_NAME", "127.0.0.1")
    assert app.chosen_profile([]) is LOCAL
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"model": "Qwen/Qwen2.5-0.5B"}, "does not offer"),
        ({"model": "demo/../model"}, "does not offer"),
        ({"model": f"{PUBLIC.models[0]}@main"}, "does not offer"),
        ({"calibration": "/etc/passwd"}, "does not read"),
        ({"device": "cpu"}, "device"),
        ({"dtype": "bfloat16"}, "dtype"),
        ({"tokens": PUBLIC.tokens + 1}, "16,384 for tokens"),
        ({"sequence_length": PUBLIC.sequence_length + 1}, "sequence_length"),
        ({"evaluate_limit": PUBLIC.evaluate_limit + 1}, "evaluate_limit"),
        ({"evaluate_length": PUBLIC.evaluate_length + 1}, "513"),
    ],
)
def test_a_public_page_refuses_what_a_local_one_allows(choice: dict[str, Any], words: str) -> None:
    spec = PruneSpec.create(**choice)
    LOCAL.check(spec)
    with pytest.raises(InvalidSpecError, match=words):
        PUBLIC.check(spec)


def test_a_public_page_takes_what_it_shows(tmp_path: Path) -> None:
    PUBLIC.check(default_spec())
    shipped = RunStore(tmp_path).summaries()
    assert shipped
    for run in shipped:
        PUBLIC.check(run.spec)
    for model in PUBLIC.models:
        PUBLIC.check(measured_on_its_task(PruneSpec(model=model)))


def test_a_public_model_is_pinned_to_a_commit() -> None:
    moving = next(preset.id for preset in PRESETS if not preset.is_pinned)
    with pytest.raises(ValidationError, match="commit"):
        Profile.model_validate({**PUBLIC.model_dump(), "models": (*PUBLIC.models, moving)})


def test_a_model_that_cannot_be_preloaded_prints_one_line(studio: Studio, capsys: pytest.CaptureFixture[str]) -> None:
    app.preload(studio)
    app.preload(replace(studio, profile=PUBLIC))
    assert capsys.readouterr().out == ""
    absent = Mock(side_effect=DownloadError("The package index did not give it; check the network."))
    app.preload(replace(studio, profile=PUBLIC, registry=ModelRegistry(1, absent)))
    assert "check the network" in capsys.readouterr().out


def test_nothing_is_loaded_that_the_profile_refuses(studio: Studio) -> None:
    """The profile is checked before every load, whatever the source of the recipe."""
    with pytest.raises(InvalidSpecError, match="does not offer"):
        list(loading(replace(studio, profile=PUBLIC), PruneSpec(model="somebody/model")))


def test_a_new_limit_is_strict_by_default() -> None:
    assert Profile(name="public") == PUBLIC
    lifted = {name for name in Profile.model_fields if getattr(LOCAL, name) != getattr(PUBLIC, name)}
    assert Profile.model_fields.keys() - lifted == {"waiting_jobs"}
    assert LOCAL.runs == MAX_RUNS, "as the library allows"


def test_only_a_page_of_ones_own_is_an_mcp_server(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not serves_tools(PUBLIC, asked=False)
    assert serves_tools(LOCAL, asked=True)
    with pytest.raises(InvalidSpecError, match="--profile local"):
        serves_tools(PUBLIC, asked=True)
    monkeypatch.setattr(server.profile, "find_spec", lambda name: None)
    with pytest.raises(InvalidSpecError, match=r"gradio\[mcp\]"):
        serves_tools(LOCAL, asked=True)
