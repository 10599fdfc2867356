"""Fine-tune MiniLM for a task of the demo bundle: LoRA on the encoder, a full pooler and head, on the CPU.

    python benchmarks/train_adapter.py TASK [--seed N]

Run once by the authors for each task; the adapters and their records are in ``liar/assets/adapters``, which this replaces.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import math
import platform
import random
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from pydantic import BaseModel, ConfigDict
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    get_linear_schedule_with_warmup,
)

from liar.data.batching import Row, encode, pad
from liar.data.question_windows import marks_of, windows_of
from liar.data.text_reader import demo_samples
from liar.errors import InvalidSpecError
from liar.evaluate.classification import classify_steps, rate_steps
from liar.evaluate.spans import mark_steps
from liar.files import ASSETS, whole_folder
from liar.loading.demo_bundle import fetch_demo
from liar.presets import DEMO, MINILM
from liar.progress import finish
from liar.runtime.quiet import quiet_transformers
from liar.tasks.metrics import MetricName
from liar.tasks.record import DemoData, Task
from liar.tasks.registry import TASKS, task_named
from liar.tasks.samples import Sample
from liar.tasks.splits import Split

BASE_MODEL = f"{DEMO}{MINILM.folder}"


class Hyperparameters(BaseModel):
    """All settings of a training except its seed."""

    model_config = ConfigDict(frozen=True)

    epochs: int = 4
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.1
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    sequence_length: int = 64
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    """Precision of the products in training; weights, optimiser and all measurements are fp32."""


class Score(BaseModel):
    """The task's main metric on ``n`` items, cut at the sequence length of the training, with its standard error."""

    metric: MetricName
    value: float
    n: int
    stderr: float


class TrainingRecord(BaseModel):
    """Record of the training of an adapter; ``training.json`` beside its weights."""

    schema_version: int = 2
    task: str
    base_model: str
    labels: tuple[str, ...]
    data_sha256: str
    """See :func:`data_digest`."""
    items: dict[Split, int]
    seed: int
    hyperparameters: Hyperparameters
    best_epoch: int
    """The epoch, counted from 1, with the best metric on validation: its weights are kept."""
    validation_by_epoch: list[float]
    validation: Score
    test: Score
    seconds: float
    versions: dict[str, str]


def train_adapter(
    name: str, seed: int = 0, *, hyperparameters: Hyperparameters | None = None, folder: Path | None = None
) -> TrainingRecord:
    """Train, keep the epoch that is best on validation, measure it once on test, write it to ``folder``.

    ``folder`` (default ``liar/assets/adapters/<task>``) is replaced at the end. Equal seeds give equal weights on the
    same machine and thread count. Raises :class:`InvalidSpecError` for a task without adapter and :class:`StorageError`.
    """
    task = task_named(name)
    if task.training is None or not isinstance(task.data, DemoData):
        known = ", ".join(task.name for task in TASKS if task.training is not None)
        raise InvalidSpecError(f"MiniLM is not trained for the task {name!r}; choose one of {known}.")
    chosen = hyperparameters or Hyperparameters(**asdict(task.training))
    parts = {split: demo_samples(task.data, split) for split in get_args(Split)}
    start = time.perf_counter()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, tokenizer = _fresh_model(task, chosen)
        trained = Trained(task, model, tokenizer, chosen)
        best: dict[str, Tensor] = {}
        history: list[float] = []
        for epoch in _epochs(trained, parts["train"], seed):
            history.append(trained.score(parts["validation"]).value)
            print(
                f"Epoch {epoch} of {chosen.epochs}: validation {task.metric.title} {history[-1]:.3f}", file=sys.stderr
            )
            if history[-1] > max(history[:-1], default=-1.0):
                best = copy.deepcopy(get_peft_model_state_dict(model, save_embedding_layers=False))
    set_peft_model_state_dict(model, best)
    model.eval()
    record = TrainingRecord(
        task=task.name,
        base_model=BASE_MODEL,
        labels=task.labels,
        data_sha256=data_digest(parts),
        items={split: len(items) for split, items in parts.items()},
        seed=seed,
        hyperparameters=chosen,
        best_epoch=history.index(max(history)) + 1,
        validation_by_epoch=history,
        validation=trained.score(parts["validation"]),
        test=trained.score(parts["test"]),
        seconds=round(time.perf_counter() - start, 1),
        versions={name: version(name) for name in ("torch", "transformers", "peft")}
        | {"python": platform.python_version(), "threads": str(torch.get_num_threads())},
    )
    _write(model, best, record, folder or ASSETS / "adapters" / task.name)
    return record


@dataclass(frozen=True, slots=True)
class Trained:
    """The model in training, with the rows, the loss and the score of its task."""

    task: Task
    model: PeftModel
    tokenizer: PreTrainedTokenizerBase
    chosen: Hyperparameters

    def rows(self, samples: Sequence[Sample]) -> tuple[list[Row], Tensor]:
        """Inputs, and their targets: classes or numbers (rows,), or first and last token of an answer (rows, 2)."""
        length = self.chosen.sequence_length
        if self.task.head == "span":
            windows = windows_of(samples, self.tokenizer, length, config=self.model.config)
            marks = [marks_of(window, samples[window.item]) for window in windows]
            return list(windows), torch.tensor(marks)
        targets = [sample.label or "" for sample in samples]
        rows = encode(samples, self.tokenizer, length, self.model.config)
        if self.task.head == "regression":
            return rows, torch.tensor([float(target) for target in targets])
        return rows, torch.tensor([self.task.labels.index(target) for target in targets])

    def loss(self, output: Any, targets: Tensor) -> Tensor:
        """Mean loss of a batch, in fp32."""
        if self.task.head == "span":
            ends = (output.start_logits.float(), output.end_logits.float())
            losses = [cross_entropy(logits, targets[:, place]) for place, logits in enumerate(ends)]
            return torch.stack(losses).mean()
        logits = output.logits.float()
        return mse_loss(logits[:, 0], targets) if self.task.head == "regression" else cross_entropy(logits, targets)

    def score(self, samples: Sequence[Sample]) -> Score:
        """The task's main metric on ``samples``."""
        length = self.chosen.sequence_length
        if self.task.head == "span":
            steps = mark_steps(self.model, self.tokenizer, samples, length)
        elif self.task.head == "regression":
            steps = rate_steps(self.model, self.tokenizer, samples, length)
        else:
            classes = range(len(self.task.labels))
            steps = classify_steps(self.model, self.tokenizer, samples, self.task.labels, classes, length)
        figure = finish(steps).figures(self.task.metrics)[0]
        return Score(metric=figure.metric, value=figure.value, n=len(samples), stderr=figure.stderr)


def _fresh_model(task: Task, chosen: Hyperparameters) -> tuple[PeftModel, PreTrainedTokenizerBase]:
    folder = fetch_demo() / MINILM.folder
    is_span = task.head == "span"
    loader = AutoModelForQuestionAnswering if is_span else AutoModelForSequenceClassification
    options: dict[str, Any] = {} if is_span else {"num_labels": len(task.labels) or 1}
    with quiet_transformers():
        base: PreTrainedModel = loader.from_pretrained(folder, dtype=torch.float32, local_files_only=True, **options)
    config = LoraConfig(
        task_type=None if is_span else TaskType.SEQ_CLS,  # PEFT's wrapper for questions drops token_type_ids
        r=chosen.rank,
        lora_alpha=chosen.alpha,
        lora_dropout=chosen.dropout,
        target_modules=r".*encoder\.layer\..*\.(query|key|value|dense)",
        modules_to_save=["qa_outputs"] if is_span else ["pooler", "classifier"],
    )
    model = get_peft_model(base, config)
    assert isinstance(model, PeftModel)
    return model, AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _epochs(trained: Trained, samples: Sequence[Sample], seed: int) -> Iterator[int]:
    """Train epoch by epoch; yield the number of each, counted from 1, when it is done."""
    model, chosen = trained.model, trained.chosen
    rows, targets = trained.rows(samples)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=chosen.learning_rate, weight_decay=chosen.weight_decay)
    steps = chosen.epochs * math.ceil(len(rows) / chosen.batch_size)
    schedule = get_linear_schedule_with_warmup(optimizer, int(chosen.warmup * steps), steps)
    shuffler = random.Random(seed)
    for epoch in range(1, chosen.epochs + 1):
        model.train()
        for positions in _shuffled_batches(rows, chosen.batch_size, shuffler):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=chosen.precision == "bfloat16"):
                output = model(**pad([rows[position] for position in positions], trained.tokenizer))
            trained.loss(output, targets[positions]).backward()
            torch.nn.utils.clip_grad_norm_(trainable, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        model.eval()
        yield epoch


def _shuffled_batches(rows: Sequence[Row], batch_size: int, shuffler: random.Random) -> list[list[int]]:
    """Every row once, in random batches of similar length: sorting in large random pools saves most of the padding."""
    order = list(range(len(rows)))
    shuffler.shuffle(order)
    pool = 32 * batch_size
    batches: list[list[int]] = []
    for start in range(0, len(order), pool):
        near = sorted(order[start : start + pool], key=lambda position: len(rows[position]))
        batches += [near[first : first + batch_size] for first in range(0, len(near), batch_size)]
    shuffler.shuffle(batches)
    return batches


def data_digest(parts: Mapping[Split, Sequence[Sample]]) -> str:
    """sha256 of every sample, split after split."""
    digest = hashlib.sha256()
    for split, samples in parts.items():
        for sample in samples:
            digest.update(json.dumps([split, *astuple(sample)]).encode())
    return digest.hexdigest()


def _write(model: PeftModel, weights: dict[str, Tensor], record: TrainingRecord, folder: Path) -> None:
    """Write everything into a new folder, which replaces ``folder`` when it is complete."""
    config = model.peft_config["default"]
    config.base_model_name_or_path = BASE_MODEL  # not the path of this machine's cache
    config.inference_mode = True
    new = folder.with_name(f"{folder.name}.new")
    with whole_folder(new) as partial:
        contiguous = {name: tensor.contiguous() for name, tensor in weights.items()}
        save_file(contiguous, partial / "adapter_model.safetensors")
        config.save_pretrained(str(partial))
        (partial / "training.json").write_text(record.model_dump_json(indent=2) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=[task.name for task in TASKS if task.training is not None])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(train_adapter(arguments.task, arguments.seed).model_dump_json(indent=2))
