"""Options that several commands share, with their help texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer
from pydantic import ByteSize, TypeAdapter, ValidationError

from liar.spec import AUTO, AUTO_TOKENS, AUTO_TOKENS_OF_A_MIX, SEPARATORS, PruneSpec, Separator
from liar.tasks.common_sense import HARNESS
from liar.tasks.mixes import MIXED, OWN_TEXT
from liar.tasks.registry import TASKS
from liar.tasks.texts import TEXTS

DEFAULTS = PruneSpec()
GOES, REPAIR, TEXT, MEASURE, SAVE = "What goes", "Repair", "Text", "Measure", "Save"
"""Groups of options in the help."""


def named(panel: str | None, words: str, choices: Sequence[str], *names: str) -> Any:
    """An option that takes one of ``choices``, which its help lists, so that they are not cut in a narrow terminal."""
    return valued(panel, "NAME", f"{words}: {', '.join(choices)}.", *names)


def valued(panel: str | None, metavar: str, words: str, *names: str, **more: Any) -> Any:
    """An option that takes any value; ``metavar`` says of what kind."""
    return typer.Option(*names, rich_help_panel=panel, metavar=metavar, help=words, **more)


Model = Annotated[
    str,
    typer.Argument(
        help="A demo model, a Hub id (owner/name or owner/name@revision), or a local folder.", show_default=False
    ),
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write everything measured to this file.", rich_help_panel=SAVE)
]
_TEXT_NAMES = f"auto, {', '.join(text.id for text in TEXTS)}, {OWN_TEXT} (what a language model writes)"
Calibration = Annotated[
    list[str] | None,
    valued(
        TEXT,
        "TEXT",
        f"Text: {_TEXT_NAMES}, a task, a file, or a Hub dataset; #column chooses, #text,label=kind names the labels. Repeat "
        "for a mix; '2 wiki' has two parts.",
        show_default=AUTO,
    ),
]
_TASK_NAMES = f"{', '.join(task.name for task in TASKS)}, or {HARNESS}NAME"
TaskName = Annotated[str, valued(MEASURE, "TASK", f"What is measured: {_TASK_NAMES}.")]
TaskNames = Annotated[
    list[str] | None,
    valued(MEASURE, "TASK", f"Measure this task; repeat for more: {_TASK_NAMES}.", "--evaluate", "--task"),
]
Data = Annotated[
    str | None,
    valued(
        MEASURE,
        "TEXT",
        "A file or Hub dataset in place of the demo text, such as reviews.csv#message,label=kind, or a folder with copies of "
        "the Hub's datasets.",
    ),
]
Tokens = Annotated[
    str,
    valued(
        TEXT,
        "N",
        f"Calibration tokens; auto: {AUTO_TOKENS} for each channel of the widest layer, {AUTO_TOKENS_OF_A_MIX} of a mix.",
    ),
]
SequenceLength = Annotated[int, valued(TEXT, "N", "Tokens of one calibration sequence.")]
EvaluateLength = Annotated[
    int | None,
    valued(MEASURE, "N", "Tokens of one measured sequence; 256, or all positions of a smaller model.", min=2),
]
SeparatorOption = Annotated[
    Separator,
    named(TEXT, "What stands between two texts; auto is as the text's kind has it", SEPARATORS, "--separator"),
]
Seed = Annotated[int, valued(TEXT, "N", "Decides the text, and the scores of 'random'.")]
Device = Annotated[str, valued(None, "NAME", "auto, cpu, mps, cuda or cuda:N.")]
DTypeName = Literal["auto", "float32", "bfloat16", "float16"]
DTYPES: tuple[DTypeName, ...] = get_args(DTypeName)
DType = Annotated[DTypeName, named(None, "Precision of the weights", DTYPES)]
Private = Annotated[
    bool,
    typer.Option("--private", help="Only you may see a repository that is made for it.", rich_help_panel=SAVE),
]


def mixed(sources: list[str] | None) -> str:
    """Several calibration sources as one choice of a spec."""
    return MIXED.join(sources or [AUTO])


def _size(text: str) -> int:
    try:
        return TypeAdapter(ByteSize).validate_python(text)
    except ValidationError:
        raise typer.BadParameter(f"{text!r} is no size of a file; write it like 500MB or 2GB.") from None


ShardSize = Annotated[int, valued(SAVE, "SIZE", "Largest file of saved weights.", parser=_size)]
Size = Annotated[
    int | None,
    valued(GOES, "SIZE", "Instead of a ratio: the most that the weights may take, such as 60MB.", parser=_size),
]
