"""What an exported model answers beside torch, on real texts of several lengths, one by one and in one batch.

The texts are those of the model's own task if the demo bundle has it, else questions joined to longer and longer texts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from liar.data.batching import encode, pad
from liar.data.text_reader import demo_samples
from liar.errors import LiarError
from liar.loading.demo_bundle import bundle_folder
from liar.models.loaded import LoadedModel
from liar.report.exported import Check
from liar.tasks.prompts import QUESTIONS
from liar.tasks.record import DemoData
from liar.tasks.registry import task_named
from liar.tasks.samples import Sample

TEXTS = 16
MORE_TEXTS = 200
"""Texts on which labels, vectors or the loss of rounded weights are compared."""
MOST_DIFFERENCE = 1e-3
PERPLEXITY = "Perplexity, relative to that of torch"
_LONGEST = 128

Feed = Mapping[str, Tensor]
Answer = dict[str, Tensor]
Run = Callable[[Feed], Answer]
"""Outputs by name for ``input_ids`` and ``attention_mask`` (texts, length), and ``token_type_ids`` where a model has them."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The answers of torch and of the exported model to the same texts, with their mask (texts, length)."""

    ours: Answer
    theirs: Answer
    ids: Tensor
    mask: Tensor


def texts_for(loaded: LoadedModel, number: int) -> list[Sample]:
    """Real texts that the model can read; fewer than ``number`` if there are not so many."""
    data = task_named(loaded.task).data if loaded.task is not None else None
    if isinstance(data, DemoData) and bundle_folder().is_dir():
        return demo_samples(data, "test")[:number]
    questions = list(QUESTIONS)
    texts = [" ".join(questions[:count]) for count in range(1, 1 + min(number, TEXTS))]
    if loaded.head == "question-answering":
        return [Sample(question, pair=text) for question, text in zip(questions, texts, strict=False)]
    return [Sample(text) for text in texts]


def feeds(loaded: LoadedModel, samples: Sequence[Sample], batch: int) -> Iterator[Feed]:
    """The inputs of ``samples``, ``batch`` of them at a time, padded on the right."""
    types = needs_types(loaded)
    length = min(_LONGEST, getattr(loaded.model.config, "max_position_embeddings", _LONGEST))
    rows = iter(encode(samples, loaded.tokenizer, length, loaded.model.config))
    while part := list(islice(rows, batch)):
        feed = dict(pad(part, loaded.tokenizer, "right"))
        if types and "token_type_ids" not in feed:
            feed["token_type_ids"] = torch.zeros_like(feed["input_ids"])
        yield feed


def needs_types(loaded: LoadedModel) -> bool:
    """Whether the exported model takes ``token_type_ids``: those of a BERT whose tokenizer makes them."""
    return (
        "token_type_ids" in loaded.tokenizer.model_input_names
        and getattr(loaded.model.config, "type_vocab_size", 1) > 1
    )


def differences(loaded: LoadedModel, ours: Run, theirs: Run) -> Check:
    """:func:`largest_difference` on :data:`TEXTS` texts, one by one and in one batch."""
    texts = texts_for(loaded, TEXTS)
    inputs = [feed for size in (1, TEXTS) for feed in feeds(loaded, texts, size)]
    return largest_difference(list(compare(ours, theirs, inputs)))


def what_is_left(loaded: LoadedModel, ours: Run, theirs: Run) -> Check:
    """:func:`agreement` on :data:`MORE_TEXTS` texts."""
    inputs = list(feeds(loaded, texts_for(loaded, MORE_TEXTS), TEXTS))
    return agreement(loaded, list(compare(ours, theirs, inputs)))


def compare(ours: Run, theirs: Run, inputs: Sequence[Feed]) -> Iterator[Compared]:
    for feed in inputs:
        with torch.no_grad():
            yield Compared(ours(feed), theirs(feed), feed["input_ids"], feed["attention_mask"])


def largest_difference(compared: Sequence[Compared]) -> Check:
    """Largest difference of any output at any real token; raises :class:`LiarError` above :data:`MOST_DIFFERENCE`."""
    found = 0.0
    for each in compared:
        for name, ours in each.ours.items():
            difference = (ours.float() - each.theirs[name].float()).abs()
            if ours.ndim > 1 and ours.shape[:2] == each.mask.shape:  # an output of every token
                difference = difference[each.mask.bool()]
            largest = float(difference.max()) if bool(difference.isfinite().all()) else float("inf")
            found = max(found, largest)
    n = max(len(each.mask) for each in compared)
    check = Check(name="Largest difference of an output to torch", value=found, n=n, most=MOST_DIFFERENCE)
    if not check.holds:
        raise LiarError(
            f"The exported model answers otherwise than torch, by {found:.2g} where {MOST_DIFFERENCE:g} is allowed, and was "
            "not kept; save the model with another recipe, or report this with the folder's config.json."
        )
    return check


def finite(check: Check) -> Check:
    """``check``; raises :class:`LiarError` if its value is NaN or infinite."""
    if math.isfinite(check.value):
        return check
    raise LiarError(
        "The exported model answers with numbers that are not finite, and was not kept; export it with fp32 weights."
    )


def agreement(loaded: LoadedModel, compared: Sequence[Compared]) -> Check:
    """What is left of the answers when weights were rounded: labels, vectors, or the loss of the next token.

    Raises :class:`LiarError` if it is not finite.
    """
    n = sum(len(each.mask) for each in compared)
    if loaded.embedder is not None:
        cosines = [
            torch.cosine_similarity(each.ours["sentence_embedding"], each.theirs["sentence_embedding"], dim=-1)
            for each in compared
        ]
        return finite(Check(name="Mean cosine to the vector of torch", value=float(torch.cat(cosines).mean()), n=n))
    if loaded.is_language_model:
        losses = torch.stack([torch.stack([_loss(each.ours, each), _loss(each.theirs, each)]) for each in compared])
        ours, theirs = losses.sum(dim=0) / sum(int(each.mask[:, 1:].sum()) for each in compared)
        return finite(Check(name=PERPLEXITY, value=float((theirs - ours).exp()), n=n))
    equal = [_labels(each.ours, each.mask).eq(_labels(each.theirs, each.mask)) for each in compared]
    return Check(name="Share of answers equal to those of torch", value=float(torch.cat(equal).float().mean()), n=n)


def _loss(answer: Answer, each: Compared) -> Tensor:
    """Sum of the loss of every next token."""
    real = each.mask[:, 1:].bool()
    logits = answer["logits"][:, :-1][real].double()
    return torch.nn.functional.cross_entropy(logits, each.ids[:, 1:][real], reduction="sum")


def _labels(answer: Answer, mask: Tensor) -> Tensor:
    """The largest logit of each text or real token; both ends of an answer; rounded numbers of a regression."""
    found: list[Tensor] = []
    for logits in answer.values():
        if logits.ndim == 3:
            found.append(logits[mask.bool()].argmax(dim=-1))
        elif logits.shape == mask.shape:
            found.append(logits.masked_fill(mask == 0, -torch.inf).argmax(dim=-1))
        else:
            found.append(logits.argmax(dim=-1) if logits.shape[-1] > 1 else logits.mul(10).round().flatten())
    return torch.cat(found)
