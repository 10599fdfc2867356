"""A layer with kept and removed channels, and what is computed of it token by token, for tests of the maths."""

from __future__ import annotations

import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from liar.choices import Reconstruction
from liar.maths.moments import Moments
from liar.maths.reconstruct import Solution, reconstruct_all
from liar.maths.solver import RIDGE

settings.register_profile("maths", max_examples=40, deadline=None, derandomize=True)
settings.load_profile("maths")

TOLERANCE = 1e-9


class Problem:
    """A consumer W (d, d_out) and correlated inputs X (40 d, d); if ``massive``, three rows are 1000 times as large."""

    def __init__(self, seed: int, d: int, d_out: int, bundle: int, massive: bool = False) -> None:
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.bundle = bundle
        self.X = normal(40 * d, d) @ normal(d, d) / d**0.5 + normal(d)
        if massive:
            self.X[:3] *= 1000
        self.W = normal(d, d_out)
        self.moments = Moments.of(self.X)
        self.order = torch.randperm(d // bundle, generator=generator)

    @property
    def bundles(self) -> int:
        return len(self.order)

    def kept(self, count: int) -> Tensor:
        return (self.order[:count].unsqueeze(1) * self.bundle + torch.arange(self.bundle)).flatten().sort().values

    def solutions(self, kept: Tensor, ridge: float = RIDGE) -> dict[Reconstruction, Solution]:
        return reconstruct_all(self.moments, self.W, kept, bundle_size=self.bundle, ridge=ridge)

    def measured(self, kept: Tensor, weight: Tensor, bias_change: Tensor) -> float:
        """E|Y' - Y|^2 / E|Y|^2, computed by applying both maps to every token."""
        Y = self.X @ self.W
        return float((self.X[:, kept] @ weight + bias_change - Y).square().sum() / Y.square().sum())


problems = st.builds(
    Problem,
    seed=st.integers(0, 10_000),
    d=st.sampled_from([6, 12, 24]),
    d_out=st.sampled_from([3, 8, 16, 30]),
    bundle=st.sampled_from([1, 2, 3]),
    massive=st.booleans(),
)


def close(actual: Tensor, expected: Tensor) -> None:
    scale = max(1.0, float(expected.abs().max()) if expected.numel() else 1.0)
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-7 * scale)
