"""Models cut by hand, and their outputs in this process and after loading by transformers alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
import transformers

from liar import LoadedModel
from liar.maths.criteria import channels_of
from liar.maths.reconstruct import Solution
from liar.models.families import adapt
from liar.models.surgery import ConsumerParameters, shrink
from liar.runtime.offload import resident
from liar.save.checkpoint import Saved
from tests import families, tiny

INPUTS = {"input_ids": torch.arange(3, 19).unsqueeze(0), "attention_mask": torch.ones(1, 16, dtype=torch.long)}


def loaded(family: str) -> LoadedModel:
    model = families.build(family).float()
    adapter = adapt(model)
    return LoadedModel(f"tiny/{family}", model, tiny.tokenizer(64), adapter, None)


def cut(model: LoadedModel, kind: str, kept: Callable[[int], int], *, repaired: bool = True) -> LoadedModel:
    """Keep the first ``kept(layer)`` bundles of every site of ``kind``; the bias becomes nonzero if ``repaired``."""
    sites = [site for site in model.adapter.sites() if site.kind == kind]
    for site in sites:
        with resident(model.adapter.layers[site.layer]):
            bundles = torch.arange(kept(site.layer))
            consumer = model.adapter.consumer(site)
            weight = consumer.weight.T[channels_of(site, bundles)]
            change = torch.full((weight.shape[1],), 0.1 if repaired else 0.0)
            shrink(model.adapter, site, bundles, ConsumerParameters.install_of(consumer, Solution(weight, change)))
    model.adapter.after_surgery()
    return model


def logits(model: LoadedModel) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.model.eval()(**INPUTS)[0]
    return found


def elsewhere(saved: Saved) -> torch.Tensor:
    """Logits of the saved model, loaded by transformers without liar.

    Weights are copied: those mapped from a file may be unaligned, and some CPUs then sum in another order.
    """
    loader = getattr(transformers, saved.loader)
    model = loader.from_pretrained(saved.folder, trust_remote_code=saved.form == "ragged").eval()
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    with torch.no_grad():
        found: torch.Tensor = model(**INPUTS)[0]
    return found
