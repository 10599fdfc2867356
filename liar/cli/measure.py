"""Commands that measure models without changing them."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.table import Table

from liar.cli.console import console, counted, fraction, progress, write
from liar.cli.options import DEFAULTS, Data, Device, DType, EvaluateLength, JsonFile, Model, SeparatorOption, TaskName
from liar.files import check_writable
from liar.results import EvaluationResult
from liar.spec import AUTO
from liar.tasks.metrics import METRICS


def evaluate_command(
    model: Model,
    task: TaskName,
    data: Data = None,
    limit: Annotated[int | None, typer.Option(help="Windows (at least two) or items.", min=1)] = None,
    sequence_length: EvaluateLength = None,
    separator: SeparatorOption = DEFAULTS.separator,
    device: Device = AUTO,
    dtype: DType = "auto",
    json: JsonFile = None,
) -> None:
    """Measure a model on a task."""
    check_writable(json)
    from liar.evaluate.prepared_task import evaluate_steps
    from liar.loading.catalog import load_model
    from liar.models.loaded import model_info
    from liar.progress import finish
    from liar.report.words.metric_sentences import baseline, sample, with_error
    from liar.runtime.environment import describe, readable_failures
    from liar.runtime.memory import PlannedWork

    with progress() as bar, readable_failures():
        start = time.perf_counter()
        work = PlannedWork.of_evaluation(sequence_length)
        loaded = load_model(model, device, dtype, work=work, on_progress=fraction(bar))
        ready = time.perf_counter()
        steps = evaluate_steps(
            loaded, task, limit=limit, data=data, sequence_length=sequence_length, separator=separator
        )
        evaluation = finish(steps, counted(bar, f"Measuring {task}"))
        timings = {"load": ready - start, "evaluate": time.perf_counter() - ready}
    result = EvaluationResult(
        model=model_info(loaded), evaluations=[evaluation], timings=timings, environment=describe(loaded.model)
    )
    for figure in evaluation.figures:
        name = METRICS[figure.metric].title_of(task)
        console.print(f"{name}: {with_error(figure)} ({sample(figure)})", soft_wrap=True)
    for sentence in (baseline(evaluation), evaluation.note):
        if sentence is not None:
            console.print(sentence, soft_wrap=True)
    write(json, result)


def measure_command(
    dense: Model,
    pruned: Annotated[
        str, typer.Argument(help="The pruned model: a folder that --save wrote, for example.", show_default=False)
    ],
    prompt_tokens: Annotated[
        int | None, typer.Option(help="Tokens of a prompt or a text; 256 where the model has positions for them.")
    ] = None,
    new_tokens: Annotated[int, typer.Option(help="Tokens that a language model writes after it.")] = 32,
    repeats: Annotated[int, typer.Option(help="Turns of each model; the first, which warms up, is one more.")] = 7,
    device: Device = AUTO,
    dtype: DType = "auto",
    json: JsonFile = None,
) -> None:
    """Compare parameters, multiplications, bytes and speed of two models, timed in turns."""
    check_writable(json)
    from liar.evaluate.timing.size_and_speed import compare_steps
    from liar.loading.catalog import bytes_on_disk, load_model
    from liar.progress import finish
    from liar.report.words.cost_sentences import rows, sentences
    from liar.runtime.environment import readable_failures
    from liar.runtime.memory import PlannedWork

    with progress() as bar, readable_failures():
        work = PlannedWork.of_evaluation(prompt_tokens)
        models = [load_model(name, device, dtype, work=work, on_progress=fraction(bar)) for name in (dense, pruned)]
        steps = compare_steps(
            *models,
            prompt_tokens=prompt_tokens,
            new_tokens=new_tokens,
            repeats=repeats,
            on_disk=(bytes_on_disk(dense), bytes_on_disk(pruned)),
        )
        result = finish(steps, counted(bar, "Timing both in turns"))
    table = Table("", "dense", "pruned", "change", box=None)
    for row in rows(result):
        table.add_row(*row)
    console.print(table)
    console.print(f"Speeds are medians of {repeats} turns with their quartiles.")
    for sentence in sentences(result):
        console.print(sentence, soft_wrap=True)
    write(json, result)
