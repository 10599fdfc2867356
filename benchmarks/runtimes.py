"""Saved models in every runtime that `liar export` writes for: bytes, speed, and what is left of their answers.

The default recipe, dense and with half of the neurons gone. Every runtime reads the same batches on the same threads, in turns.

    python benchmarks/runtimes.py            prints the tables (half an hour on two cores; llama.cpp where it is installed)
    python benchmarks/runtimes.py --write    also puts them into docs/results/runtimes.md
    python benchmarks/runtimes.py --only runtimes_embedder
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch
from readme import sections, table
from torch.nn.functional import cross_entropy

from liar import LoadedModel, PruneSpec, load_model, save_model, stream
from liar.data.batching import encode
from liar.data.text_reader import demo_samples
from liar.events import Finished
from liar.export.exporting import exported
from liar.export.graph import continued, torch_run
from liar.export.llama import gguf_check
from liar.export.onnx import onnx_run
from liar.export.openvino import openvino_run
from liar.export.parity import Answer, Feed, Run, feeds
from liar.loading.catalog import usual_allocation
from liar.loading.source import weight_bytes
from liar.models.heads import class_names
from liar.progress import finish
from liar.report.exported import Format, Weights
from liar.tasks.record import DemoData
from liar.tasks.registry import task_named
from liar.tasks.samples import Sample

TEXTS, MEASURED, WRITTEN = 16, 480, 32
WINDOW = 64
"""Tokens of a text that a language model reads: the logits of a batch are 200 MB, and every runtime keeps room for them."""
EXPORTS: tuple[tuple[str, Format, Weights], ...] = (
    ("onnxruntime fp32", "onnx", "fp32"),
    ("onnxruntime int8", "onnx", "int8"),
    ("OpenVINO fp32", "openvino", "fp32"),
    ("OpenVINO int8", "openvino", "int8"),
    ("llama.cpp f16", "gguf", "fp16"),
    ("llama.cpp q8_0", "gguf", "int8"),
)


LLAMA_CPP = ThreadPoolExecutor(1)
"""A thread that torch in bf16 never enters: it leaves the tiles of a processor with matrix units as llama.cpp does not expect
them, which ends the program.
"""


@dataclass
class Entrant:
    """A model in a runtime: ``score`` is what is left of its answers, ``seconds`` are those of each kind of ``work``."""

    size: str
    runtime: str
    bytes: int
    work: dict[str, Callable[[], None]]
    score: float
    seconds: dict[str, list[float]] = field(default_factory=dict)


def main() -> None:
    sections(
        __doc__,
        {
            "runtimes_classifier": ("MiniLM, classifier of topics", lambda: section("demo/minilm-topic", 11)),
            "runtimes_embedder": ("MiniLM, embedder", lambda: section("demo/minilm", 11)),
            "runtimes_writer": ("SmolLM2-135M", lambda: section("demo/smollm2-135m", 5)),
        },
    )


def section(model: str, repeats: int) -> str:
    """The table of one model, timed ``repeats`` times."""
    with tempfile.TemporaryDirectory() as scratch:
        dense = load_model(model, "cpu", "float32")
        folder = Path(scratch, "dense")
        save_model(dense, folder)
        half, smaller = Path(scratch, "half"), pruned(model)
        save_model(smaller, half)
        del smaller
        entrants = [
            entrant
            for size, place in (("dense", folder), ("half", half))
            for entrant in entered(load_model(str(place), "cpu", "float32"), dense, size, place, model)
        ]
        time_in_turns(entrants, repeats)
    return rows(model, entrants)


def time_in_turns(entrants: Sequence[Entrant], repeats: int) -> None:
    for turn in range(repeats + 1):  # the first warms up
        for entrant in entrants:
            for kind, work in entrant.work.items():
                begun = time.perf_counter()
                work()
                if turn:
                    entrant.seconds.setdefault(kind, []).append(time.perf_counter() - begun)


def pruned(model: str, **choices: Any) -> LoadedModel:
    choices = {"ratio": 0.5, "allocation": usual_allocation(model), **choices}
    spec = PruneSpec.create(model=model, device="cpu", dtype="float32", **choices)
    last = next(event for event in stream(spec) if isinstance(event, Finished))
    assert last.model is not None
    return last.model


def entered(
    loaded: LoadedModel,
    dense: LoadedModel,
    size: str,
    folder: Path,
    model: str,
    exports: Sequence[tuple[str, Format, Weights]] = EXPORTS,
) -> Iterator[Entrant]:
    """The model of ``folder`` in torch and in the runtimes of ``exports``."""
    threads, samples = torch.get_num_threads(), texts(model, dense)
    batches = list(feeds(loaded, samples, TEXTS))
    if loaded.is_language_model:
        batches = [{name: each[:, :WINDOW] for name, each in feed.items()} for feed in batches]
    wanted = None if dense.embedder is None else [torch_run(dense)(feed) for feed in batches]

    def entrant(runtime: str, taken: int, run: Run, model: LoadedModel | None = None) -> Entrant:
        print(size, runtime, file=sys.stderr, flush=True)
        with torch.inference_mode():
            score = left(loaded, run, batches, samples, wanted)
        return Entrant(size, runtime, taken, works(loaded, run, batches[0], model), score)

    bytes_ = weight_bytes(folder)
    yield entrant("torch fp32", bytes_, torch_run(loaded), loaded)
    halved = load_model(str(folder), "cpu", "bfloat16")
    yield entrant("torch bf16", bytes_ // 2, torch_run(halved), halved)
    for runtime, to, weights in exports:
        if to == "gguf" and (not loaded.is_language_model or find_spec("llama_cpp") is None):
            continue
        out = folder.with_name(f"{folder.name}-{to}-{weights}")
        record = LLAMA_CPP.submit(finish, exported(loaded, to, out, weights)).result()
        path = out / next(name for name in record.files if not name.endswith(".bin"))
        if to == "gguf":
            apart = LLAMA_CPP.submit(of_llama_cpp, loaded, size, runtime, record.bytes, path, batches, threads).result()
            apart.work = {name: partial(in_its_thread, work) for name, work in apart.work.items()}
            yield apart
        else:
            yield entrant(runtime, record.bytes, (onnx_run if to == "onnx" else openvino_run)(path, threads))


def texts(model: str, dense: LoadedModel) -> list[Sample]:
    """Test samples of the model's task; of a language model those that fill a window."""
    assert dense.task is not None
    data = task_named(dense.task).data
    assert isinstance(data, DemoData)
    samples = demo_samples(data, "test")
    if not dense.is_language_model:
        return samples[:MEASURED]
    rows = encode(samples, dense.tokenizer, WINDOW)
    return [sample for sample, row in zip(samples, rows, strict=True) if len(row) == WINDOW][: 4 * TEXTS]


def works(loaded: LoadedModel, run: Run, batch: Feed, model: LoadedModel | None) -> dict[str, Callable[[], None]]:
    """What is timed: texts one by one, a batch of them, and of a language model the tokens that it writes; by a ``model`` of
    torch with its own cache.
    """
    alone = [
        {name: each[index : index + 1, : int(batch["attention_mask"][index].sum())] for name, each in batch.items()}
        for index in range(TEXTS)
    ]

    def one() -> None:
        with torch.inference_mode():
            for feed in alone[: 2 if loaded.is_language_model else TEXTS]:
                run(feed)

    def many() -> None:
        with torch.inference_mode():
            run(batch)

    found = {"one": one, "many": many}
    return found | {"written": lambda: written(run, alone[0], model)} if loaded.is_language_model else found


def written(run: Run, prompt: Feed, model: LoadedModel | None) -> None:
    """Write :data:`WRITTEN` greedy tokens after the first eight of a text."""
    ids = prompt["input_ids"][:, :8]
    with torch.inference_mode():
        if model is not None:
            generate: Any = model.model.generate
            mask = torch.ones_like(ids)
            generate(ids, attention_mask=mask, max_new_tokens=WRITTEN, min_new_tokens=WRITTEN, do_sample=False)
            return
        answer: Answer = run({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
        for length in range(9, 8 + WRITTEN):
            token = answer["logits"][:, -1:].argmax(dim=-1)
            mask = torch.ones(1, length, dtype=torch.long)
            answer = run({"input_ids": token, "attention_mask": mask, **continued(answer)})


def left(
    loaded: LoadedModel, run: Run, batches: Sequence[Feed], samples: Sequence[Sample], wanted: Sequence[Answer] | None
) -> float:
    """Accuracy, mean cosine to the dense vectors of torch, or perplexity."""
    answers = map(run, batches)
    if wanted is not None:
        name = "sentence_embedding"
        pairs = zip(answers, wanted, strict=True)
        return float(torch.cat([torch.cosine_similarity(a[name].float(), b[name], dim=-1) for a, b in pairs]).mean())
    if loaded.is_language_model:
        losses = [
            cross_entropy(answer["logits"][:, :-1].flatten(0, 1).float(), feed["input_ids"][:, 1:].flatten())
            for answer, feed in zip(answers, batches, strict=True)
        ]
        return float(torch.stack(losses).mean().exp())
    names = class_names(loaded.model.config)
    found = torch.cat([answer["logits"] for answer in answers]).argmax(dim=-1).tolist()
    right = sum(names[each] == sample.label for each, sample in zip(found, samples, strict=True))
    return float(right / len(samples))


def of_llama_cpp(
    loaded: LoadedModel, size: str, runtime: str, taken: int, path: Path, batches: Sequence[Feed], threads: int
) -> Entrant:
    """llama.cpp through its Python interface, which reads one text at a time; its own number format of keys and values."""
    from llama_cpp import Llama

    print(size, runtime, file=sys.stderr, flush=True)
    sizes: dict[str, Any] = {"n_ctx": 256, "n_batch": 256, "n_threads": threads, "n_threads_batch": threads}
    engine = Llama(str(path), logits_all=True, verbose=False, **sizes)
    rows = [ids for feed in batches for ids in feed["input_ids"].tolist()]
    losses = [gguf_check.loss(gguf_check.logits(engine, ids), ids) for ids in rows]

    def read(ids: list[int]) -> None:
        engine.reset()
        engine.eval(ids)

    def write() -> None:
        read(rows[0][:8])
        for index in range(WRITTEN - 1):
            engine.eval([int(engine.scores[7 + index].argmax())])

    def one() -> None:
        for ids in rows[:2]:
            read(ids)

    work = {"one": one, "written": write}
    return Entrant(size, runtime, taken, work, float(torch.tensor(losses).mean().exp()))


def in_its_thread(work: Callable[[], None]) -> None:
    LLAMA_CPP.submit(work).result()


def rows(model: str, entrants: Sequence[Entrant]) -> str:
    is_writer = any("written" in each.work for each in entrants)
    counts = (
        {"one": 2 * WINDOW, "many": TEXTS * WINDOW, "written": WRITTEN} if is_writer else {"one": TEXTS, "many": TEXTS}
    )
    words = {"one": "one by one", "many": f"{TEXTS} at once", "written": "written"}
    unit = "tokens/s" if is_writer else "texts/s"
    score = "perplexity" if is_writer else "accuracy" if "topic" in model else "cosine to dense"
    first = entrants[0].seconds["one"]
    found = []
    for each in entrants:
        cells = [speed(each.seconds[kind], counts[kind]) if kind in each.seconds else "" for kind in counts]
        gain = median(first) / median(each.seconds["one"])
        value = f"{each.score:.1f}" if is_writer else f"{each.score:.3f}"
        found.append((each.size, each.runtime, f"{each.bytes / 1e6:,.0f}", *cells, f"{gain:.1f} x", value))
    header = (
        "",
        "runtime",
        "MB",
        *(f"{words[kind]}, {unit}" for kind in counts),
        "one by one, of the first line",
        score,
    )
    return table(header, found)


def speed(seconds: Sequence[float], count: int) -> str:
    """Median and quartiles of ``count`` a second."""
    low, middle, high = quantiles([count / each for each in seconds], n=4)
    return f"{middle:,.0f} ({low:,.0f} to {high:,.0f})"


if __name__ == "__main__":
    main()
