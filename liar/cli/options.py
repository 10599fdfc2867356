"""Options that several commands share, with their help texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer
from pydantic import ByteSize, TypeAdapter, ValidationError

from liar.spec import AUTO, AUTO_TOKENS, AUTO_TOKENS_OF_A_MIX, SEPARATORS, PruneSpec, Separator
from liar.tasks.harness import HARNESS
from liar.tasks.mixes import MIXED, OWN_TEXT
from liar.tasks.registry import TASKS
from liar.tasks.texts import TEXTS

DEFAULTS = PruneSpec()
GOES, REPAIR, TEXT, MEASURE, SAVE = "What goes", "Repair", "Text", "Measure", "Save"
"""Groups of options in the help."""


def named(panel: str | None, words: str, choices: Sequence[str], *names: str) -> Any:
    """An option that takes one of ``choices``, which its help lists, so that they are not cut in a narrow terminal."""
    return typer.Option(*names, rich_help_panel=panel, metavar="NAME", help=f"{words}: {', '.join(choices)}.")


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
    typer.Option(
        help=f"Text: {_TEXT_NAMES}, a task, a file, or a Hub dataset; #column chooses, #text,label=kind "
        "names the labels. "
        "Repeat for a mix; '2 wiki' has two parts.",
        show_default=AUTO,
        metavar="TEXT",
        rich_help_panel=TEXT,
    ),
]
_TASK_NAMES = f"{', '.join(task.name for task in TASKS)}, or {HARNESS}NAME"
TaskName = Annotated[
    str, typer.Option(help=f"What is measured: {_TASK_NAMES}.", metavar="TASK", rich_help_panel=MEASURE)
]
TaskNames = Annotated[
    list[str] | None,
    typer.Option(
        "--evaluate",
        "--task",
        help=f"Measure this task; repeat for more: {_TASK_NAMES}.",
        metavar="TASK",
        rich_help_panel=MEASURE,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        help="A file or Hub dataset in place of the demo text, such as reviews.csv#message,label=kind, or a folder with "
        "copies of the Hub's datasets.",
        metavar="TEXT",
        rich_help_panel=MEASURE,
    ),
]
Tokens = Annotated[
    str,
    typer.Option(
        help=f"Calibration tokens; auto: {AUTO_TOKENS} for each channel of the widest layer, {AUTO_TOKENS_OF_A_MIX} of a mix.",
        metavar="N",
        rich_help_panel=TEXT,
    ),
]
SequenceLength = Annotated[
    int, typer.Option(help="Tokens of one calibration sequence.", metavar="N", rich_help_panel=TEXT)
]
EvaluateLength = Annotated[
    int | None,
    typer.Option(
        min=2,
        help="Tokens of one measured sequence; 256, or all positions of a smaller model.",
        metavar="N",
        rich_help_panel=MEASURE,
    ),
]
SeparatorOption = Annotated[
    Separator,
    named(TEXT, "What stands between two texts; auto is as the text's kind has it", SEPARATORS, "--separator"),
]
Seed = Annotated[
    int, typer.Option(help="Decides the text, and the scores of 'random'.", metavar="N", rich_help_panel=TEXT)
]
Device = Annotated[str, typer.Option(help="auto, cpu, mps, cuda or cuda:N.", metavar="NAME")]
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


ShardSize = Annotated[
    int, typer.Option(parser=_size, metavar="SIZE", help="Largest file of saved weights.", rich_help_panel=SAVE)
]
Size = Annotated[
    int | None,
    typer.Option(
        parser=_size,
        metavar="SIZE",
        help="Instead of a ratio: the most that the weights may take, such as 60MB.",
        rich_help_panel=GOES,
    ),
]
