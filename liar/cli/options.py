"""Options that several commands share, with their help texts, and how an option is declared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

from liar.spec import PruneSpec, Separator
from liar.tasks.registry import HARNESS, TASKS

DEFAULTS = PruneSpec()
GOES, REPAIR, TEXT, MEASURE, SAVE = "What goes", "Repair", "Text", "Measure", "Save"
"""Groups of options in the help."""


def named(panel: str | None, words: str, choices: Any, *names: str) -> Any:
    """An option that takes one of the ``choices`` of a Literal, which its help lists, so that they are not cut in a narrow
    terminal.
    """
    return valued(panel, "NAME", f"{words}: {', '.join(get_args(choices))}.", *names)


def valued(panel: str | None, metavar: str, words: str, *names: str, **more: Any) -> Any:
    """An option that takes any value; ``metavar`` says of what kind."""
    return typer.Option(*names, rich_help_panel=panel, metavar=metavar, help=words, **more)


MODEL_HELP = "A demo model, a Hub id (owner/name or owner/name@revision), or a local folder."
Model = Annotated[str, typer.Argument(help=MODEL_HELP, show_default=False)]
JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write everything measured to this file.", rich_help_panel=SAVE)
]
TASK_NAMES = f"{', '.join(task.name for task in TASKS)}, or {HARNESS}NAME"
TaskName = Annotated[str, valued(MEASURE, "TASK", f"What is measured: {TASK_NAMES}.")]
Data = Annotated[
    str | None,
    valued(
        MEASURE,
        "TEXT",
        "A file or Hub dataset in place of the demo text, such as reviews.csv#message,label=kind, or a folder with copies of "
        "the Hub's datasets.",
    ),
]
EvaluateLength = Annotated[
    int | None,
    valued(MEASURE, "N", "Tokens of one measured sequence; 256, or all positions of a smaller model.", min=2),
]
SeparatorOption = Annotated[
    Separator,
    named(TEXT, "What stands between two texts; auto is as the text's kind has it", Separator, "--separator"),
]
Device = Annotated[str, valued(None, "NAME", "auto, cpu, mps, cuda or cuda:N.")]
DTypeName = Literal["auto", "float32", "bfloat16", "float16"]
DType = Annotated[DTypeName, named(None, "Precision of the weights", DTypeName)]
Private = Annotated[
    bool, typer.Option("--private", help="Only you may see a repository that is made for it.", rich_help_panel=SAVE)
]
