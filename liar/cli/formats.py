"""The command that writes a model for another runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, get_args

import typer

from liar.cli.console import console, watched
from liar.cli.options import MODEL_HELP, named, valued
from liar.errors import InvalidSpecError
from liar.report.exported import Format, Target, Weights

Int8 = Annotated[bool, typer.Option("--int8", help="Round the weights to 8 bits; GGUF's q8_0.")]
Fp16 = Annotated[bool, typer.Option("--fp16", help="Round the weights to half precision, for OpenVINO, GGUF and vLLM.")]


def export_command(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL", help=f"{MODEL_HELP} A page takes two.", show_default=False)
    ],
    to: Annotated[Target, named(None, "The format", Target, "--to")],
    out: Annotated[Path, valued(None, "FOLDER", "Write it to this new folder.", "--out")],
    int8: Int8 = False,
    fp16: Fp16 = False,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Whether the graph of a language model keeps what it has read.")
    ] = True,
) -> None:
    """Write a model for ONNX, OpenVINO, llama.cpp or vLLM, and compare it with torch; a model with ragged layers too.

    Or write a page that shows two of them side by side and runs them in the visitor's browser.
    """
    if to == "page":
        if fp16:
            raise InvalidSpecError("A page has weights of 8 bits; leave --fp16 out.")
        _print_page(models, out)
        return
    if len(models) != 1:
        raise InvalidSpecError(f"An export to {to} takes one model; --to page takes two.")
    print_export(models[0], to, out, weights_of(int8=int8, fp16=fp16), cache=cache)


def _print_page(models: Sequence[str], out: Path) -> None:
    from liar.export.browser.page_for_browsers import page_steps

    for sentence in watched(lambda: page_steps(models, out)).sentences:
        console.print(sentence, soft_wrap=True, markup=False)
    console.print(
        f"In {out}, for any web host; to look at it: python -m http.server --directory {out}",
        soft_wrap=True,
        markup=False,
    )


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
