"""What a model answers: a continuation of the prompt, or the probability of each label of a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from transformers import GenerationMixin

from liar.data.labels import class_names, is_classifier
from liar.data.packing import longest_sequence
from liar.errors import InvalidSpecError
from liar.models.adapter import execution_device
from liar.results import Generation, Variant

if TYPE_CHECKING:
    from liar.models.catalog import LoadedModel


def generate(
    loaded: LoadedModel,
    prompt: str,
    variant: Variant = "dense",
    *,
    max_new_tokens: int = 48,
    temperature: float = 0.0,
    seed: int = 0,
) -> Generation:
    """Continue ``prompt`` (language models, as a chat where the tokenizer has a template) or label it (classifiers).

    A ``temperature`` of 0 always takes the likeliest token; above 0 tokens are drawn from ``seed``, and the state of
    torch's own generator stays as it was. ``variant`` only labels the result.

    Raises :class:`InvalidSpecError` for an empty or too long prompt, a negative temperature, or a model without a head.
    """
    if not prompt.strip():
        raise InvalidSpecError("The prompt is empty; write a sentence.")
    if loaded.is_language_model:
        if temperature < 0 or max_new_tokens < 1:
            raise InvalidSpecError("A temperature is at least 0, and at least one new token is needed to see anything.")
        text = _continue(loaded, prompt, max_new_tokens, temperature, seed)
        return Generation(prompt=prompt, variant=variant, text=text)
    if is_classifier(loaded.model):
        return Generation(prompt=prompt, variant=variant, probabilities=_label(loaded, prompt))
    raise InvalidSpecError(
        f"{loaded.id} has neither a language model's head nor a classifier's, so it says nothing; choose another model."
    )


@torch.no_grad()
def _continue(loaded: LoadedModel, prompt: str, max_new_tokens: int, temperature: float, seed: int) -> str:
    tokens, mask = _prompt_tokens(loaded, prompt)
    _check_prompt(loaded, tokens.shape[1], max_new_tokens)
    device = execution_device(loaded.model)
    # Named one by one, so that a checkpoint's own generation config changes nothing.
    choice: dict[str, Any] = {"do_sample": False, "temperature": None, "top_k": None, "top_p": None}
    if temperature > 0:
        choice = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        output = cast(GenerationMixin, loaded.model).generate(
            input_ids=tokens.to(device),
            attention_mask=mask.to(device),
            max_new_tokens=max_new_tokens,
            use_cache=True,
            pad_token_id=loaded.tokenizer.pad_token_id,
            **choice,
        )
    answer = cast(Tensor, output)[0, tokens.shape[1] :]
    return str(loaded.tokenizer.decode(answer, skip_special_tokens=True)).strip()


def _prompt_tokens(loaded: LoadedModel, prompt: str) -> tuple[Tensor, Tensor]:
    """``input_ids`` and ``attention_mask``, both (1, length); as one turn of a chat where there is a template."""
    tokenizer = loaded.tokenizer
    if tokenizer.chat_template:
        turns = [{"role": "user", "content": prompt}]
        text = str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
        encoded = tokenizer(text, add_special_tokens=False, return_tensors="pt")
    else:
        encoded = tokenizer(prompt, return_tensors="pt")
    return encoded["input_ids"], encoded["attention_mask"]


@torch.no_grad()
def _label(loaded: LoadedModel, prompt: str) -> dict[str, float]:
    encoded = loaded.tokenizer(prompt, return_tensors="pt")
    _check_prompt(loaded, encoded["input_ids"].shape[1], 0)
    device = execution_device(loaded.model)
    logits = loaded.model(**{name: tensor.to(device) for name, tensor in encoded.items()}).logits[0]
    probabilities = logits.float().softmax(dim=0).tolist()
    return dict(zip(class_names(loaded.model.config), probabilities, strict=True))


def _check_prompt(loaded: LoadedModel, length: int, new: int) -> None:
    limit = longest_sequence(loaded.model.config, loaded.tokenizer)
    if length + new > limit:
        raise InvalidSpecError(
            f"The prompt is {length} tokens long and the model has {limit} positions for prompt and answer; shorten it."
        )
