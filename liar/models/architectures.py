"""The types of model that are supported: one list for the loader, the page, the commands and the README.

>>> from liar.models.architectures import title_of, types_of
>>> types_of("bert")[:2], title_of("xlm-roberta")
(('bert', 'roberta'), 'XLM-RoBERTa')
"""

from __future__ import annotations

from dataclasses import dataclass


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
