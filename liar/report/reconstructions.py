"""How each reconstruction is drawn and written: one record for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from liar.spec import Reconstruction


@dataclass(frozen=True, slots=True)
class Display:
    """Line and marker in figures, and the formulas of a consumer's new weight and new bias.

    The weight is (channels, outputs), as in ``Y = X W + b``; u are the kept channels and m the removed ones. Fields of
    a formula are the shapes ``W_u``, ``W_m``, ``Q``, ``P``, and the number of ``outputs``.
    """

    colour: str
    dash: str
    symbol: str
    weight: str
    bias: str


DISPLAYS: Mapping[Reconstruction, Display] = {  # colours of Okabe and Ito, distinguishable with any colour vision
    "none": Display("#d55e00", "dot", "x", "W_u: {W_u}", "b: {outputs}"),
    "bias": Display("#cc79a7", "dash", "triangle-up", "W_u: {W_u}", "b + mu_m W_m: {outputs}"),
    "liar": Display(
        "#009e73",
        "dashdot",
        "diamond",
        "(I + Q P) W_u: (I + {Q}{P}){W_u}, Q = S_uu^-1 C_um, P = W_m pinv(W_u)",
        "b + mu_m W_m: {outputs}",
    ),
    "least-squares": Display(
        "#0072b2",
        "solid",
        "circle",
        "W_u + Q W_m: {W_u} + {Q}{W_m}, Q = C_uu^-1 C_um",
        "b + (mu_m - mu_u Q) W_m: {outputs}",
    ),
}
