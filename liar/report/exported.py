"""What an export is asked for, and the record of it that stands in its folder."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Format = Literal["onnx", "openvino", "gguf", "vllm"]
Weights = Literal["fp32", "fp16", "int8"]
"""Number format of the weights that are multiplied; norms and biases stay in fp32."""
Target = Literal[Format, "page"]
"""What can be asked for: one model for a runtime, or two on a page that runs them in a browser."""

RECORD = "export.json"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Check(_Record):
    """A ``value`` measured between torch and the exported model, on ``n`` texts; ``most`` or ``least`` is its limit."""

    name: str
    value: float
    n: int
    most: float | None = None
    least: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the value is within its limits; NaN never is."""
        return (self.most is None or self.value <= self.most) and (self.least is None or self.value >= self.least)

    @property
    def sentence(self) -> str:
        return f"{self.name} on {self.n} texts: {self.value:.3g}."


class Export(_Record):
    """An export of ``source``: ``bytes`` of the ``files`` with the weights, what was compared with torch, and the ``code`` that
    loads it from within its folder.
    """

    source: str
    format: Format
    weights: Weights
    architecture: str
    files: tuple[str, ...]
    bytes: int
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    code: str
    versions: dict[str, str]

    @property
    def sentences(self) -> tuple[str, ...]:
        """For the user: what was written, what was compared, what to know."""
        size = f"{self.bytes / 1e6:,.1f} MB, {self.weights}"
        return (f"{', '.join(self.files)}: {size}.", *(each.sentence for each in self.checks), *self.notes)
