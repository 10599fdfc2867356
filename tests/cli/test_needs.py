"""What a need on the command line becomes: layers go too where the kinds of units are not chosen."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from liar import PruneSpec, cli
from liar.cli import prune
from liar.events import Finished
from liar.loading import catalog
from tests import tiny
from tests.fakes import language_run

MODEL = "demo/smollm2-135m"


@pytest.fixture
def specs(monkeypatch: pytest.MonkeyPatch) -> list[PruneSpec]:
    """The recipes that are run, of a tiny model of six layers."""
    found: list[PruneSpec] = []
    monkeypatch.setattr(catalog, "load_model", lambda *_: tiny.language_model(layers=6))
    monkeypatch.setattr(prune, "watched_run", lambda spec: found.append(spec) or Finished(language_run(depth=1)))
    return found


@pytest.mark.parametrize(
    ("options", "layers"),
    [
        (["--parameters", "0.7"], 1),
        (["--parameters", "0.5"], 2),
        (["--size", "100KB"], 2),
        (["--memory", "120KB@100"], 2),
        (["--parameters", "0.7", "--targets", "ffn"], 0),
        (["--parameters", "0.7", "--layers", "0"], 0),
        (["--ratio", "0.3"], 0),
    ],
)
def test_layers_go_where_the_kinds_are_not_chosen(specs: list[PruneSpec], options: list[str], layers: int) -> None:
    done = CliRunner().invoke(cli.app, ["prune", MODEL, *options])
    assert done.exit_code == 0, done.output
    assert round(6 * specs[0].layers) == layers
    assert (f"{layers} of 6 layers" in done.output) == (layers > 0)


@pytest.mark.parametrize("text", ["1.5GB", "1.5GB@", "@100", "70%@9"])
def test_a_memory_without_a_size_or_tokens_is_refused(specs: list[PruneSpec], text: str) -> None:
    done = CliRunner().invoke(cli.app, ["prune", MODEL, "--memory", text])
    assert done.exit_code == 2
    assert specs == []
