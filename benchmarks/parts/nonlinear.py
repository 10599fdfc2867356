"""Where a linear repair ends: layers whose removed channels are known functions of the kept ones.

The kept channels are independent standard normals. A removed channel is sqrt(s) a.x + sqrt(1 - s) g(x): a share s of a linear
function and the rest of another one, each of mean 0 and variance 1, with directions a and b of length 1:

* quadratic: g(x) = ((b.x)^2 - 1) / sqrt 2, uncorrelated with every linear function.
* gated: g(x) = silu(b.x) (c.x), standardised: what a gated FFN makes of its inputs.
* random: g is independent of x.

Theory: by Stein's lemma the best linear predictor of f(x) has the coefficients E[grad f], so it explains |E grad f|^2 of
Var f, and with independent random consumer weights the error left by the best repair, over that of a removal whose mean
is made up for, is 1 minus the explained share of all removed variance. A repair fitted to n tokens leaves 1 + k / n times
that on others, k the number of kept channels. Measured on tokens that the repair has not seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import fmean, stdev
from typing import Literal, get_args

import numpy as np
import torch
from plotly.graph_objects import Figure
from readme import table
from torch import Tensor
from torch.nn.functional import silu

from liar.choices import Reconstruction
from liar.maths.moments import Moments
from liar.maths.reconstruct import reconstruct_all
from liar.maths.relative_errors import relative_errors
from parts.points import Part, Pending, Point, Report, Scope

Kind = Literal["quadratic", "gated", "random"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SYMBOLS: Mapping[Kind, str] = {"quadratic": "circle-open", "gated": "diamond-open", "random": "x-thin-open"}
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
KEPT, REMOVED, OUTPUTS = 96, 32, 64
TOKENS = 16 * (KEPT + REMOVED)
DRAWS = 8
REPAIRS: tuple[Reconstruction, ...] = ("scale", "liar", "least-squares")


@dataclass(frozen=True)
class Layer:
    """Directions of the removed channels, one row each of length 1, and their kind."""

    kind: Kind
    share: float
    a: Tensor
    b: Tensor
    c: Tensor

    @classmethod
    def drawn(cls, kind: Kind, share: float, generator: torch.Generator) -> Layer:
        def directions() -> Tensor:
            rows = torch.randn(REMOVED, KEPT, generator=generator, dtype=torch.float64)
            return torch.nn.functional.normalize(rows)

        return cls(kind, share, directions(), directions(), directions())

    def removed(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """The removed channels (tokens, REMOVED) for the kept ones ``x`` (tokens, KEPT)."""
        u, v = x @ self.b.T, x @ self.c.T
        if self.kind == "quadratic":
            other = (u.square() - 1) / math.sqrt(2)
        elif self.kind == "gated":
            mean, variance, _ = self._gate()
            other = (silu(u) * v - mean) / variance.sqrt()
        else:
            other = torch.randn(v.shape, generator=generator, dtype=v.dtype)
        found: Tensor = math.sqrt(self.share) * (x @ self.a.T) + math.sqrt(1 - self.share) * other
        return found

    def explained(self) -> float:
        """Share of the variance of the removed channels that the best linear function of the kept ones explains."""
        gradient = torch.zeros_like(self.c)
        if self.kind == "gated":
            _, variance, gradient = self._gate()
            gradient = gradient / variance.sqrt().unsqueeze(1)
        crossed = 2 * math.sqrt(self.share * (1 - self.share)) * (self.a * gradient).sum(dim=1)
        slope = math.sqrt(self.share) * self.a + math.sqrt(1 - self.share) * gradient
        return float(slope.square().sum() / (1 + crossed).sum())

    def _gate(self) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, variance and mean gradient of silu(b.x) (c.x), by Gauss-Hermite quadrature over b.x."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(64)
        u, p = torch.from_numpy(nodes), torch.from_numpy(weights / weights.sum())
        r = (self.b * self.c).sum(dim=1)  # correlation of b.x and c.x
        slope = torch.sigmoid(u) * (1 + u * (1 - torch.sigmoid(u)))
        mean = r * (p * silu(u) * u).sum()
        square = (
            r.square() * (p * silu(u).square() * u.square()).sum() + (1 - r.square()) * (p * silu(u).square()).sum()
        )
        gradient = self.b * (r * (p * slope * u).sum()).unsqueeze(1) + self.c * (p * silu(u)).sum()
        return mean, square - mean.square(), gradient


def errors(kind: Kind, share: float, seed: int) -> tuple[float, dict[Reconstruction, float]]:
    """Error of each repair over that of bias on fresh tokens, as the theory has it for least-squares and as measured."""
    generator = torch.Generator().manual_seed(seed)
    layer = Layer.drawn(kind, share, generator)
    weight = torch.randn(KEPT + REMOVED, OUTPUTS, generator=generator, dtype=torch.float64)

    def moments(tokens: int) -> Moments:
        x = torch.randn(tokens, KEPT, generator=generator, dtype=torch.float64)
        return Moments.of(torch.cat([x, layer.removed(x, generator)], dim=1))

    kept = torch.arange(KEPT)
    solutions = reconstruct_all(moments(TOKENS), weight, kept, ("bias", *REPAIRS))
    found = relative_errors(moments(8 * TOKENS), weight, kept, solutions)
    return 1 - layer.explained(), {name: found[name] / found["bias"] for name in REPAIRS}


def measure(kind: Kind, share: float, draws: int) -> dict[str, float]:
    drawn = [errors(kind, share, seed) for seed in range(draws)]
    values = {"theory": fmean(theory for theory, _ in drawn), "draws": float(draws)}
    for name in REPAIRS:
        several = [found[name] for _, found in drawn]
        values |= {name: fmean(several), f"{name} stderr": stdev(several) / math.sqrt(draws)}
    return values


def pending(scope: Scope) -> Iterator[Pending]:
    draws = 2 if scope.fast else DRAWS
    for kind in KINDS:
        for share in SHARES:
            yield Pending(_name(kind, share), partial(measure, kind, share, draws))


def _name(kind: Kind, share: float) -> str:
    return f"{kind}, {share:.0%} linear"


def report(points: Mapping[str, Point]) -> Report:
    rows = []
    figure = Figure()
    for kind in KINDS:
        found = [(share, points[_name(kind, share)].values) for share in SHARES]
        for share, values in found:
            cells = (f"{values[name]:.3f} ± {values[f'{name} stderr']:.3f}" for name in REPAIRS)
            fitted = values["theory"] * (1 + KEPT / TOKENS)
            rows.append((kind, f"{share:.0%}", f"{values['theory']:.3f}", f"{fitted:.3f}", *cells))
        explained = [1 - values["theory"] for _, values in found]
        measured = [values["least-squares"] for _, values in found]
        spread = [values["least-squares stderr"] for _, values in found]
        marker = {"symbol": SYMBOLS[kind], "size": 10}
        figure.add_scatter(x=explained, y=measured, error_y={"array": spread}, mode="markers", name=kind, marker=marker)
    for name, end, dash in (("theory", 1.0, "dot"), ("theory, fitted", 1 + KEPT / TOKENS, "solid")):
        figure.add_scatter(x=[0, 1], y=[end, 0], mode="lines", name=name, line={"dash": dash, "color": "gray"})
    figure.update_layout(xaxis_title="share that a line explains", yaxis_title="error of least-squares over bias")
    head = (
        f"{KEPT} kept and {REMOVED} removed channels, {TOKENS:,} tokens of calibration; the error on {8 * TOKENS:,} others "
        f"over that of the repair bias, mean of {round(found[0][1]['draws'])} random layers ± its standard error."
    )
    columns = ("other part", "linear part", "theory", "theory, fitted", *REPAIRS)
    every = [point.values for point in points.values()]
    apart = max(abs(values["least-squares"] - values["theory"] * (1 + KEPT / TOKENS)) for values in every)
    gate = points[_name("gated", 0.0)].values
    finding = (
        f"Least-squares is nowhere further than {apart:.3f} from the theory. Of a channel that gates the kept ones a line "
        f"explains {1 - gate['theory']:.0%}. What is quadratic or random stays lost, and fitting it makes the error on other "
        f"text larger, with {KEPT} channels and {TOKENS:,} tokens by {KEPT / TOKENS:.1%}."
    )
    return Report(f"{head}\n\n{table(columns, rows)}\n\n{finding}", {"nonlinear": figure})


NONLINEAR = Part("nonlinear", "How much a line can explain", pending, report)
