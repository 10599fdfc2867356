"""The report: everything of a run in one HTML file that loads nothing from elsewhere and runs no text as code."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

import pytest

from liar.report.export import as_command
from liar.report.pages.html import SETTINGS, html_report
from liar.report.words.findings import quantizations
from liar.report.words.sentences import verdict
from liar.results import CalibrationText, Change, Generation, RunResult, Speed
from liar.spec import PruneSpec
from liar.tasks.texts import FILMS, WIKI
from tests.fakes import change, classifier_run, language_run, quantized_run

NASTY = "</script></style><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}"


class Document(HTMLParser):
    """Tags with their attributes, the visible text without scripts and styles, and the cell texts of the rows of every table,
    in which a cell that spans columns counts once for each column.
    """

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.styles = ""
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
        if self._open == "style":
            self.styles += data
        elif self._open != "script":
            self.seen += data
        if self._in_cell:
            self.tables[-1][-1][-1] += data.strip()

    @property
    def text(self) -> str:
        return " ".join(self.seen.replace("\u00a0", " ").split())

    def count(self, tag: str) -> int:
        return Counter(name for name, _ in self.tags)[tag]

    def loads_nothing(self) -> bool:
        """Whether no tag loads anything, or has a script or a style that the policy forbids."""
        attributes = [(tag, name) for tag, found in self.tags for name in found]
        return not any(
            name in ("src", "style") or name.startswith("on") or (name == "href" and tag != "a")
            for tag, name in attributes
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


def test_no_choice_is_left_out_or_nameless() -> None:
    assert SETTINGS.keys() == PruneSpec.model_fields.keys()
    text = Document(html_report(language_run(layers=1))).text
    assert all(name in text for name in SETTINGS.values())


def test_nothing_is_loaded_from_anywhere() -> None:
    source = html_report(full_run())
    document = Document(source)
    assert document.loads_nothing()
    assert "url(" not in document.styles
    assert "@import" not in document.styles
    policy = next(a["content"] for tag, a in document.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "http" not in policy.replace("http-equiv", "")
    assert len(source.encode()) < 100_000


def test_text_of_others_stays_text() -> None:
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
    clean, document = Document(html_report(run)), Document(html_report(nasty))
    assert document.count("script") == clean.count("script") == 1
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


def test_a_run_that_measured_nothing_has_a_report() -> None:
    bare = language_run().model_copy(update={"evaluations": [], "generations": []})
    text = Document(html_report(bare)).text
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
