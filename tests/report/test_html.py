"""The report: everything of a run in one HTML file that loads nothing from elsewhere and runs no text as code."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from liar.errors import InvalidSpecError
from liar.explore.atlas import Atlas
from liar.report.export import as_command
from liar.report.pages.html import SETTINGS, html_report
from liar.report.words.findings import quantizations
from liar.report.words.sentences import verdict
from liar.results import CalibrationText, Change, Generation, RunResult, Speed
from liar.spec import ALLOCATIONS, RECONSTRUCTIONS, PruneSpec
from liar.tasks.texts import FILMS, WIKI
from tests.fakes import change, classifier_run, language_run, quantized_run, run_of_chain, run_of_layers
from tests.shipped import shipped_pair

MINILM = "demo/minilm-sentiment"
EXPLORED = shipped_pair(MINILM)
NASTY = "</script></style><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}"


class Document(HTMLParser):
    """Tags with their attributes, the visible text without scripts and styles, and the cell texts of the rows of every table,
    in which a cell that spans columns counts once for each column.
    """

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.seen = ""
        self._open = ""
        self._in_cell = False
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1] += [""] * int(dict(attrs).get("colspan") or 1)
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._open = ""
        self.seen += " "
        self._in_cell = self._in_cell and tag not in ("th", "td")

    def handle_data(self, data: str) -> None:
        if self._open not in ("script", "style"):
            self.seen += data
        if self._in_cell:
            self.tables[-1][-1][-1] += data.strip()

    @property
    def text(self) -> str:
        return " ".join(self.seen.replace("\u00a0", " ").split())

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)

    def runs_its_own_alone(self) -> str:
        """Assert that only the script and the style of the page may run; its policy."""
        (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', self.source)
        assert policy.startswith("default-src 'none'; script-src 'sha256-")
        assert "unsafe" not in policy
        for tag in ("script", "style"):
            (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", self.source, re.DOTALL)
            digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{digest}'" in policy
        return str(policy)

    def loads_nothing(self) -> bool:
        """Whether no tag loads anything, or has a script or a style that the policy forbids."""
        return not any(
            name in ("src", "style") or name.startswith("on") or (name == "href" and tag != "a")
            for tag, found in self.tags
            for name in found
        )


def full_run() -> RunResult:
    """A run with something in every part of the report."""
    return classifier_run(edits=("layers.0.ffn:ratio=0",), ratio=0.25).model_copy(
        update={
            "changes": [change("Not bad at all.", "positive", "positive", "negative", "positive")],
            "speeds": [Speed(variant="dense", seconds=0.0123, spread=0.001, tokens=256, repeats=7)],
            "calibration": CalibrationText(source="sst2", split="validation", tokens=12_300, sequences=90, cut=2),
            "warnings": ["Few tokens carry the solve."],
            "timings": {"load": 0.5, "prune": 7.75},
            "environment": {"torch": "2.99.0", "device_name": "abacus"},
        }
    )


def test_everything_of_the_run_is_in_it() -> None:
    run = full_run()
    text = Document(html_report(run)).text
    for words in (
        verdict(run),
        *("86.3 % ± 1.0 %", "A warm and clever film.", "positive 86.3 %", "layers.5.attention", "768 of 1,536"),
        "Reconstructed beside dense: 1.20 times as fast with one text at a time (1.17 to 1.25 in turns); 7 turns of 256",
        "Calibrated on the validation part of sst2: 12,300 tokens in 90 sequences, 2 of them cut.",
        *("Not bad at all.", "✗ negative", "Few tokens carry the solve.", "12.3 ms", "7.8 s", "8.2 s"),
        *("2.99.0", "abacus", "tokens by model width", "layers.0.ffn:ratio=0", "25 %", "2407.13331"),
        "residual stream after the block",
        *(as_command(run.spec), 'model="demo/minilm-sentiment"', "result = liar.run(spec)"),
    ):
        assert words in text


@pytest.mark.parametrize("run", [full_run(), classifier_run(), language_run(), quantized_run()])
def test_no_column_is_empty(run: RunResult) -> None:
    """Runs of earlier versions lack some values, such as the bytes of the weights; the columns of these are left out."""
    for table in Document(html_report(run)).tables:
        head, *rows = table
        assert rows
        for place in range(len(head)):
            assert any(len(row) > place and row[place] for row in rows), (head, place)


def test_rounded_models_are_in_it_with_names_for_people() -> None:
    text = Document(html_report(quantized_run())).text
    for words in ("dense int8", "reconstructed int8", "16.7 ± 0.8", "42.9 ± 2.1", "220.0 MB"):
        assert words in text
    assert all(sentence in text for sentence in quantizations(quantized_run()))
    assert "dense-int8 " not in text


def test_the_map_of_a_chain_is_of_its_last_stage() -> None:
    layers, chain = (Document(html_report(run)).text for run in (run_of_layers(), run_of_chain()))
    assert "Error of every run of layers" in layers
    assert "Error of every run of layers" not in chain
    assert "Error by layer and site" in chain
    assert "Layers 13 to 15 went first, and layer 12 replaces them" in chain


def test_no_choice_is_left_out_or_nameless() -> None:
    assert SETTINGS.keys() == PruneSpec.model_fields.keys()
    text = Document(html_report(language_run(depth=1))).text
    assert all(name in text for name in SETTINGS.values())


@pytest.mark.parametrize("atlas", [None, EXPLORED[1]], ids=["report", "explored"])
def test_only_its_own_script_and_style_may_run_and_nothing_is_loaded(atlas: Atlas | None) -> None:
    source = html_report(full_run(), atlas)
    assert "http" not in Document(source).runs_its_own_alone()
    assert Document(source).loads_nothing()
    assert "url(" not in source
    assert "@import" not in source
    assert atlas or len(source.encode()) < 100_000


@pytest.mark.parametrize(("atlas", "scripts"), [(None, 1), (EXPLORED[1], 2)], ids=["report", "explored"])
def test_text_of_others_stays_text(atlas: Atlas | None, scripts: int) -> None:
    run = full_run()
    nasty = run.model_copy(
        update={
            "spec": run.spec.model_copy(update={"model": NASTY, "calibration": NASTY}),
            "model": run.model.model_copy(update={"id": NASTY, "family": NASTY}),
            "sites": [site.model_copy(update={"name": NASTY}) for site in run.sites],
            "generations": [
                Generation(prompt=NASTY, variant="dense", text=NASTY),
                Generation(prompt=NASTY, variant="pruned", probabilities={NASTY: 1.0}),
            ],
            "changes": [Change(task="topic", text=NASTY, label=NASTY, answers={"dense": NASTY})],
            "warnings": [NASTY],
            "timings": {NASTY: 1.0},
            "environment": {NASTY: NASTY},
        }
    )
    clean, document = Document(html_report(run, atlas)), Document(html_report(nasty, atlas))
    assert document.count("script") == clean.count("script") == scripts
    assert document.count("style") == 1
    assert document.count("img") == 0
    assert document.loads_nothing()
    assert document.text.count(NASTY) >= 10


def test_it_has_its_language_its_subject_and_the_answers_side_by_side() -> None:
    document = Document(html_report(language_run()))
    assert ("html", {"lang": "en"}) in document.tags
    assert document.text.startswith("LIAR report: demo/smollm2-135m")
    assert document.count("h1") == 1
    assert (
        "The capital of France is Dense dense. Pruned pruned. Shares 0 % of its words with dense. "
        "Reconstructed reconstructed. Shares 0 % of its words with dense."
    ) in document.text


@pytest.mark.parametrize("atlas", [None, EXPLORED[1]], ids=["report", "explored"])
def test_a_run_that_measured_nothing_has_a_report(atlas: Atlas | None) -> None:
    bare = classifier_run().model_copy(update={"evaluations": [], "generations": []})
    text = Document(html_report(bare, atlas)).text
    assert "No metric was measured" in text
    assert "In its own words" not in text


def test_quoted_texts_have_their_authors_and_licence() -> None:
    def links(run: RunResult) -> list[str | None]:
        return [attributes.get("href") for tag, attributes in Document(html_report(run)).tags if tag == "a"]

    run = classifier_run()
    topic = [item.model_copy(update={"task": "topic"}) for item in run.changes]
    both = run.model_copy(update={"changes": [*run.changes, *topic]})
    text = Document(html_report(both)).text
    assert "Sentiment, broken by pruning: 2 texts." in text
    for credit in (FILMS.source.credit, WIKI.source.credit):
        assert f"{credit.words}; licence {credit.licence} ." in text
        assert links(both).count(credit.link) == 1
    assert WIKI.source.credit.link not in links(run)
    assert FILMS.source.credit.link not in links(run.model_copy(update={"changes": []}))


# -- the page to explore a run on: the browser test checks its numbers ----------------------------------------------------


@pytest.mark.parametrize("model", [MINILM, "demo/smollm2-135m"])
def test_it_is_small_also_with_every_criterion(model: str) -> None:
    run, atlas = shipped_pair(model)
    page, alone = html_report(run, atlas, atlas.facts.criteria), html_report(run, atlas)
    assert len(alone.encode()) < min(400_000, len(page.encode()))
    assert len(page.encode()) < 1_500_000
    assert set(_data(page)["criteria"]) == set(atlas.facts.criteria)


def _data(page: str) -> dict[str, Any]:
    (text,) = re.findall(r'id="data">(.*?)</script>', page, re.DOTALL)
    data: dict[str, Any] = json.loads(text)
    return data


def test_without_a_script_the_run_is_there_as_a_picture_and_a_table() -> None:
    run, atlas = EXPLORED
    page = html_report(run, atlas)
    document, data = Document(page), _data(page)
    assert document.count("rect") == len(run.sites) * 5
    assert all(f"{site.error['least-squares']:.4f}" in document.text for site in run.sites)
    assert "Scripts are off" in document.text
    assert [site["name"] for site in data["sites"]] == [site.name for site in run.sites]
    assert data["run"]["after"] == run.totals.parameters_after


def test_an_older_run_lacks_some_errors_and_not_their_columns() -> None:
    run, atlas = EXPLORED
    older = [site.model_copy(update={"error": {"none": site.error["none"]}}) for site in run.sites]
    document = Document(html_report(run.model_copy(update={"sites": older}), atlas))
    assert document.count("rect") == len(run.sites)
    assert document.count("option") == len(ALLOCATIONS) + len(RECONSTRUCTIONS) + len(run.sites)


def test_units_chosen_by_hand_are_noted() -> None:
    run, atlas = EXPLORED
    edited = run.model_copy(update={"spec": run.spec.model_copy(update={"edits": ("layers.0.ffn:ratio=0",)})})
    assert "Forecasts leave that out" in html_report(edited, atlas)
    assert "Forecasts leave that out" not in html_report(run, atlas)


@pytest.mark.parametrize("criterion", ["custom:my_own", "magnitude"])
def test_a_criterion_without_curves_is_one_sentence(criterion: str) -> None:
    run, atlas = EXPLORED
    lacking = Atlas(atlas.facts.model_copy(update={"criteria": ["obs"]}), atlas.arrays)
    other = run.model_copy(update={"spec": run.spec.model_copy(update={"criterion": criterion})})
    with pytest.raises(InvalidSpecError, match=r"another criterion|apply the recipe"):
        html_report(other, lacking)
    with pytest.raises(InvalidSpecError, match=r"another criterion|apply the recipe"):
        html_report(run, atlas, [criterion] if criterion != "magnitude" else ["nothing"])
