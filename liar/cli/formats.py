"""The command that writes a model for another runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from liar.cli.console import console, watched
from liar.cli.options import Model, named, valued
from liar.errors import InvalidSpecError
from liar.report.exported import Format, Weights

Int8 = Annotated[bool, typer.Option("--int8", help="Round the weights to 8 bits; GGUF's q8_0.")]
Fp16 = Annotated[bool, typer.Option("--fp16", help="Round the weights to half precision, for OpenVINO and GGUF.")]


def export_command(
    model: Model,
    to: Annotated[Format, named(None, "The format", Format, "--to")],
    out: Annotated[Path, valued(None, "FOLDER", "Write it to this new folder.", "--out")],
    int8: Int8 = False,
    fp16: Fp16 = False,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Whether the graph of a language model keeps what it has read.")
    ] = True,
) -> None:
    """Write a model for ONNX, OpenVINO or llama.cpp, and compare it with torch; a model with ragged layers too."""
    weights = weights_of(int8=int8, fp16=fp16)
    from liar.export.steps import check_request, export_steps

    check_request(to, weights, out)
    record = watched(lambda: export_steps(model, to, out, weights, cache=cache))
    for sentence in record.sentences:
        console.print(sentence, soft_wrap=True, markup=False)
    console.print(f"In {out}, loaded by:\n\n{record.code}\n", soft_wrap=True, markup=False)


def weights_of(*, int8: bool, fp16: bool) -> Weights:
    """Raises :class:`InvalidSpecError` if both are asked for."""
    if int8 and fp16:
        raise InvalidSpecError("--int8 and --fp16 are two number formats; keep one of them.")
    return "int8" if int8 else "fp16" if fp16 else "fp32"
