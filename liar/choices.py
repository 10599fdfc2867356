"""Criteria and reconstructions: what is known of each without computing one, a record each. Their functions are in
:mod:`liar.maths`.

>>> from liar.choices import IMPORTANCE, REPAIRS
>>> [name for name, criterion in IMPORTANCE.items() if criterion.solves]
['obs', 'kfac']
>>> [name for name, repair in REPAIRS.items() if repair.changes_bias]
['bias', 'liar', 'least-squares']
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Criterion = Literal["random", "magnitude", "wanda", "fluctuation", "taylor", "fisher", "obs", "kfac"]
Reconstruction = Literal["none", "bias", "scale", "liar", "least-squares"]


@dataclass(frozen=True, slots=True)
class Importance:
    """Meaning of a criterion in one sentence, and what its scores take.

    ``gradients``: of masks on the bundles or of the outputs of a site, which takes a backward pass. ``solves``: a system at
    each site, which takes time, and text.
    """

    meaning: str
    gradients: Literal["masks", "outputs"] | None = None
    solves: bool = False


IMPORTANCE: Mapping[Criterion, Importance] = {
    "random": Importance("Noise: the baseline that every other must beat."),
    "magnitude": Importance("The size of the weights that read the unit."),
    "wanda": Importance("Weights times the size of the activations."),
    "fluctuation": Importance(
        "Weights times the variance of the activations: what never changes, a bias replaces (FLAP)."
    ),
    "taylor": Importance(
        "How far the loss of all texts together would move, to first order (SNIP). Takes a backward pass.",
        gradients="masks",
    ),
    "fisher": Importance(
        "The squared gradient of a mask, averaged over texts (Kwon et al.). Takes a backward pass.",
        gradients="masks",
    ),
    "obs": Importance(
        "What removing the unit costs after the best repair, step by step (optimal brain surgeon).",
        solves=True,
    ),
    "kfac": Importance(
        "The same error, weighted by the curvature of the loss (LLM Surgeon). Takes a backward pass.",
        gradients="outputs",
        solves=True,
    ),
}


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
