"""What a calibration is of: a fingerprint of its model, and the choices by which its text was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from liar.data.corpora import copies_of, settled_source, settled_tokens
from liar.errors import InvalidSpecError
from liar.models.loaded import LoadedModel
from liar.runtime.offload import fingerprint
from liar.spec import PruneSpec, Separator


@dataclass(frozen=True, slots=True)
class Origin:
    """``model``: see :func:`liar.runtime.offload.fingerprint`. ``text``: choices by name, with what "auto" is for the model."""

    model: str
    text: Mapping[str, Any]

    @classmethod
    def of(cls, spec: PruneSpec, loaded: LoadedModel) -> Origin:
        """Of the calibration that ``spec`` asks for."""
        return cls.of_text(
            loaded, spec.calibration, spec.tokens, spec.sequence_length, spec.seed, spec.separator, copies_of(spec)
        )

    @classmethod
    def of_text(
        cls,
        loaded: LoadedModel,
        source: str,
        tokens: int | Literal["auto"],
        sequence_length: int,
        seed: int,
        separator: Separator,
        data: str | None,
    ) -> Origin:
        """Of the text that :func:`liar.data.corpora.text_steps` reads by these choices."""
        text = {
            "calibration": settled_source(source, loaded),
            "tokens": settled_tokens(source, tokens, loaded),
            "sequence_length": sequence_length,
            "separator": separator,
            "seed": seed,
            "data": data,
        }
        return cls(fingerprint(loaded.model), text)

    def check(self, wanted: Origin) -> None:
        """Raise :class:`InvalidSpecError` with the first difference from ``wanted``."""
        if self.model != wanted.model:
            raise InvalidSpecError(
                "The calibration is of a model with other weights, or in another precision, than the one to prune; calibrate "
                "this one."
            )
        for name, value in self.text.items():
            if value != wanted.text[name]:
                raise InvalidSpecError(
                    f"The calibration has {name} {value}, and the recipe {wanted.text[name]}; calibrate with the choices of "
                    "the recipe."
                )
