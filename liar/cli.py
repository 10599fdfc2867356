"""The command line: every expected failure is one sentence on stderr and exit code 2."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer
from pydantic import BaseModel, ByteSize, TypeAdapter, ValidationError
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from liar.chatter import hush
from liar.errors import InvalidSpecError, LiarError
from liar.events import Finished
from liar.export import as_json
from liar.files import check_new_folder, check_writable, write_atomically
from liar.results import CurvesResult, EvaluationResult, RunResult
from liar.spec import (
    AUTO,
    CRITERIA,
    GRADIENT_CRITERIA,
    TASKS,
    Allocation,
    Criterion,
    PruneSpec,
    Quantize,
    Reconstruction,
    Schedule,
    Targets,
    Task,
)
from liar.threads import settle_threads

if TYPE_CHECKING:
    from liar.push import Destination

app = typer.Typer(
    help="Prune a BERT or a LLaMA, repair it in closed form, and see what happened.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
console = Console()
errors = Console(stderr=True)

# typer takes a Literal for one choice, and for a list of choices only an enumeration.
_TaskName = Enum("_TaskName", {name: name for name in TASKS})  # type: ignore[misc]
_CriterionName = Enum("_CriterionName", {name: name for name in CRITERIA})  # type: ignore[misc]

_DEFAULTS = PruneSpec()
Model = Annotated[str, typer.Argument(help="A demo model, a Hub id, or a local folder.", show_default=False)]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write everything measured to this file.")]
Calibration = Annotated[str, typer.Option(help="auto, wiki, sentiment, topic, a file, or a Hub dataset.")]
Tokens = Annotated[int, typer.Option(help="Calibration tokens.")]
SequenceLength = Annotated[int, typer.Option(help="Tokens of one calibration sequence.")]
Seed = Annotated[int, typer.Option(help="Decides the text, and the scores of 'random'.")]
Device = Annotated[str, typer.Option(help="auto, cpu, mps, cuda or cuda:N.")]
DTypeName = Literal["auto", "float32", "bfloat16", "float16"]
DType = Annotated[DTypeName, typer.Option()]
Private = Annotated[bool, typer.Option("--private", help="Only you may see a repository that is made for it.")]
_PUSH_HELP = "Upload what --save writes to this repository of the Hub, with the token in HF_TOKEN."


def _size(text: str) -> int:
    try:
        return TypeAdapter(ByteSize).validate_python(text)
    except ValidationError:
        raise typer.BadParameter(f"{text!r} is no size of a file; write it like 500MB or 2GB.") from None


ShardSize = Annotated[int, typer.Option(parser=_size, metavar="SIZE", help="Largest file of saved weights.")]
_EDIT_HELP = "Decide a site by hand: layers.3.ffn:ratio=0.2 or layers.0.attention:keep=1,4-6; repeat for more."
_QUANTIZE_HELP = "Measure the dense and the repaired model with weights of 8 bits as well, and save that one."


@app.command("fetch-demo")
def fetch_demo() -> None:
    """Download the demo models and texts (180 MB, once)."""
    from liar.models import demo

    with _progress() as bar:
        folder = demo.fetch_demo(_fraction(bar))
    console.print(f"The demo bundle is in {folder}")


@app.command()
def models() -> None:
    """List the models that have a name here; any BERT or LLaMA id or folder works too."""
    from liar.models.presets import PRESETS

    table = Table("id", "what it is", "family", "task", "parameters", "licence", box=None)
    for preset in PRESETS:
        size = f"{preset.parameters:,.0f} M"
        table.add_row(preset.id, preset.title, preset.family, preset.task or "-", size, preset.licence)
    console.print(table)


@app.command()
def prune(
    model: Model,
    targets: Annotated[Targets, typer.Option(help="What is removed.")] = _DEFAULTS.targets,
    criterion: Annotated[Criterion, typer.Option(help="How units are scored.")] = _DEFAULTS.criterion,
    ratio: Annotated[float, typer.Option(help="Share of the targeted units removed, 0 to 0.95.")] = _DEFAULTS.ratio,
    allocation: Annotated[Allocation, typer.Option(help="How the ratio is spread.")] = _DEFAULTS.allocation,
    reconstruction: Annotated[Reconstruction, typer.Option(help="The repair.")] = _DEFAULTS.reconstruction,
    schedule: Annotated[Schedule, typer.Option(help="Whose activations are read.")] = _DEFAULTS.schedule,
    calibration: Calibration = AUTO,
    tokens: Tokens = _DEFAULTS.tokens,
    sequence_length: SequenceLength = _DEFAULTS.sequence_length,
    multiple: Annotated[int, typer.Option(help="Round kept neurons to a multiple, such as 64.")] = _DEFAULTS.multiple,
    seed: Seed = _DEFAULTS.seed,
    device: Device = AUTO,
    dtype: DType = "auto",
    evaluate: Annotated[list[_TaskName] | None, typer.Option(help="Measure this task; repeat for more.")] = None,
    evaluate_limit: Annotated[int | None, typer.Option(help="Windows or items of each task.")] = None,
    edit: Annotated[list[str] | None, typer.Option(help=_EDIT_HELP)] = None,
    quantize: Annotated[Quantize, typer.Option(help=_QUANTIZE_HELP)] = _DEFAULTS.quantize,
    save: Annotated[Path | None, typer.Option(help="Write the smaller model to this new folder.")] = None,
    save_dtype: Annotated[DTypeName, typer.Option(help="Round the saved weights; auto keeps them.")] = "auto",
    shard_size: ShardSize = "5GB",  # type: ignore[assignment]
    push: Annotated[str | None, typer.Option(help=_PUSH_HELP)] = None,
    private: Private = False,
    json: JsonFile = None,
) -> None:
    """Prune and repair a model, and tell the error of every site."""
    check_writable(json)
    check_new_folder(save)
    if push is not None and save is None:
        raise InvalidSpecError(
            "--push sends what --save writes; name a new folder with --save, it outlives a failed upload."
        )
    spec = PruneSpec.create(
        model=model,
        targets=targets,
        criterion=criterion,
        ratio=ratio,
        allocation=allocation,
        reconstruction=reconstruction,
        schedule=schedule,
        calibration=calibration,
        tokens=tokens,
        sequence_length=sequence_length,
        multiple=multiple,
        seed=seed,
        device=device,
        dtype=dtype,
        evaluate=tuple(task.value for task in evaluate or ()),
        evaluate_limit=evaluate_limit,
        edits=tuple(edit or ()),
        quantize=quantize,
    )
    destination = None if push is None else _destination(push, private)
    finished = _run(spec)
    _print_result(finished.result)
    _write(json, finished.result)
    if save is not None:
        _save(save, finished, save_dtype, shard_size)
        if destination is not None:
            _push(save, destination)


@app.command("push")
def push_command(
    folder: Annotated[Path, typer.Argument(help="What `liar prune --save` wrote.", show_default=False)],
    repo: Annotated[str, typer.Argument(help="owner/name, or a name of your own.", show_default=False)],
    private: Private = False,
) -> None:
    """Upload a saved model to the Hub, with the token in the environment variable HF_TOKEN."""
    from liar.checkpoint import check_checkpoint

    check_checkpoint(folder)
    _push(folder, _destination(repo, private))


@app.command("evaluate")
def evaluate_command(
    model: Model,
    task: Annotated[Task, typer.Option(help="What is measured.")],
    data: Annotated[str | None, typer.Option(help="A file or Hub dataset instead of the demo text.")] = None,
    limit: Annotated[int | None, typer.Option(help="Windows or items.", min=1)] = None,
    device: Device = AUTO,
    dtype: DType = "auto",
    json: JsonFile = None,
) -> None:
    """Measure a model as it is."""
    check_writable(json)
    from liar.environment import describe, readable_failures
    from liar.evaluate import evaluate
    from liar.models.catalog import load_model, model_info

    with _progress() as bar, readable_failures():
        start = time.perf_counter()
        loaded = load_model(model, device, dtype, on_progress=_fraction(bar))
        ready = time.perf_counter()
        evaluation = evaluate(loaded, task, limit=limit, data=data, on_progress=_counted(bar, f"Measuring {task}"))
        timings = {"load": ready - start, "evaluate": time.perf_counter() - ready}
    result = EvaluationResult(
        model=model_info(loaded), evaluations=[evaluation], timings=timings, environment=describe(loaded.model)
    )
    console.print(f"{task}: {evaluation.value:.4g} ± {evaluation.stderr:.2g} (n = {evaluation.n})")
    _write(json, result)


@app.command("measure")
def measure_command(
    dense: Annotated[str, typer.Argument(help="A demo model, a Hub id, or a local folder.", show_default=False)],
    pruned: Annotated[str, typer.Argument(help="What became of it: say, what --save wrote.", show_default=False)],
    prompt_tokens: Annotated[
        int | None, typer.Option(help="Tokens of a prompt or a text; 256 where the model has positions for them.")
    ] = None,
    new_tokens: Annotated[int, typer.Option(help="Tokens that a language model writes after it.")] = 32,
    repeats: Annotated[int, typer.Option(help="Turns of each model; the first, which warms up, is one more.")] = 7,
    device: Device = AUTO,
    dtype: DType = "auto",
    json: JsonFile = None,
) -> None:
    """Parameters, multiplications, bytes and speed of two models, timed in turns."""
    check_writable(json)
    from liar.costs import compare_steps
    from liar.environment import readable_failures
    from liar.gain import rows, sentences
    from liar.models.catalog import bytes_on_disk, load_model
    from liar.timing import finish

    with _progress() as bar, readable_failures():
        models = [load_model(name, device, dtype, on_progress=_fraction(bar)) for name in (dense, pruned)]
        steps = compare_steps(
            *models,
            prompt_tokens=prompt_tokens,
            new_tokens=new_tokens,
            repeats=repeats,
            on_disk=(bytes_on_disk(dense), bytes_on_disk(pruned)),
        )
        result = finish(steps, _counted(bar, "Timing both in turns"))
    table = Table("", "dense", "pruned", "change", box=None)
    for row in rows(result):
        table.add_row(row.name, row.dense, row.pruned, row.change)
    console.print(table)
    console.print(f"Speeds are medians of {repeats} turns with their quartiles.")
    for sentence in sentences(result):
        console.print(sentence, soft_wrap=True)
    _write(json, result)


@app.command("curves")
def curves_command(
    model: Model,
    criterion: Annotated[list[_CriterionName] | None, typer.Option(help="Repeat for more.")] = None,
    calibration: Calibration = AUTO,
    tokens: Tokens = _DEFAULTS.tokens,
    sequence_length: SequenceLength = _DEFAULTS.sequence_length,
    seed: Seed = _DEFAULTS.seed,
    device: Device = AUTO,
    dtype: DType = "auto",
    json: JsonFile = None,
) -> None:
    """Error of every site at 101 ratios, for each reconstruction, from one calibration."""
    check_writable(json)
    names = [item.value for item in criterion or []] or [_DEFAULTS.criterion]
    criteria = cast(tuple[Criterion, ...], tuple(dict.fromkeys(names)))
    spec = PruneSpec.create(
        model=model, calibration=calibration, tokens=tokens, sequence_length=sequence_length, seed=seed, device=device
    )
    from liar.atlas import RATIOS
    from liar.calibration import calibrate, curves
    from liar.environment import describe, readable_failures
    from liar.models.catalog import load_model, model_info

    with _progress() as bar, readable_failures():
        start = time.perf_counter()
        loaded = load_model(spec.model, device, dtype, on_progress=_fraction(bar))
        ready = time.perf_counter()
        calibrated = calibrate(
            loaded,
            spec.calibration,
            tokens=spec.tokens,
            sequence_length=spec.sequence_length,
            seed=spec.seed,
            gradients=bool(GRADIENT_CRITERIA.intersection(criteria)),
            on_progress=_counted(bar, "Reading sites"),
        )
        read = time.perf_counter()
        sites = curves(loaded, calibrated, criteria, seed=seed, on_progress=_counted(bar, "Drawing curves"))
        drawn = time.perf_counter()
    result = CurvesResult(
        model=model_info(loaded),
        ratios=list(RATIOS),
        sites=sites,
        timings={"load": ready - start, "calibrate": read - ready, "curves": drawn - read},
        environment=describe(loaded.model),
    )
    table = Table("criterion", *(f"{name}, mean error at half" for name in sites[0].error), box=None)
    for name in criteria:
        chosen = [site for site in sites if site.criterion == name]
        means = [sum(site.error[method][50] for site in chosen) / len(chosen) for method in chosen[0].error]
        table.add_row(name, *(f"{mean:.4f}" for mean in means))
    console.print(table)
    console.print(f"{len(sites)} curves in {drawn - read:.1f} s after {read - ready:.1f} s of calibration")
    _write(json, result)


@app.command("report")
def report_command(
    run: Annotated[Path, typer.Argument(help="What `liar prune --json` wrote.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="The page; without it RUN with the ending .html.")] = None,
) -> None:
    """Turn a finished run into one HTML file that opens without a network."""
    result = _read_run(run)
    target = out or run.with_suffix(".html")
    if target.resolve() == run.resolve():
        raise LiarError(f"The report would replace {run} itself; choose another file with --out.")
    check_writable(target)
    from liar.report import html_report

    write_atomically(target, html_report(result))
    console.print(f"Written to {target}")


@app.command("train-adapter")
def train_adapter_command(
    task: Annotated[Literal["sentiment", "topic"], typer.Argument(show_default=False)],
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Fine-tune MiniLM's head and LoRA adapter for a task, on the CPU; the result goes to assets/adapters."""
    from liar.train_adapter import train_adapter

    with _progress() as bar:
        train_adapter(task, seed, on_progress=_fraction(bar))


def _save(folder: Path, finished: Finished, dtype: str, shard_bytes: int) -> None:
    from liar.saving import saving_steps

    assert finished.model is not None, "a run hands over its model"
    with _progress() as bar:
        row = bar.add_task("")
        steps = saving_steps(finished.model, folder, finished.result, dtype=dtype, shard_bytes=shard_bytes)
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                delivered = end.value
                break
            bar.update(row, description=step.message, completed=step.done, total=step.total)
    console.print(delivered.sentence, soft_wrap=True)


def _destination(repo: str, private: bool) -> Destination:
    from liar.push import find_destination

    return find_destination(repo, private=private)


def _push(folder: Path, destination: Destination) -> None:
    from liar.push import push_checkpoint

    console.print(f"Uploading {folder} to {destination.repo}", markup=False, soft_wrap=True)
    console.print(f"It is at {push_checkpoint(folder, destination)}", markup=False, soft_wrap=True)


def _run(spec: PruneSpec) -> Finished:
    from liar import events
    from liar.pipeline import stream

    with _progress() as bar:
        rows: dict[str, TaskID] = {}
        for event in stream(spec):
            if isinstance(event, events.Progress):
                if event.stage not in rows:
                    rows[event.stage] = bar.add_task("")
                bar.update(rows[event.stage], description=event.message, completed=event.done, total=event.total)
            elif isinstance(event, events.Warned):
                errors.print(f"Note: {event.message}", style="yellow")
            elif isinstance(event, events.Finished):
                return event
    raise AssertionError("a run ends with Finished or with an error")


def _print_result(result: RunResult) -> None:
    from liar.quantized_words import quantizations
    from liar.words import rounding, verdict

    table = Table("site", "kept", *result.sites[0].error, title="Error of every site, E|Y'-Y|² / E|Y|²", box=None)
    for site in result.sites:
        table.add_row(site.name, f"{site.kept}/{site.units}", *(f"{value:.4f}" for value in site.error.values()))
    console.print(table)
    if result.evaluations:
        measures = Table("task", "variant", "value", "stderr", "n", box=None)
        for item in result.evaluations:
            measures.add_row(
                f"{item.task} ({item.metric})", item.variant, f"{item.value:.4g}", f"{item.stderr:.2g}", str(item.n)
            )
        console.print(measures)
    console.print(verdict(result), *quantizations(result), sep="\n")
    if cost := rounding(result):
        console.print(cost)


def _read_run(path: Path) -> RunResult:
    try:
        return RunResult.model_validate_json(path.read_bytes())
    except OSError as error:
        reason = error.strerror or str(error)
        raise LiarError(f"{path} cannot be read ({reason}); name a file that `liar prune --json` wrote.") from error
    except ValidationError as error:
        raise LiarError(f"{path} holds no run of this version; name a file that `liar prune --json` wrote.") from error


def _write(path: Path | None, result: BaseModel) -> None:
    if path is not None:
        write_atomically(path, as_json(result))
        console.print(f"Written to {path}")


@contextmanager
def _progress() -> Iterator[Progress]:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
    ) as bar:
        yield bar


def _fraction(bar: Progress) -> Callable[[str, float], None]:
    """A callback of (message, fraction) that moves a line of its own."""
    row = bar.add_task("", total=1.0)
    return lambda message, fraction: bar.update(row, description=message, completed=fraction)


def _counted(bar: Progress, description: str) -> Callable[[int, int], None]:
    """A callback of (done, total) that moves a line of its own."""
    row = bar.add_task(description, total=None)
    return lambda done, total: bar.update(row, completed=done, total=total)


def main() -> None:
    """Console entry point."""
    settle_threads()
    hush()
    try:
        app()
    except LiarError as error:
        errors.print(f"[red]Error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)
