"""Commands that make a smaller model and upload it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from pydantic import ByteSize, TypeAdapter, ValidationError
from rich.table import Table

from liar.choices import Criterion, Reconstruction
from liar.cli.console import console, watched, write
from liar.cli.formats import exports_of, print_export
from liar.cli.options import (
    DEFAULTS,
    GOES,
    MEASURE,
    REPAIR,
    SAVE,
    TASK_NAMES,
    TEXT,
    Data,
    Device,
    DType,
    DTypeName,
    EvaluateLength,
    JsonFile,
    Model,
    Private,
    SeparatorOption,
    named,
    valued,
)
from liar.cli.startup import is_first_process
from liar.errors import InvalidSpecError
from liar.events import Finished
from liar.explore.need import Need, NeedKind
from liar.files import check_new_folder, check_writable
from liar.report.exported import Format
from liar.results import RunResult
from liar.spec import AUTO, AUTO_TOKENS, AUTO_TOKENS_OF_A_MIX, Allocation, PruneSpec, Quantize, Schedule, Targets
from liar.tasks.mixes import MIXED, OWN_TEXT
from liar.tasks.registry import usual_tasks
from liar.tasks.texts import TEXTS

if TYPE_CHECKING:
    from liar.save.push import Destination


EXAMPLES = """Examples:

liar prune demo/smollm2-135m --ratio 0.3 --evaluate perplexity

liar prune my-bert --calibration train.csv --size 60MB --save smaller

liar prune my-llama --layers 0.1 --parameters 0.7 --evaluate perplexity"""


_TEXT_NAMES = f"auto, {', '.join(text.id for text in TEXTS)}, {OWN_TEXT} (what a language model writes)"
_AUTO_TOKENS = (
    f"Calibration tokens; auto: {AUTO_TOKENS} for each channel of the widest layer, {AUTO_TOKENS_OF_A_MIX} of a mix."
)


def _size(text: str) -> int:
    try:
        return TypeAdapter(ByteSize).validate_python(text)
    except ValidationError:
        raise typer.BadParameter(f"{text!r} is no size of a file; write it like 500MB or 2GB.") from None


def _memory(text: str) -> Need:
    need = Need.read(text) if "@" in text else None
    if need is None:
        raise typer.BadParameter(f"{text!r} is no memory at a number of tokens; write it like 1.5GB@4096.")
    return need


def prune(
    context: typer.Context,
    model: Model,
    targets: Annotated[Targets, named(GOES, "What is removed", Targets)] = DEFAULTS.targets,
    criterion: Annotated[Criterion, named(GOES, "How units are scored", Criterion)] = DEFAULTS.criterion,  # type: ignore[assignment]
    ratio: Annotated[
        float | None,
        valued(GOES, "X", "Share of the targeted units removed, 0 to 0.95.", show_default=f"{DEFAULTS.ratio}"),
    ] = None,
    vocabulary: Annotated[
        str | None,
        valued(
            GOES,
            "N|TEXT",
            "Tokens that stay: the N most frequent ones of the calibration text, or those that a text needs.",
        ),
    ] = None,
    layers: Annotated[
        float, valued(GOES, "X", "Share of whole layers removed before heads or neurons; alone with --ratio 0.")
    ] = DEFAULTS.layers,
    parameters: Annotated[
        float | None, valued(GOES, "X", "Instead of a ratio: the share of all parameters left, such as 0.7.")
    ] = None,
    size: Annotated[
        int | None,
        valued(GOES, "SIZE", "Instead of a ratio: the most that the weights may take, such as 60MB.", parser=_size),
    ] = None,
    memory: Annotated[
        Need | None,
        valued(
            GOES,
            "SIZE@TOKENS",
            "Instead of a ratio: the most of weights and of the keys and values of so many tokens, such as 1.5GB@4096.",
            parser=_memory,
        ),
    ] = None,
    loss: Annotated[
        float | None, valued(GOES, "X", "Instead of a ratio: at most so many times the dense perplexity, such as 1.5.")
    ] = None,
    allocation: Annotated[
        Allocation, named(GOES, "How the ratio is spread over the layers", Allocation)
    ] = DEFAULTS.allocation,  # type: ignore[assignment]
    multiple: Annotated[int, valued(GOES, "N", "Round kept neurons to a multiple, such as 64.")] = DEFAULTS.multiple,
    edit: Annotated[
        list[str] | None,
        valued(
            GOES,
            "EDIT",
            "Decide a site by hand: layers.3.ffn:ratio=0.2 or layers.0.attention:keep=1,4-6; repeat for more.",
        ),
    ] = None,
    reconstruction: Annotated[
        Reconstruction, named(REPAIR, "How the rest is repaired", Reconstruction)
    ] = DEFAULTS.reconstruction,
    schedule: Annotated[
        Schedule, named(REPAIR, "Whose activations a repair is fitted to", Schedule)
    ] = DEFAULTS.schedule,
    intercept: Annotated[
        bool,
        typer.Option(
            "--intercept/--no-intercept",
            rich_help_panel=REPAIR,
            help="Whether a repair may change biases; some runtimes drop those that a family does not have.",
        ),
    ] = DEFAULTS.intercept,
    calibration: Annotated[
        list[str] | None,
        valued(
            TEXT,
            "TEXT",
            f"Text: {_TEXT_NAMES}, a task, a file, or a Hub dataset; #column chooses, #text,label=kind names the labels. "
            "Repeat for a mix; '2 wiki' has two parts.",
            show_default=AUTO,
        ),
    ] = None,
    tokens: Annotated[str, valued(TEXT, "N", _AUTO_TOKENS)] = AUTO,
    sequence_length: Annotated[
        int, valued(TEXT, "N", "Tokens of one calibration sequence.")
    ] = DEFAULTS.sequence_length,
    separator: SeparatorOption = DEFAULTS.separator,
    seed: Annotated[int, valued(TEXT, "N", "Decides the text, and the scores of 'random'.")] = DEFAULTS.seed,
    evaluate: Annotated[
        list[str] | None,
        valued(MEASURE, "TASK", f"Measure this task; repeat for more: {TASK_NAMES}.", "--evaluate", "--task"),
    ] = None,
    data: Data = None,
    evaluate_limit: Annotated[int | None, valued(MEASURE, "N", "Windows (at least two) or items of each task.")] = None,
    evaluate_length: EvaluateLength = None,
    quantize: Annotated[
        Quantize,
        named(
            MEASURE,
            "Measure the dense and the repaired model with weights of 8 bits as well, and save that one",
            Quantize,
        ),
    ] = DEFAULTS.quantize,
    save: Annotated[Path | None, valued(SAVE, "FOLDER", "Write the smaller model to this new folder.")] = None,
    save_dtype: Annotated[DTypeName, named(SAVE, "Round the saved weights; auto keeps them", DTypeName)] = "auto",
    shard_size: Annotated[int, valued(SAVE, "SIZE", "Largest file of saved weights.", parser=_size)] = "5GB",  # type: ignore[assignment]
    export: Annotated[
        list[str] | None,
        named(
            SAVE,
            "Write what --save writes for another runtime too, to the folder FOLDER-NAME beside it; repeat for more",
            Format,
        ),
    ] = None,
    push: Annotated[
        str | None,
        valued(
            SAVE, "OWNER/NAME", "Upload what --save writes to this repository of the Hub, with the token in HF_TOKEN."
        ),
    ] = None,
    private: Private = False,
    json: JsonFile = None,
    device: Device = AUTO,
    dtype: DType = "auto",
) -> None:
    """Prune and repair a model, and print the error of every site.

    Launched by torchrun or accelerate, several processes share the calibration text.
    """
    if is_first_process():
        check_writable(json)
        check_new_folder(save)
    if push is not None and save is None:
        raise InvalidSpecError(
            "--push sends what --save writes; name a new folder with --save, it outlives a failed upload."
        )
    exports = exports_of(export or [], save)
    given = {name: value for name, value in context.params.items() if value is not None}
    need = _need(given)
    lists = {
        "calibration": MIXED.join(calibration or [AUTO]),
        "evaluate": tuple(evaluate or usual_tasks(None, data)),
        "edits": tuple(edit or ()),
    }
    spec = PruneSpec.create(**{name: given[name] for name in PruneSpec.model_fields if name in given} | lists)
    destination = None
    if push is not None:
        from liar.save.push import find_destination

        destination = find_destination(push, private=private)
    if not is_given(context, "allocation"):
        from liar.loading.catalog import usual_allocation

        spec = spec.model_copy(update={"allocation": usual_allocation(model)})
    if need is not None:
        own = [name for name in ("targets", "layers") if is_given(context, name)]
        spec = _met(need, spec, spreads=not own)
    finished = watched_run(spec)
    if not is_first_process():
        return
    _print_result(finished.result)
    write(json, finished.result)
    if save is not None:
        _save(save, finished, save_dtype, shard_size)
        for to, folder in exports.items():
            print_export(str(save), to, folder, "fp32", cache=True)
        if destination is not None:
            _push(save, destination)


def push_command(
    folder: Annotated[Path, typer.Argument(help="What `liar prune --save` wrote.", show_default=False)],
    repo: Annotated[str, typer.Argument(help="owner/name, or a name of your own.", show_default=False)],
    private: Private = False,
) -> None:
    """Upload a saved model to the Hub, with the token in the environment variable HF_TOKEN."""
    from liar.save.checkpoint import check_checkpoint
    from liar.save.push import find_destination

    check_checkpoint(folder)
    _push(folder, find_destination(repo, private=private))


def is_given(context: typer.Context, name: str) -> bool:
    """Whether an option was named, as opposed to its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _need(given: Mapping[str, Any]) -> Need | None:
    """What is asked for instead of a ratio; raises :class:`InvalidSpecError` if more than one of all is given."""
    names = [name for name in ("ratio", *get_args(NeedKind)) if name in given]
    if len(names) > 1:
        raise InvalidSpecError(f"--{' and --'.join(names)} ask for more than one ratio; keep one of them.")
    found = next(((kind, given[kind]) for kind in names if kind != "ratio"), None)
    return found and (found[1] if isinstance(found[1], Need) else Need.of(*found))


def _met(need: Need, spec: PruneSpec, *, spreads: bool) -> PruneSpec:
    """``spec`` as it meets ``need``, printed with what was tried for it."""
    from liar.jobs.meet_need import meet_steps
    from liar.loading.catalog import load_model

    met = watched(lambda: meet_steps(need, spec, load_model(spec.model, spec.device, spec.dtype), spreads=spreads))
    for trial in met.trials:
        console.print(
            f"Ratio {trial.ratio:g}: {trial.predicted:.3g} x the dense perplexity predicted, {trial.measured:.3g} x measured "
            "on validation text",
            soft_wrap=True,
        )
    console.print(met.words, soft_wrap=True)
    return met.spec


def watched_run(spec: PruneSpec) -> Finished:
    """A run whose progress and notes are shown on stderr."""
    from liar.jobs.pipeline import stream

    return watched(lambda: stream(spec))


def _print_result(result: RunResult) -> None:
    from liar.report.words.findings import findings
    from liar.report.words.metric_sentences import beside_dense, sample
    from liar.report.words.sentences import verdict

    names = list(dict.fromkeys(name for site in result.sites for name in site.error))
    table = Table("site", "kept", *names, title="Error of every site, E|Y'-Y|² / E|Y|²", box=None)
    for site in result.sites:
        errors = (f"{site.error[name]:.4f}" if name in site.error else "" for name in names)
        table.add_row(site.name, f"{site.kept}/{site.units}", *errors)
    console.print(table)
    if result.evaluations:
        measures = Table("task", "variant", "value", "stderr", "beside dense", "measured on", box=None)
        for item in (figure for evaluation in result.evaluations for figure in evaluation.figures):
            figures = (f"{item.value:.4g}", f"{item.stderr:.2g}", beside_dense(result, item) or "-")
            measures.add_row(f"{item.task} ({item.metric})", item.variant, *figures, sample(item))
        console.print(measures)
    console.print(verdict(result), *findings(result), sep="\n")


def _save(folder: Path, finished: Finished, dtype: str, shard_bytes: int) -> None:
    from liar.save.deliver import saving_steps

    model, result = finished.model, finished.result
    assert model is not None, "a run returns its model"
    delivered = watched(lambda: saving_steps(model, folder, result, dtype=dtype, shard_bytes=shard_bytes))
    console.print(delivered.sentence, soft_wrap=True)


def _push(folder: Path, destination: Destination) -> None:
    from liar.save.push import push_checkpoint

    console.print(f"Uploading {folder} to {destination.repo}", markup=False, soft_wrap=True)
    console.print(f"It is at {push_checkpoint(folder, destination)}", markup=False, soft_wrap=True)
