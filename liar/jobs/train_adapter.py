"""Fine-tune MiniLM for a task of the demo bundle: LoRA on the encoder, a full pooler and classifier, on the CPU.

Run once by the authors with ``liar train-adapter``; the adapters and their records are in ``liar/assets/adapters``.
"""

from __future__ import annotations

import copy
import hashlib
import math
import platform
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from pydantic import BaseModel, ConfigDict
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    get_linear_schedule_with_warmup,
)

from liar.data.batching import Row, encode, pad
from liar.data.tasks import LabelledText, task_items
from liar.evaluate.classification import accuracy_steps
from liar.files import ASSETS, whole_folder
from liar.models.demo import OnProgress, fetch_demo
from liar.models.quiet import quiet_transformers
from liar.presets import DEMO, MINILM
from liar.progress import finish
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


RECIPES: Mapping[str, Hyperparameters] = {
    "sentiment": Hyperparameters(),
    "topic": Hyperparameters(epochs=3, sequence_length=128),
}
"""Settings of the shipped adapters, not tuned: above 85 % (sentiment) after minutes on two cores."""


class Score(BaseModel):
    """Accuracy in 0..1 on ``n`` items, cut at the sequence length of the training, with its binomial standard error."""

    accuracy: float
    n: int
    stderr: float


class TrainingRecord(BaseModel):
    """Record of the training of an adapter; ``training.json`` beside its weights."""

    schema_version: int = 1
    task: str
    base_model: str
    labels: tuple[str, ...]
    data_sha256: str
    """See :func:`data_digest`."""
    items: dict[Split, int]
    seed: int
    hyperparameters: Hyperparameters
    best_epoch: int
    """The epoch, counted from 1, with the highest validation accuracy: its weights are kept."""
    validation_by_epoch: list[float]
    validation: Score
    test: Score
    seconds: float
    versions: dict[str, str]


def train_adapter(
    task: str,
    seed: int = 0,
    *,
    hyperparameters: Hyperparameters | None = None,
    folder: Path | None = None,
    on_progress: OnProgress | None = None,
) -> TrainingRecord:
    """Train, keep the epoch that is best on validation, measure it once on test, write it to ``folder``.

    ``folder`` (default ``liar/assets/adapters/<task>``) is replaced at the end. Equal seeds give equal weights on the
    same machine and thread count. Raises :class:`InvalidSpecError` for a task without labels and :class:`StorageError`.
    """
    chosen = hyperparameters or RECIPES.get(task, Hyperparameters())
    report = on_progress or (lambda message, fraction: None)
    parts: dict[Split, LabelledText] = {
        "train": task_items(task, "train"),
        "validation": task_items(task, "validation"),
        "test": task_items(task, "test"),
    }
    start = time.perf_counter()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, tokenizer = _fresh_model(parts["train"].label_names, chosen)
        best: dict[str, Tensor] = {}
        history: list[float] = []
        for epoch in _epochs(model, tokenizer, parts["train"], chosen, seed, report):
            history.append(_score(model, tokenizer, parts["validation"], chosen).accuracy)
            report(f"Epoch {epoch}: validation accuracy {history[-1]:.3f}", epoch / chosen.epochs)
            if history[-1] > max(history[:-1], default=0.0):
                best = copy.deepcopy(get_peft_model_state_dict(model, save_embedding_layers=False))
    _restore(model, best)
    record = TrainingRecord(
        task=task,
        base_model=BASE_MODEL,
        labels=parts["train"].label_names,
        data_sha256=data_digest(parts),
        items={split: len(items) for split, items in parts.items()},
        seed=seed,
        hyperparameters=chosen,
        best_epoch=history.index(max(history)) + 1,
        validation_by_epoch=history,
        validation=_score(model, tokenizer, parts["validation"], chosen),
        test=_score(model, tokenizer, parts["test"], chosen),
        seconds=round(time.perf_counter() - start, 1),
        versions={name: version(name) for name in ("torch", "transformers", "peft")}
        | {"python": platform.python_version(), "threads": str(torch.get_num_threads())},
    )
    _write(model, best, record, folder or ASSETS / "adapters" / task)
    return record


def _fresh_model(labels: Sequence[str], chosen: Hyperparameters) -> tuple[PeftModel, PreTrainedTokenizerBase]:
    folder = fetch_demo() / MINILM.folder
    with quiet_transformers():
        base: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=len(labels), dtype=torch.float32, local_files_only=True
        )
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=chosen.rank,
        lora_alpha=chosen.alpha,
        lora_dropout=chosen.dropout,
        target_modules=r".*encoder\.layer\..*\.(query|key|value|dense)",
        modules_to_save=["pooler", "classifier"],
    )
    model = get_peft_model(base, config)
    assert isinstance(model, PeftModel)
    return model, AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _epochs(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    items: LabelledText,
    chosen: Hyperparameters,
    seed: int,
    report: OnProgress,
) -> Iterator[int]:
    """Train epoch by epoch; yield the number of each, counted from 1, when it is done."""
    rows = encode(items.texts, tokenizer, chosen.sequence_length)
    labels = torch.tensor(items.labels)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=chosen.learning_rate, weight_decay=chosen.weight_decay)
    steps = chosen.epochs * math.ceil(len(rows) / chosen.batch_size)
    schedule = get_linear_schedule_with_warmup(optimizer, int(chosen.warmup * steps), steps)
    shuffler = random.Random(seed)
    done = 0
    for epoch in range(1, chosen.epochs + 1):
        model.train()
        for positions in _shuffled_batches(rows, chosen.batch_size, shuffler):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=chosen.precision == "bfloat16"):
                logits = model(**pad([rows[position] for position in positions], tokenizer)).logits
            loss = cross_entropy(logits.float(), labels[positions])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trainable, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            done += 1
            report(f"Epoch {epoch} of {chosen.epochs}", done / steps)
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


def _score(model: PeftModel, tokenizer: PreTrainedTokenizerBase, items: LabelledText, chosen: Hyperparameters) -> Score:
    classes = range(len(items.label_names))
    accuracy, stderr = finish(accuracy_steps(model, tokenizer, items, classes, chosen.sequence_length))
    return Score(accuracy=accuracy, n=len(items), stderr=stderr)


def _restore(model: PeftModel, weights: dict[str, Tensor]) -> None:
    set_peft_model_state_dict(model, weights)
    model.eval()


def data_digest(parts: Mapping[Split, LabelledText]) -> str:
    """sha256 of every text and label, split after split."""
    digest = hashlib.sha256()
    for split, items in parts.items():
        for text, label in zip(items.texts, items.labels, strict=True):
            digest.update(f"{split}\t{label}\t{text}\n".encode())
    return digest.hexdigest()


def _write(model: PeftModel, weights: dict[str, Tensor], record: TrainingRecord, folder: Path) -> None:
    """Write everything into a new folder, which then replaces ``folder``."""
    config = model.peft_config["default"]
    config.base_model_name_or_path = BASE_MODEL  # not the path of this machine's cache
    config.inference_mode = True
    with whole_folder(folder, replace=True) as partial:
        contiguous = {name: tensor.contiguous() for name, tensor in weights.items()}
        save_file(contiguous, partial / "adapter_model.safetensors")
        config.save_pretrained(str(partial))
        (partial / "training.json").write_text(record.model_dump_json(indent=2) + "\n")
