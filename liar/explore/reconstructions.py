"""What is known of each reconstruction without solving one: a record each, with its words, formulas and line.

>>> from liar.explore.reconstructions import REPAIRS
>>> [name for name, repair in REPAIRS.items() if repair.changes_bias]
['bias', 'liar', 'least-squares']
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from liar.spec import Reconstruction


@dataclass(frozen=True, slots=True)
class Repair:
    """Meaning in one sentence, formulas of a consumer's new weight and bias in LaTeX, and the line in figures.

    The weight is (channels, outputs), as in ``Y = X W + b``; u are the kept channels and m the removed ones. A weight of
    the kept channels or a bias that is not given stays as it is. A name in angle brackets, one of ``W_u``, ``W_m``, ``Q``,
    ``P``, ``s``, has its shape written below it; ``where`` has the equations of the names. ``fits_noise`` is whether few
    tokens recover less, because a weight for every kept channel and output is fitted.
    """

    meaning: str
    colour: str
    dash: str
    symbol: str
    weight: str = "<W_u>"
    where: str = ""
    bias: str = "b"
    fits_noise: bool = False

    @property
    def changes_bias(self) -> bool:
        return self.bias != "b"


REPAIRS: Mapping[Reconstruction, Repair] = {  # colours of Okabe and Ito, distinguishable with any colour vision
    "none": Repair(
        meaning="The removed units simply go.",
        colour="#d55e00",
        dash="dot",
        symbol="x",
    ),
    "bias": Repair(
        meaning="Their mean contribution is added to the bias.",
        bias=r"b + \mu_m W_m",
        colour="#cc79a7",
        dash="dash",
        symbol="triangle-up",
    ),
    "scale": Repair(
        meaning="What each kept unit adds is multiplied by one factor (the mask tuning of Kwon et al., arXiv 2204.09656).",
        weight=r"\operatorname{diag}(<s>)\,<W_u>",
        where=r"G_{uu}\,s = G_u 1, \quad G = (W W^\top) \circ S",
        colour="#56b4e9",
        dash="longdash",
        symbol="square",
    ),
    "liar": Repair(
        meaning="The kept units predict the removed ones, as in the LIAR paper (arXiv 2407.13331).",
        weight=r"(I + <Q>\,<P>)\,<W_u>",
        where=r"Q = S_{uu}^{-1} C_{um}, \quad P = W_m W_u^{+}",
        bias=r"b + \mu_m W_m",
        colour="#009e73",
        dash="dashdot",
        symbol="diamond",
        fits_noise=True,
    ),
    "least-squares": Repair(
        meaning="The best linear repair for this mask, intercept included.",
        weight=r"<W_u> + <Q>\,<W_m>",
        where=r"Q = C_{uu}^{-1} C_{um}",
        bias=r"b + (\mu_m - \mu_u Q)\,W_m",
        colour="#0072b2",
        dash="solid",
        symbol="circle",
        fits_noise=True,
    ),
}
