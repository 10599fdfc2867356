"""Options that several commands share, with their help texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import ByteSize, TypeAdapter, ValidationError

from liar.spec import AUTO, AUTO_TOKENS, AUTO_TOKENS_OF_A_MIX, PruneSpec, Separator
from liar.tasks.harness import HARNESS
from liar.tasks.mixes import MIXED, OWN_TEXT
from liar.tasks.registry import TASKS
from liar.tasks.texts import TEXTS

# typer accepts a Literal for a single choice, but needs an Enum for a list of choices.

DEFAULTS = PruneSpec()
Model = Annotated[
    str,
    typer.Argument(
        help="A demo model, a Hub id (owner/name or owner/name@revision), or a local folder.", show_default=False
    ),
]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write everything measured to this file.")]
_TEXT_NAMES = f"auto, {', '.join(text.id for text in TEXTS)}, {OWN_TEXT} (what a language model writes)"
Calibration = Annotated[
    list[str] | None,
    typer.Option(
        help=f"Text: {_TEXT_NAMES}, a task, a file, or a Hub dataset; #column chooses, #text,label=kind "
        "names the labels. "
        "Repeat for a mix; '2 wiki' has two parts.",
        show_default=AUTO,
    ),
]
_TASK_NAMES = f"{', '.join(task.name for task in TASKS)}, or {HARNESS}NAME"
TaskName = Annotated[str, typer.Option(help=f"What is measured: {_TASK_NAMES}.")]
TaskNames = Annotated[
    list[str] | None, typer.Option("--evaluate", "--task", help=f"Measure this task; repeat for more: {_TASK_NAMES}.")
]
Data = Annotated[
    str | None,
    typer.Option(
        help="A file or Hub dataset in place of the demo text, such as reviews.csv#message,label=kind, or a folder with "
        "copies of the Hub's datasets."
    ),
]
Tokens = Annotated[
    str,
    typer.Option(
        help=f"Calibration tokens; auto: {AUTO_TOKENS} for each channel of the widest layer, {AUTO_TOKENS_OF_A_MIX} of a mix."
    ),
]
SequenceLength = Annotated[int, typer.Option(help="Tokens of one calibration sequence.")]
EvaluateLength = Annotated[
    int | None, typer.Option(min=2, help="Tokens of one measured sequence; 256, or all positions of a smaller model.")
]
SeparatorOption = Annotated[
    Separator, typer.Option("--separator", help="What stands between two texts; auto is as the text's kind has it.")
]
Seed = Annotated[int, typer.Option(help="Decides the text, and the scores of 'random'.")]
Device = Annotated[str, typer.Option(help="auto, cpu, mps, cuda or cuda:N.")]
DTypeName = Literal["auto", "float32", "bfloat16", "float16"]
DType = Annotated[DTypeName, typer.Option()]
Private = Annotated[bool, typer.Option("--private", help="Only you may see a repository that is made for it.")]
PUSH_HELP = "Upload what --save writes to this repository of the Hub, with the token in HF_TOKEN."


def mixed(sources: list[str] | None) -> str:
    """Several calibration sources as one choice of a spec."""
    return MIXED.join(sources or [AUTO])


def _size(text: str) -> int:
    try:
        return TypeAdapter(ByteSize).validate_python(text)
    except ValidationError:
        raise typer.BadParameter(f"{text!r} is no size of a file; write it like 500MB or 2GB.") from None


ShardSize = Annotated[int, typer.Option(parser=_size, metavar="SIZE", help="Largest file of saved weights.")]
Size = Annotated[
    int | None,
    typer.Option(
        parser=_size, metavar="SIZE", help="Instead of a ratio: the most that the weights may take, such as 60MB."
    ),
]
EDIT_HELP = "Decide a site by hand: layers.3.ffn:ratio=0.2 or layers.0.attention:keep=1,4-6; repeat for more."
QUANTIZE_HELP = "Measure the dense and the repaired model with weights of 8 bits as well, and save that one."
