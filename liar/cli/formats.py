"""The command that writes a model for another runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, get_args

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
    print_export(model, to, out, weights_of(int8=int8, fp16=fp16), cache=cache)


def print_export(model: str, to: Format, out: Path, weights: Weights, *, cache: bool) -> None:
    """Write ``model`` to ``out`` and print what was compared and what loads it."""
    from liar.export.exporting import check_request, export_steps

    check_request(to, weights, out)
    record = watched(lambda: export_steps(model, to, out, weights, cache=cache))
    for sentence in record.sentences:
        console.print(sentence, soft_wrap=True, markup=False)
    console.print(f"In {out}, loaded by:\n\n{record.code}\n", soft_wrap=True, markup=False)


def exports_of(names: Sequence[str], save: Path | None) -> dict[Format, Path]:
    """The folder of each format that `liar prune --export` names: ``smaller-onnx`` beside ``smaller``.

    Raises :class:`InvalidSpecError` for an unknown name and without ``save``, and what :func:`check_request` raises.
    """
    known: tuple[Format, ...] = get_args(Format)
    if names and save is None:
        raise InvalidSpecError("--export writes what --save writes for another runtime; name a new folder with --save.")
    if unknown := set(names) - set(known):
        raise InvalidSpecError(f"--export {min(unknown)} is no format; take {', '.join(known)}.")
    found = {to: save.with_name(f"{save.name}-{to}") for to in known if to in names and save is not None}
    if found:
        from liar.export.exporting import check_request

        for to, folder in found.items():
            check_request(to, "fp32", folder)
    return found


def weights_of(*, int8: bool, fp16: bool) -> Weights:
    """Raises :class:`InvalidSpecError` if both are asked for."""
    if int8 and fp16:
        raise InvalidSpecError("--int8 and --fp16 are two number formats; keep one of them.")
    return "int8" if int8 else "fp16" if fp16 else "fp32"
