"""Markup of answers, with every text escaped: tokens, label probabilities and texts that were found."""

from __future__ import annotations

import re
from html import escape
from typing import Any

from components.measured.before_after import PLAIN_VARIANTS
from components.shared.markup import element
from liar.report.words.answer_sentences import by_prompt, judged
from liar.report.words.examples import Example
from liar.results import VARIANTS, Found, Generation, RunResult, Token, Variant

_STEPS = ((0.5, "at least 0.5"), (0.1, "0.1 to 0.5"), (0.01, "0.01 to 0.1"), (0.001, "0.001 to 0.01"))
"""Least probability of each colour and its name, the highest first."""
_RAREST = "below 0.001"

_SHOWN = 3
"""Stored prompts whose answers are in sight at once."""

_SHORT = 24
"""Fewest characters of an answer that does not fit beside two others on a phone."""

_FLAG = '<span class="flag" role="img" aria-label="first difference">▸</span>'
_OTHER = element("span", "⇄", role="img", aria_label="another answer")
_NEW = f"{_OTHER} new."


def stored_answers(result: RunResult) -> str:
    sections = [_answers(prompt, answers) for prompt, answers in by_prompt(result).items()]
    if not sections:
        return "<p>No answers are stored with this run.</p>"
    first, others = "".join(sections[:_SHOWN]), sections[_SHOWN:]
    more = f"<details><summary>{len(others)} more questions</summary>{''.join(others)}</details>" if others else ""
    return f"<h4>Stored with this run</h4>{first}{more}"


def example_answers(example: Example) -> str:
    """The stored answers of an example, without its prompt, which stands in the field; empty if nobody has answered it."""
    return _columns(example.answers) if example.answers else ""


def live_answers(prompt: str, handed_out: list[Any]) -> str:
    """Markup of what a job has handed out so far: for each variant, pieces of an answer, then all of it."""
    if not handed_out:
        return ""
    from liar.evaluate.answering.ask import PartialAnswer  # loads torch

    answers: dict[Variant, Generation] = {}
    unfinished: Variant | None = None
    for item in handed_out:
        if isinstance(item, PartialAnswer):
            before = answers[item.variant].text if item.variant in answers else ""
            answers[item.variant] = Generation(prompt=prompt, variant=item.variant, text=f"{before}{item.text}")
            unfinished = item.variant
        elif isinstance(item, Generation):
            answers[item.variant], unfinished = item, None
    return f"<h4 class='asked'>Your question</h4>{_answers(prompt, answers, unfinished)}"


def _answers(prompt: str, answers: dict[Variant, Generation], unfinished: Variant | None = None) -> str:
    """One prompt, and its answers."""
    return f"<section><h5>{escape(prompt)}</h5>{_columns(answers, unfinished)}</section>"


def _columns(answers: dict[Variant, Generation], unfinished: Variant | None = None) -> str:
    """A column for each variant that has begun to answer."""
    columns = ""
    for variant in VARIANTS:
        if (answer := answers.get(variant)) is not None:
            dense = answers.get("dense") if variant != "dense" else None
            if answer.found is not None:
                body = _found(answer.found, dense)
            elif answer.probabilities is not None:
                body = _probabilities(answer, dense)
            else:
                body = _text(answer, dense, is_whole=variant != unfinished)
            names = {"full-only": variant.capitalize(), "simple-only": PLAIN_VARIANTS[variant]}
            name = "".join(f'<span class="{layout}">{words}</span>' for layout, words in names.items())
            columns += f'<div class="variant {variant}"><h6>{name}</h6>{body}</div>'
    is_short = all(len(answer.text or "") < _SHORT and not answer.found for answer in answers.values())
    return f'<div class="columns{" short" if is_short else ""}">{columns}</div>'


def _text(answer: Generation, dense: Generation | None, is_whole: bool) -> str:
    text = answer.text or ""
    if is_whole and not text.strip():
        return '<p class="measures">The model ends its answer at once.</p>'
    differs = None if dense is None else _first_difference(text, dense.text or "", is_whole)
    measures = ["Same text as dense."] if is_whole and dense is not None and differs is None else []
    if answer.tokens and answer.seconds:
        measures.append(f"{len(answer.tokens) / answer.seconds:.1f} tokens a second.")
    measures += judged(answer, dense) if is_whole else []
    return f'<p class="text">{_pieces(answer, differs)}</p><p class="measures full-only">{" ".join(measures)}</p>'


def _first_difference(text: str, dense: str, is_whole: bool) -> int | None:
    """Index of the first difference; the length of ``text`` if it ends too early, None without a difference so far."""
    pairs = zip(text, dense, strict=False)
    shared = next((at for at, (ours, theirs) in enumerate(pairs) if ours != theirs), min(len(text), len(dense)))
    is_beginning = shared == len(text)
    return None if is_beginning and (not is_whole or shared == len(dense)) else shared


def _pieces(answer: Generation, differs: int | None) -> str:
    """The tokens of an answer (words if none are stored); the one that holds the character ``differs`` is marked."""
    tokens = answer.tokens or [Token(text=word) for word in re.findall(r"\S+\s*|\s+", answer.text or "")]
    markup, end = "", 0
    for token in tokens:
        start, end = end, end + len(token.text)
        piece = _piece(token)
        markup += f"<mark>{_FLAG}{piece}</mark>" if differs is not None and start <= differs < end else piece
    return markup + (f"<mark>{_FLAG}</mark>" if differs == end else "")


def _piece(token: Token) -> str:
    """Markup of one token; empty for a token that completes no character and so has no text."""
    if token.probability is None or not token.text:
        return escape(token.text)
    words = f"probability {token.probability:.2g} under the dense model"
    return f'<span class="p{_step(token.probability)}" title="{words}">{escape(token.text)}</span>'


def _step(probability: float) -> int:
    return next((step for step, (least, _) in enumerate(_STEPS) if probability >= least), len(_STEPS))


def legend() -> str:
    names = [*(name for _, name in _STEPS), _RAREST]
    steps = " ".join(f'<span class="p{step}">{name}</span>' for step, name in enumerate(names))
    return f"<p>Probability under the dense model: {steps}</p>"


def _probabilities(answer: Generation, dense: Generation | None) -> str:
    """Every label with its probability and a bar; the likeliest is bold, and a note is added if dense has another."""
    likeliest = _likeliest(answer)
    rows = ""
    for label, probability in (answer.probabilities or {}).items():
        name = f"<strong>{escape(label)}</strong>" if label == likeliest else escape(label)
        share = f"{probability:.1%}"
        rows += f'<div><dt>{name}</dt><dd>{share.replace("%", " %")}<i style="width: {share}"></i></dd></div>'
    differs = dense is not None and _likeliest(dense) != likeliest
    return f"<p class='text simple-only'>{escape(likeliest)}</p><dl class='full-only'>{rows}</dl>" + (
        f'<p class="measures full-only">{_OTHER} Not the answer of the dense model.</p>' if differs else ""
    )


def _found(found: list[Found], dense: Generation | None) -> str:
    """The texts that were found, the nearest first; beside the dense model's, those that it has elsewhere or not at all are
    marked.
    """
    places = {item.title: place for place, item in enumerate((dense.found if dense is not None else None) or found)}
    rows = ""
    for place, item in enumerate(found):
        before = places.get(item.title)
        moved = "" if before == place else _NEW if before is None else f"{_OTHER} was {before + 1}."
        name = element("strong", item.title, title=item.text)
        note = f' <span class="measures">{moved}</span>' if moved else ""
        rows += f'<li>{name} {item.similarity:.2f}{note}<small class="full-only">{escape(item.text)}</small></li>'
    lost = [title for title in places if title not in {item.title for item in found}]
    gone = f"<p class='measures'>No longer found: {escape(', '.join(lost))}.</p>" if lost else ""
    return f"<ol class='found'>{rows}</ol>{gone}"


def _likeliest(answer: Generation) -> str:
    probabilities = answer.probabilities or {}
    return max(probabilities, key=probabilities.__getitem__, default="")
