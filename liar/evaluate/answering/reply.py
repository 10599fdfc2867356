"""Replies of models that only read: the probability of each label, a number, or the part of a context that answers.

A prompt of two parts is written in two lines: the two texts of a pair, or a question and then its context.

>>> from liar import load_model
>>> from liar.evaluate.answering.reply import check_answers
>>> check_answers(load_model("tiny"))  # raises nothing
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from liar.data.packing import longest_sequence
from liar.errors import InvalidSpecError
from liar.evaluate.answering.nearest import nearest
from liar.evaluate.classification import logits_steps
from liar.evaluate.spans import span_steps
from liar.models.heads import class_names, is_classifier, problem_of
from liar.progress import finish
from liar.results import Generation, Variant
from liar.tasks.samples import Sample

if TYPE_CHECKING:
    from liar.models.loaded import LoadedModel


def check_answers(loaded: LoadedModel) -> None:
    """Raise :class:`InvalidSpecError` for a model that can neither answer nor find texts."""
    if loaded.embedder is None and loaded.head not in ("causal-lm", "sequence-classification", "question-answering"):
        raise InvalidSpecError(
            f"{loaded.id} has no head that writes, classifies or marks an answer, and is no embedder that finds texts, so it "
            "cannot answer; choose another model."
        )


def reply(loaded: LoadedModel, prompt: str, variant: Variant) -> Generation:
    """Reply to one prompt; ``variant`` only labels it.

    Raises :class:`InvalidSpecError` for a prompt that is empty or too long, a question without a context, and a model
    without a head.
    """
    check_answers(loaded)
    check_written(prompt)
    if loaded.embedder is not None:
        check_room(loaded, reply_length(loaded, prompt), 0)
        return Generation(prompt=prompt, variant=variant, found=nearest(loaded, prompt, variant))
    if loaded.head == "question-answering":
        return Generation(prompt=prompt, variant=variant, text=_marked(loaded, prompt))
    if is_classifier(loaded.model) and problem_of(loaded.model.config) != "regression":
        return Generation(prompt=prompt, variant=variant, probabilities=_label(loaded, prompt))
    numbers = ", ".join(f"{number:.2f}" for number in _logits(loaded, prompt).tolist())
    return Generation(prompt=prompt, variant=variant, text=numbers)


def reply_length(loaded: LoadedModel, prompt: str) -> int:
    """Tokens of a prompt that must fit the model at once: a context may take several windows, its question may not."""
    text, pair = _parts(loaded, prompt)
    if loaded.head == "question-answering":
        pair = None
    return len(loaded.tokenizer(text, pair, verbose=False)["input_ids"])


def check_written(prompt: str) -> None:
    """Raise :class:`InvalidSpecError` for a prompt without words."""
    if not prompt.strip():
        raise InvalidSpecError("The prompt is empty; write a sentence.")


def check_room(loaded: LoadedModel, length: int, new: int) -> None:
    """Raise :class:`InvalidSpecError` if a prompt of ``length`` tokens leaves no room for ``new`` ones."""
    limit = longest_sequence(loaded)
    if length + new > limit:
        raise InvalidSpecError(
            f"The prompt is {length} tokens long and the model has {limit} positions for prompt and answer; shorten it."
        )


def _parts(loaded: LoadedModel, prompt: str) -> tuple[str, str | None]:
    """The two parts of a prompt; models that are known to read one text take all lines as one."""
    reads_one = loaded.embedder is not None or (loaded.task is not None and loaded.kind == "sentence")
    first, line, rest = prompt.strip().partition("\n")
    return (prompt, None) if reads_one or not line else (first.strip(), rest.strip())


def _marked(loaded: LoadedModel, prompt: str) -> str:
    question, context = _parts(loaded, prompt)
    if not context:
        raise InvalidSpecError("The question has no context; write the question in the first line and a text below it.")
    length = min(384, longest_sequence(loaded))
    (answer,) = finish(span_steps(loaded.model, loaded.tokenizer, [Sample(question, pair=context)], length))
    return answer


def _label(loaded: LoadedModel, sentence: str) -> dict[str, float]:
    """Probability of each label; with independent outputs they do not add up to one."""
    logits = _logits(loaded, sentence)
    single = problem_of(loaded.model.config) == "single-label"
    probabilities = (logits.softmax(dim=0) if single else logits.sigmoid()).tolist()
    return dict(zip(class_names(loaded.model.config), probabilities, strict=True))


def _logits(loaded: LoadedModel, prompt: str) -> Tensor:
    """Outputs of a text classifier, (outputs,) fp32 on the CPU."""
    check_room(loaded, reply_length(loaded, prompt), 0)
    text, pair = _parts(loaded, prompt)
    sample, length = Sample(text, pair=pair), longest_sequence(loaded)
    logits, _ = finish(logits_steps(loaded.model, loaded.tokenizer, [sample], length))
    return logits[0]
