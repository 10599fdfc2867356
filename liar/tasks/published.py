"""The tasks of papers, with the metrics of each: GLUE (arXiv 1804.07461), SQuAD v1 (arXiv 1606.05250) and common sense."""

from __future__ import annotations

from liar.tasks.metrics import MetricName
from liar.tasks.record import HarnessData, HeadKind, HubData, Task
from liar.tasks.splits import Split

_GLUE = "nyu-mll/glue"
_ENTAILMENT = ("entailment", "not_entailment")
_ACCURACY: tuple[MetricName, ...] = ("accuracy",)
_BOTH: tuple[MetricName, ...] = ("accuracy", "f1")
_BY_LENGTH: tuple[MetricName, ...] = ("accuracy", "normalized-accuracy")


def _glue(
    name: str,
    title: str,
    columns: tuple[str, ...],
    labels: tuple[str, ...],
    metrics: tuple[MetricName, ...] = _ACCURACY,
    *,
    head: HeadKind | None = None,
    config: str | None = None,
    part: str = "validation",
) -> Task:
    parts: dict[Split, str] = {"train": "train", "validation": part, "test": part}
    kind: HeadKind = head or ("pair" if len(columns) == 2 else "sentence")
    return Task(name, title, kind, HubData(_GLUE, config or name, parts), metrics, columns, labels=labels, length=128)


def _harness(name: str, title: str, choices: int, metrics: tuple[MetricName, ...]) -> Task:
    return Task(name, title, "choice", HarnessData(name), metrics, choices=choices, count=500)


_MNLI_COLUMNS = ("premise", "hypothesis")
_MNLI_LABELS = ("entailment", "neutral", "contradiction")

GLUE_TASKS: tuple[Task, ...] = (
    _glue("cola", "CoLA, acceptability", ("sentence",), ("unacceptable", "acceptable"), ("matthews",)),
    _glue("sst2", "SST-2, sentiment", ("sentence",), ("negative", "positive")),
    _glue("mrpc", "MRPC, paraphrases", ("sentence1", "sentence2"), ("not_equivalent", "equivalent"), _BOTH),
    _glue("stsb", "STS-B, similarity", ("sentence1", "sentence2"), (), ("spearman", "pearson"), head="regression"),
    _glue("qqp", "QQP, duplicate questions", ("question1", "question2"), ("not_duplicate", "duplicate"), _BOTH),
    _glue("mnli", "MNLI, matched", _MNLI_COLUMNS, _MNLI_LABELS, part="validation_matched"),
    _glue("mnli-mm", "MNLI, mismatched", _MNLI_COLUMNS, _MNLI_LABELS, config="mnli", part="validation_mismatched"),
    _glue("qnli", "QNLI, answers to questions", ("question", "sentence"), _ENTAILMENT),
    _glue("rte", "RTE, entailment", ("sentence1", "sentence2"), _ENTAILMENT),
)

SQUAD = Task(
    "squad",
    "SQuAD v1.1",
    "span",
    HubData("rajpurkar/squad", None, {"train": "train", "validation": "validation", "test": "validation"}),
    ("answer-f1", "exact-match"),
    ("question", "context"),
    label="answers",
    length=384,
)

COMMON_SENSE: tuple[Task, ...] = (
    _harness("boolq", "BoolQ, yes or no", 2, _ACCURACY),
    _harness("piqa", "PIQA, everyday physics", 2, _BY_LENGTH),
    _harness("hellaswag", "HellaSwag, what comes next", 4, _BY_LENGTH),
    _harness("winogrande", "WinoGrande, what a pronoun means", 2, _ACCURACY),
    _harness("arc_easy", "ARC, easy", 4, _BY_LENGTH),
    _harness("arc_challenge", "ARC, challenge", 4, _BY_LENGTH),
    _harness("openbookqa", "OpenBookQA", 4, _BY_LENGTH),
)
"""Common-sense questions, as lm-evaluation-harness asks them."""
