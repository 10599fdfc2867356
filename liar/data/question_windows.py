"""Windows of questions and their contexts, for models that mark an answer in a text.

A context that is too long for one window is read in several, which overlap. Each window begins with the question:
``[CLS] question [SEP] a part of the context [SEP]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from liar.data.batching import Row
from liar.errors import CalibrationError
from liar.tasks.samples import Sample

LENGTH = 384
"""Default tokens of a window, as in most published figures of SQuAD."""

STRIDE = 128
"""Default tokens that two successive windows of a context share."""

Marks = tuple[int, int]
"""Positions in a window of the first and the last token of an answer."""

NO_ANSWER: Marks = (0, 0)
"""The marks of a window without the whole answer: its first token, which is a special one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window(Row):
    """A question and a part of its context; ``cut`` if the context has more than one window.

    ``item``: position of the question among its samples. ``offsets``: for each token the characters (start, end) of the
    context that it covers, None for tokens of the question and special tokens.
    """

    item: int
    offsets: list[tuple[int, int] | None]


def windows_of(
    samples: Sequence[Sample],
    tokenizer: PreTrainedTokenizerBase,
    length: int = LENGTH,
    stride: int = STRIDE,
    config: PreTrainedConfig | None = None,
) -> list[Window]:
    """The windows of each sample, in the order of the samples: its ``text`` (the question), then a part of its ``pair``.

    A window has at most ``length`` tokens; two successive ones share ``stride`` tokens of the context, or half of what
    a window has room for if that is less. They have types if the model's ``config`` has more than one. Pad batches of
    them on the right, so that marks keep their positions. Raises :class:`CalibrationError` for a question that leaves no
    room for its context, and for a tokenizer that does not report characters.
    """
    typed = getattr(config, "type_vocab_size", 1) > 1
    found: list[Window] = []
    for item, sample in enumerate(samples):
        room = check_question(sample, tokenizer, length)
        encoded = tokenizer(
            _question(sample),
            sample.pair or "",
            truncation="only_second",
            max_length=length,
            stride=max(0, min(stride, room // 2)),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        types = encoded.get("token_type_ids") if typed else None
        for part, ids in enumerate(encoded["input_ids"]):
            texts, characters = encoded.sequence_ids(part), encoded["offset_mapping"][part]
            offsets = [tuple(span) if text == 1 else None for text, span in zip(texts, characters, strict=True)]
            cut = len(encoded["input_ids"]) > 1
            found.append(Window(ids, None if types is None else types[part], cut, item=item, offsets=offsets))
    return found


def check_question(sample: Sample, tokenizer: PreTrainedTokenizerBase, length: int) -> int:
    """Tokens that the question leaves for its context in a window; raises what :func:`windows_of` raises."""
    if not tokenizer.is_fast:
        raise CalibrationError(
            f"{type(tokenizer).__name__} does not report the characters of its tokens, which answers are read from; choose a "
            "model with a fast tokenizer."
        )
    question = _question(sample)
    special = tokenizer.num_special_tokens_to_add(pair=True)
    room = length - special - len(tokenizer(question, add_special_tokens=False, verbose=False)["input_ids"])
    if room < 1:
        raise CalibrationError(
            f"The question {question[:40]!r} leaves no room for its context in a window of {length} tokens; shorten the "
            "question or choose a larger sequence length."
        )
    return room


def _question(sample: Sample) -> str:
    return sample.text.lstrip()  # as in run_qa of transformers


def marks_of(window: Window, sample: Sample) -> Marks:
    """Tokens of the first accepted answer; :data:`NO_ANSWER` if it has none, or not wholly inside this window."""
    if not sample.answers or not sample.answers[0].text:
        return NO_ANSWER
    first = sample.answers[0].start
    end = first + len(sample.answers[0].text)
    spans = [(position, span) for position, span in enumerate(window.offsets) if span is not None]
    starts = [position for position, span in spans if span[0] <= first]
    ends = [position for position, span in spans if span[1] >= end]
    return (starts[-1], ends[0]) if starts and ends else NO_ANSWER
