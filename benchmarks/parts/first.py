"""The paper's first look: a tenth of the neurons of every classifier removed at random, and repaired with few texts.

One-shot, the same share everywhere. A gain is that of least-squares over no repair, with the paired standard error over test
items.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache, partial
from itertools import product

from figures import CLASSIFIERS
from readme import table

from liar.calibration.calibrate import calibration_steps
from liar.calibration.sample import tokens_of
from liar.choices import Reconstruction
from liar.data.corpora import text_steps
from liar.progress import finish
from liar.spec import Needs
from parts.points import Part, Pending, Point, Report, Scope
from parts.subjects import Gain, Subject, examined, named, with_each_repair, with_what_there_is

RATIO = 0.1
TEXTS = (128, 256, 512, 1024)
SAMPLE = 32_768
"""Tokens of the texts whose mean length is taken."""
SUBJECTS = tuple(Subject(model, task, "ffn") for model, task in CLASSIFIERS)
REPAIRS: tuple[Reconstruction, ...] = ("none", "bias", "liar", "least-squares")


def pending(scope: Scope) -> Iterator[Pending]:
    cases = list(product(SUBJECTS, TEXTS))
    for subject, texts in cases[:2] if scope.fast else cases:
        yield Pending(name_of(subject, texts), partial(measure, subject, texts, scope))


def name_of(subject: Subject, texts: int) -> str:
    return f"{subject.task}, {texts} texts"


@cache
def tokens_of_a_text(subject: Subject, scope: Scope) -> float:
    """Mean number of tokens of a calibration text, padding not counted."""
    spec = subject.spec(RATIO, scope).model_copy(update={"tokens": SAMPLE})
    batches, _, _ = finish(text_steps(spec, examined(subject, scope).loaded))
    return tokens_of(batches) / sum(len(batch["input_ids"]) for batch in batches)


def measure(subject: Subject, texts: int, scope: Scope) -> dict[str, float]:
    shared, tokens = examined(subject, scope), round(texts * tokens_of_a_text(subject, scope))
    chosen = {"criterion": "random", "allocation": "uniform", "tokens": tokens}
    spec = subject.spec(RATIO, scope).model_copy(update=chosen)
    calibration = with_what_there_is(
        spec, lambda asked: finish(calibration_steps(asked, shared.loaded, Needs(norm_aware=False)))
    )
    assert calibration.text is not None
    found = with_each_repair(shared, spec, REPAIRS, calibration)
    read = {"texts": float(calibration.text.sequences), "tokens": float(calibration.text.tokens)}
    gained = Gain.of(found["none"], found["least-squares"]).named("gain")
    return {"n": float(shared.dense.n), **read, **gained, **named(("dense", shared.dense), *found.items())}


def report(points: Mapping[str, Point]) -> Report:
    rows, signs = [], Counter[int]()
    for subject, texts in product(SUBJECTS, TEXTS):
        if (name := name_of(subject, texts)) not in points:
            continue
        values = points[name].values
        words, gained = (subject.words(values, each) for each in ("dense", *REPAIRS)), Gain.read(values, "gain")
        title = subject.metric.title_of(subject.task)
        rows.append((title, f"{values['texts']:,.0f}", *words, subject.gain_words(gained)))
        signs[gained.sign] += 1
    head = (
        f"{RATIO:.0%} of the neurons removed at random, as many at every site, one-shot. ± is one standard error; the last "
        "column is what least-squares gains over no repair, with the paired standard error."
    )
    cases = f"ahead of no repair in {signs[1]} and behind in {signs[-1]} of {len(rows)} cases"
    finding = f"By two standard errors or more least-squares is {cases}."
    columns = ("metric", "texts", "dense", *REPAIRS, "least-squares gains")
    return Report(f"{head}\n\n{finding}\n\n{table(columns, rows)}")


FIRST = Part("first", "A tenth of the neurons, with few texts", pending, report)
