"""A model without the rows of tokens that its texts do not need, and its tokenizer without these tokens.

Embeddings, the output layer, tied or not, its bias, and every token id of the configs are rewritten; what is left loads
wherever the model did. Tokens that stay keep their order.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from liar.errors import InvalidSpecError, UnsupportedModelError
from liar.models.loaded import LoadedModel
from liar.models.vocabulary.token_model import TokenModel, always_kept, rewritten, token_model
from liar.runtime.offload import is_offloaded


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The tokens that a model keeps: ``kept`` ids of the dense model, ascending; its own id of each is the place in them."""

    dense: TokenModel
    kept: Sequence[int]
    own: PreTrainedTokenizerBase
    _pieces: dict[int, list[int]] = field(default_factory=dict)

    @cached_property
    def renumbered(self) -> Mapping[int, int]:
        """Own ids by those of the dense model."""
        return {id: place for place, id in enumerate(self.kept)}

    def of_dense(self, ids: Iterable[int]) -> list[list[int]]:
        """Own ids for each id of the dense model: one for a token that stayed, its smaller pieces for another."""
        return [self._of(id) for id in ids]

    def _of(self, id: int) -> list[int]:
        if (own := self.renumbered.get(id)) is not None:
            return [own]
        if id not in self._pieces:
            backend: Any = self.own.backend_tokenizer  # type: ignore[attr-defined]
            self._pieces[id] = [token.id for token in backend.model.tokenize(self.dense.names.get(id, ""))]
        return self._pieces[id]

    def to_dense(self, ids: Iterable[int]) -> list[int]:
        """Ids of the dense model for own ones."""
        return [self.kept[id] for id in ids]


def closed(loaded: LoadedModel, wanted: Iterable[int], most: int | None = None) -> list[int]:
    """Ids that stay if the ``wanted`` ones do, ascending: those, what they are made of, and what always stays.

    Of ``most`` ids in all the first wanted ones stay for which there is room. Raises :class:`UnsupportedModelError` for a
    tokenizer that cannot be rewritten, and :class:`InvalidSpecError` if what always stays is more.
    """
    model, rows = token_model(loaded.tokenizer), rows_of(loaded)
    kept = {id for id in always_kept(model) | set(ids_in_configs(loaded)) if id < rows}
    if most is not None and len(kept) > most:
        raise InvalidSpecError(
            f"{len(kept):,} tokens of this vocabulary always stay, the special ones and single characters; ask for at least so "
            "many."
        )
    for id in wanted:
        more = {id, *model.parts(id)} - kept if id in model.names else set()
        if most is None or len(kept) + len(more) <= most:
            kept |= more
        if len(kept) == most:
            break
    return sorted(kept)


def rows_of(loaded: LoadedModel) -> int:
    """Number of rows of the embeddings."""
    return int(cast(nn.Embedding, loaded.model.get_input_embeddings()).weight.shape[0])


def check_vocabulary(loaded: LoadedModel) -> None:
    """Raise :class:`UnsupportedModelError` for a model whose vocabulary cannot shrink, before the long work."""
    token_model(loaded.tokenizer)
    if is_offloaded(loaded.model):
        raise UnsupportedModelError("The vocabulary of a streamed model stays whole; choose a device that holds it.")
    embedded, out = loaded.model.get_input_embeddings(), loaded.model.get_output_embeddings()
    known = {id(layer.weight) for layer in (embedded, out) if layer is not None}
    known |= {id(out.bias)} if getattr(out, "bias", None) is not None else set()
    rows = rows_of(loaded)
    for name, parameter in loaded.model.named_parameters():
        if parameter.shape[0] == rows and id(parameter) not in known:
            raise UnsupportedModelError(f"{name} has a row for each token too, so that the vocabulary stays whole.")


def with_vocabulary(loaded: LoadedModel, kept: Sequence[int]) -> LoadedModel:
    """A model with the ``kept`` tokens (:func:`closed`) alone; it shares all other parameters with ``loaded``, which stays."""
    check_vocabulary(loaded)
    parameters = list(cast(nn.Module, loaded.model).parameters())
    model = copy.deepcopy(loaded.model, {id(parameter): parameter for parameter in parameters})
    rows = torch.tensor(list(kept))
    embedded, out = cast(nn.Embedding, model.get_input_embeddings()), model.get_output_embeddings()
    tied = out is not None and out.weight is embedded.weight
    embedded.weight = _taken(embedded.weight, rows)
    embedded.num_embeddings = len(kept)
    renumbered = {id: place for place, id in enumerate(kept)}
    if embedded.padding_idx is not None:
        embedded.padding_idx = renumbered.get(embedded.padding_idx)
    if out is not None:
        layer = cast(nn.Linear, out)
        layer.weight = embedded.weight if tied else _taken(layer.weight, rows)
        if getattr(layer, "bias", None) is not None:
            layer.bias = _taken(layer.bias, rows)
        layer.out_features = len(kept)
    for config in _configs(model):
        for name, ids in _token_ids(config).items():
            new = [renumbered.get(id, id) for id in ids]
            setattr(config, name, new if isinstance(getattr(config, name), list) else new[0])
    model.config.vocab_size = len(kept)
    for module in cast(nn.Module, model).modules():
        if "vocab_size" in vars(module):
            module.vocab_size = len(kept)  # type: ignore[assignment]
    dense = token_model(loaded.tokenizer)
    own = copy.deepcopy(loaded.tokenizer)
    own._tokenizer = rewritten(dense, renumbered)  # type: ignore[attr-defined]
    vocabulary = Vocabulary(dense, list(kept), own)
    return replace(loaded, model=model, tokenizer=own, adapter=type(loaded.adapter)(model), vocabulary=vocabulary)


def ids_in_configs(loaded: LoadedModel) -> list[int]:
    """Ids of tokens that the configs of a model name."""
    return [id for config in _configs(loaded.model) for ids in _token_ids(config).values() for id in ids]


def _configs(model: Any) -> list[Any]:
    return [config for config in (model.config, getattr(model, "generation_config", None)) if config is not None]


def _token_ids(config: Any) -> dict[str, list[int]]:
    """The token ids of a config by name; ids below zero name no token."""
    found = {}
    for name, value in vars(config).items():
        ids = value if isinstance(value, list) else [value]
        if name.endswith(("token_id", "token_ids")) and all(isinstance(id, int) and id >= 0 for id in ids):
            found[name] = ids
    return found


def _taken(parameter: Tensor, rows: Tensor) -> nn.Parameter:
    return nn.Parameter(parameter.detach()[rows.to(parameter.device)].clone(), requires_grad=False)
