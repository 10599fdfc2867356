"""The list of runs follows the store; one run can be downloaded or deleted, two can be compared."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from components.shared.studio import Bus, Studio
from components.takeaway.runs import RunsPanel, picked, runs_table
from liar.report.view import View
from liar.results import RunResult
from liar.store import RunStore
from server.profile import LOCAL, PUBLIC, Profile
from tests.fakes import classifier_run, language_run


@pytest.fixture
def store(studio: Studio) -> RunStore:
    return studio.store


def panel(store: RunStore, *kept: RunResult, result: RunResult | None = None, profile: Profile = LOCAL) -> RunsPanel:
    """The panel of a store with these runs, of which the page shows the ``result``."""
    for run in kept:
        store.save(run)
    studio: Any = SimpleNamespace(store=store, profile=profile)
    with gr.Blocks():
        built = RunsPanel(studio, Bus(language_run().spec, View(), ""), result)
        built.wire()
    return built


def keys(markup: str) -> list[str]:
    return [part.split('"')[0] for part in markup.split('data-key="')[1:]]


def test_every_run_is_a_row_that_opens_it_and_the_shown_one_is_marked(store: RunStore) -> None:
    runs = [language_run(), classifier_run()]
    built = panel(store, *runs, result=runs[0])
    markup = str(built.table.value)
    assert sorted(keys(markup)) == sorted(run.spec.key for run in runs)
    assert markup.count('<tr aria-current="true">') == 1
    assert f'data-key="{runs[0].spec.key}" aria-current="true"' in markup
    for words in ("Perplexity", "16.2", "110.7", "42.4", "86.3 %", "94.2 M of 134.5 M", "demo/minilm-sentiment"):
        assert words in markup


def test_runs_that_differ_in_text_tokens_or_seed_have_different_labels(store: RunStore) -> None:
    runs = [language_run(), language_run(seed=5), language_run(tokens=4096), language_run(calibration="letters.txt")]
    built = panel(store, *runs)
    labels = re.findall(r'data-key="\w+">(.*?)</button>', str(built.table.value))
    assert len(set(labels)) == len(runs)
    for menu in (built.a, built.b):
        labels_shown = {
            str(label)[: len("50 % of neurons, the default text, tokens by model width, seed 5")]
            for label, _ in menu.choices
        }
        assert len(labels_shown) == len(runs), "by what a closed menu still shows"


def test_runs_of_the_model_shown_come_first_in_table_and_menus(store: RunStore) -> None:
    language, classifier = language_run(), classifier_run()
    for shown in (language, classifier):
        built = panel(store, language, classifier, result=shown)
        assert keys(str(built.table.value))[0] == shown.spec.key
        assert built.a.choices[0][1] == built.b.choices[0][1] == shown.spec.key
        assert keys(built.refresh(View(tab="runs"), shown.spec, "")[built.table])[0] == shown.spec.key


def test_each_metric_has_a_column_with_its_three_values() -> None:
    lines = runs_table([language_run(), classifier_run()], "", "Runs", wide=False).split("<tr")
    assert [*re.findall(r">([^<]+)</th>", lines[1])] == ["Run", "Perplexity", "Accuracy", "Parameters left"]
    first, second = (re.findall(r"<td>(.*?)</td>", line) for line in lines[2:4])
    assert (first[0], first[1]) == ("16.2 → 110.7 → 42.4", "")
    assert second[0] == ""
    assert re.fullmatch(r"86\.3 % → [\d.]+ % → [\d.]+ %", second[1])


def test_a_text_of_the_recipe_is_no_markup() -> None:
    nasty = '<img src=x onerror="alert(1)">'
    markup = runs_table([language_run(model=nasty)], "", "Runs", wide=True)
    assert nasty not in markup
    assert escape(nasty) in markup


def test_a_new_run_appears_when_it_is_shown_and_when_the_tab_is_opened(store: RunStore) -> None:
    built = panel(store)
    assert "press “Measure it”" in str(built.table.value)
    first, second = language_run(), language_run(seed=1)
    assert built.show(second.spec, second)[built.a]["value"] is None, "a run that is not kept can still be shown"
    store.save(first)
    updates = built.show(first.spec, first)
    assert set(updates) <= set(built.outputs)
    assert keys(updates[built.table]) == [first.spec.key]
    assert updates[built.a]["value"] == first.spec.key
    store.save(second)
    refreshed = built.refresh(View(tab="runs"), first.spec, first.spec.key)
    assert set(keys(refreshed[built.table])) == {first.spec.key, second.spec.key}
    assert list(built.refresh(View(tab="layers"), first.spec, first.spec.key).values()) == [gr.skip()]


@pytest.mark.parametrize(("data", "key"), [({"key": "abc"}, "abc"), ({}, ""), ({"key": ["abc"]}, "")])
def test_a_click_carries_the_key(data: dict[str, Any], key: str) -> None:
    first, second = picked(gr.EventData(None, data)), picked(gr.EventData(None, data))
    assert first[0] == second[0] == key
    assert first != second, "a second click on the same run opens it again"


# -- comparing two runs -------------------------------------------------------------------------------------------------


def test_two_runs_side_by_side(store: RunStore) -> None:
    first, second = language_run(), language_run(reconstruction="none", schedule="one-shot")
    built = panel(store, first, second)
    updates = built.compare(first.spec.key, second.spec.key)
    markup = updates[built.comparison]
    for words in ("least-squares", "none", "one-shot", "perplexity, reconstructed", "a run that is not one-shot"):
        assert words in markup
    assert "criterion" not in markup, "only what differs"
    assert updates[built.heatmap]["visible"]
    assert len(updates[built.heatmap]["value"].data[0].z[0]) == len(first.sites)


def test_what_cannot_be_compared_is_left_out(store: RunStore) -> None:
    first, second = language_run(), classifier_run()
    built = panel(store, first, second)
    assert built.compare(first.spec.key, None)[built.comparison] == ""
    assert "not kept" in built.compare(first.spec.key, "0" * 64)[built.message]
    updates = built.compare(first.spec.key, second.spec.key)
    assert not updates[built.heatmap]["visible"]
    assert "They measured nothing alike." in updates[built.comparison]


# -- downloading and deleting one run -----------------------------------------------------------------------------------


def test_a_download_holds_the_whole_run(store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "files"))
    run = language_run()
    built = panel(store, run)
    path = Path(built.download.make(built.content, run.spec.key)[built.download.file])
    assert path.name == "liar-smollm2-135m-ffn-50.json"
    assert RunResult.model_validate_json(path.read_text()) == run
    for key, words in ((None, "Choose run A first"), ("0" * 64, "not kept")):
        assert words in built.download.make(built.content, key)[built.message]


def test_a_deleted_run_leaves_the_list(store: RunStore) -> None:
    run, other = language_run(), language_run(seed=1)
    built = panel(store, run, other, result=run)
    assert list(built.drop(None, run.spec, "").values()) == [gr.skip()], "the confirmation was cancelled"
    updates = built.drop(run.spec.key, run.spec, run.spec.key)
    assert keys(updates[built.table]) == [other.spec.key]
    assert updates[built.a]["value"] is None
    assert store.load(run.spec.key) is None


def test_only_a_run_of_ones_own_is_offered_for_deletion(store: RunStore) -> None:
    own, shipped = language_run(seed=1), language_run()
    store.save(own)
    store.ship(shipped)
    for first, second in ((own, shipped), (shipped, own)):
        built, may_go = panel(store, result=first), first is own
        assert built.delete.visible is may_go
        assert built.compare(second.spec.key, None)[built.delete]["visible"] is not may_go
        assert built.show(second.spec, second)[built.delete]["visible"] is not may_go
    assert panel(store).delete.visible is False, "none is chosen"
    built = panel(store, shipped, result=shipped)
    assert built.delete.visible is True, "a run of one's own of a shipped recipe"
    dropped = built.drop(shipped.spec.key, shipped.spec, "")
    assert (dropped[built.a]["value"], dropped[built.delete]["visible"]) == (shipped.spec.key, False)


def test_a_public_page_deletes_nothing(store: RunStore) -> None:
    run = language_run()
    built = panel(store, run, result=run, profile=PUBLIC)
    assert not built.delete.visible
    assert "All visitors share" in built.drop(run.spec.key, run.spec, "")[built.message]
    assert store.load(run.spec.key) == run
