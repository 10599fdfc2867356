"""Kinds of models that cannot be pruned here, by their config: a sentence each with a way out, before its weights are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from liar.errors import UnsupportedModelError
from liar.models.families import family_of
from liar.models.ragged import PREFIX

_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_moe_experts")
_PARTS = ("vision_config", "audio_config", "image_size", "num_mel_bins")
"""Fields of models with images or sound as input; those with a text model inside have it in ``text_config``."""


def check_supported(config: Mapping[str, Any]) -> None:
    """Raise :class:`UnsupportedModelError` for a raw ``config`` of a kind of model that no family covers.

    A type that is not listed passes: its modules and its forward decide (:mod:`liar.models.self_check`).
    """
    model_type = str(config.get("model_type"))
    if family_of(model_type) is not None:
        return
    if config.get("is_encoder_decoder"):
        raise _refused(model_type, "an encoder-decoder; take a model that only encodes, or only decodes")
    if any(isinstance(count := config.get(name), int) and count > 1 for name in _EXPERTS):
        raise _refused(model_type, "a mixture of experts, whose neurons see different tokens; take a dense model")
    if any(name in config for name in _PARTS):
        inside = (
            "save its text model alone with save_pretrained, and name that folder" if "text_config" in config else ""
        )
        raise _refused(model_type, f"a model of images or sound; {inside or 'take a model of text'}")
    if model_type.removeprefix(PREFIX) not in CONFIG_MAPPING:
        raise _refused(
            model_type,
            "unknown to the installed transformers, and code that comes with a checkpoint is not run; update transformers if "
            "it has it, or take another model",
        )


def _refused(model_type: str, why: str) -> UnsupportedModelError:
    return UnsupportedModelError(f"Models of type {model_type!r} cannot be pruned here: this is {why}.")
