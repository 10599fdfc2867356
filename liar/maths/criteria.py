"""Criteria: pure functions from moments, weights and gradients to one score for each bundle.

A bundle is a set of units removed together: one neuron, one head, or all query heads of one key/value head. Bundles
with higher scores are kept, ties go to the lower index. To add a criterion, write one function and one line in
:data:`CRITERIA`, and its record in :mod:`liar.choices`; a function of your own needs neither, see :func:`liar.run`. A criterion
scores bundles, (bundles,), or channels, (channels,), which :func:`score` sums by bundle.

>>> import torch
>>> from liar.maths.criteria import Evidence, order_of, score
>>> from liar.maths.moments import Moments
>>> from liar.sites import Site
>>> moments, weight = Moments.of(torch.randn(100, 3)), torch.tensor([[1.0], [-3.0], [2.0]])
>>> scores = score("magnitude", Evidence(Site(layer=0, kind="ffn", units=3), moments, weight))
>>> scores.tolist(), order_of(scores).tolist()
([1.0, 9.0, 4.0], [1, 2, 0])
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from liar.choices import Criterion
from liar.errors import InvalidSpecError, NonFiniteError
from liar.maths.channels import members
from liar.maths.checks import described
from liar.maths.moments import Moments
from liar.maths.solver import cholesky, in_solver_precision, ridge_of
from liar.sites import Site
from liar.spec import CUSTOM, CUSTOM_WITH_GRADIENTS, is_custom

_OBS_STEPS = 32

_DAMPING = 0.1
"""Share of the identity in the metric of kfac. On validation windows of SmolLM2 0.02 to 0.4 give the same loss."""


@dataclass(slots=True)
class SiteGradients:
    """Results of backward passes: ``taylor`` and ``fisher`` are (bundles,) in fp64; what was not requested is zero or None.

    ``outputs`` (d_out, d_out) is the second moment of the gradient at the site's output; ``sensitivity`` is its trace.
    ``coherence``: how alike the gradients are at two tokens of a text, from 0 to 1; see :mod:`liar.calibration.coherence`.
    """

    taylor: Tensor
    fisher: Tensor
    sensitivity: float = 0.0
    outputs: Tensor | None = None
    coherence: float = 0.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """Input of every criterion. ``weight`` is the consumer's, (channels, d_out).

    ``gradients`` are None unless the criterion needs them: ``taylor``, ``fisher``, ``kfac``, and a function of your own
    whose attribute ``needs_gradients`` is true.
    """

    site: Site
    moments: Moments
    weight: Tensor
    seed: int = 0
    gradients: SiteGradients | None = None


ScoreFunction = Callable[[Evidence], Tensor]
"""A criterion: scores (bundles,) or (channels,) of a site, on any device, in any float dtype."""


def random(evidence: Evidence) -> Tensor:
    """Uniform noise with its own random stream for each site: the baseline of all criteria."""
    site = evidence.site
    generator = torch.Generator().manual_seed(evidence.seed * 100_003 + 2 * site.layer + (site.kind == "ffn"))
    return torch.rand(site.bundles, generator=generator, dtype=torch.float64)


def magnitude(evidence: Evidence) -> Tensor:
    """Squared norm of the consumer's rows: |W_j|^2 (Han et al., arXiv 1506.02626, by groups)."""
    return evidence.weight.float().square().sum(dim=1)


def wanda(evidence: Evidence) -> Tensor:
    """|X_j| times the absolute weights of channel j: sqrt(S_jj) sum_o |W_jo| (Sun et al., arXiv 2306.11695)."""
    moments = evidence.moments
    second = moments.covariance.diagonal() + moments.mean.square()
    return second.sqrt() * evidence.weight.float().abs().sum(dim=1)


def fluctuation(evidence: Evidence) -> Tensor:
    """Variance of channel j times the squared norm of its row: C_jj |W_j|^2 (FLAP, arXiv 2312.11983)."""
    variance = evidence.moments.covariance.diagonal()
    return variance * evidence.weight.float().square().sum(dim=1)


def taylor(evidence: Evidence) -> Tensor:
    """|mean over sequences of dL/dm| for a mask m = 1 on the bundle: the first-order change of the whole text's loss if
    the bundle is removed. This is the connection sensitivity of SNIP (Lee et al., arXiv 1810.02340), not normalised,
    with a mask for each bundle instead of each weight. Gradients of opposite signs cancel.

    The Taylor criterion of Molchanov et al. (arXiv 1906.10771) squares each sample's gradient before taking the mean,
    so that gradients do not cancel: with one sequence a sample, that is :func:`fisher`.
    """
    return _gradients(evidence).taylor


def fisher(evidence: Evidence) -> Tensor:
    """Mean over sequences of (dL/dm)^2: the diagonal of the masks' empirical Fisher information (Kwon et al., arXiv
    2204.09656); also the Taylor criterion of Molchanov et al. (arXiv 1906.10771) with a gate on each bundle.
    """
    return _gradients(evidence).fisher


def obs(evidence: Evidence) -> Tensor:
    """Optimal brain surgeon in blocks (ZipLM, arXiv 2302.04089; SlimGPT, arXiv 2412.18110).

    In each of a few dozen steps remove the bundles with the least tr(W*_B^T ([C^-1]_BB)^-1 W*_B), then repair the rest
    in closed form. The score is the error accumulated at a bundle's removal, so one order serves every ratio.

    In fp64: rounding noise of single precision, times the condition number, would decide the order of near-equal bundles.
    """
    return _surgeon(evidence, evidence.weight)


def kfac(evidence: Evidence) -> Tensor:
    """:func:`obs` with the errors of the outputs in the metric of the loss, as the LLM Surgeon (arXiv 2312.17244).

    K-FAC (Martens & Grosse, arXiv 1503.05671) takes the Fisher information of a layer as the product of the covariance of
    its inputs and of the second moment G of the gradients at its outputs. With G = L L^T an error E of the outputs costs
    |E L|^2. The repair that costs least is that of obs, but the order is not: L weighs the outputs. G is scaled to the
    trace of the identity, and damped by a share of it (:func:`damped_metric`).
    """
    metric = _gradients(evidence).outputs
    assert metric is not None, "the pipeline computes gradients at outputs for kfac"
    if not bool(metric.diagonal().any()):  # no output of this site changes the answer
        return obs(evidence)
    factor = cholesky(damped_metric(metric), None, site=evidence.site.name, tokens=evidence.moments.tokens)
    return _surgeon(evidence, in_solver_precision(evidence.weight) @ factor)


def damped_metric(outputs: Tensor) -> Tensor:
    """The metric of :func:`kfac`, from second moments of the gradients at ``outputs``, whose trace is not zero."""
    metric = in_solver_precision(outputs)
    metric = metric * ((1 - _DAMPING) * len(metric) / float(metric.diagonal().sum()))
    metric.diagonal().add_(_DAMPING)
    return metric


def _surgeon(evidence: Evidence, weight: Tensor) -> Tensor:
    """The scores of :func:`obs` for a consumer of ``weight`` (channels, any number of outputs)."""
    site, moments = evidence.site, evidence.moments
    W = in_solver_precision(weight)
    covariance = in_solver_precision(moments.covariance)
    covariance = covariance.clone() if covariance is moments.covariance else covariance
    factor = cholesky(covariance, ridge_of(moments), site=site.name, tokens=moments.tokens)
    inverse = torch.cholesky_inverse(factor)
    del covariance, factor  # each as large as the inverse
    scores = torch.zeros(site.bundles, dtype=W.dtype, device=W.device)
    alive = torch.arange(site.bundles, device=W.device)
    step = max(1, site.bundles // _OBS_STEPS)
    paid = torch.zeros((), dtype=W.dtype, device=W.device)
    while len(alive):
        saliency = _block_saliency(inverse, W, site.bundle_size)
        order = saliency.argsort(stable=True)
        # Errors are sorted within a step and accumulated over steps, so scores never decrease.
        cost, going, staying = saliency[order[:step]], order[:step], order[step:].sort().values
        scores[alive[going]] = paid + cost.cumsum(0)
        paid = scores[alive[going[-1]]]
        gone, kept = members(going, site.bundle_size), members(staying, site.bundle_size)
        rows = inverse[kept]
        cross = rows[:, gone]
        solved = torch.linalg.solve(inverse[gone][:, gone], torch.cat([cross.T, W[gone]], dim=1))
        W = W[kept] - cross @ solved[:, len(kept) :]
        # gather takes half the time of rows[:, kept]
        inverse = rows.gather(1, kept.expand(len(kept), -1)).addmm_(cross, solved[:, : len(kept)], alpha=-1)
        alive = alive[staying]
    return scores


def _block_saliency(inverse: Tensor, W: Tensor, size: int) -> Tensor:
    """tr(W_B^T ([C^-1]_BB)^-1 W_B) of every bundle B of ``size`` channels, (bundles,)."""
    if size == 1:
        return W.square().sum(dim=1) / inverse.diagonal()
    count = W.shape[0] // size
    index = torch.arange(count, device=W.device)
    diagonal_blocks = inverse.reshape(count, size, count, size)[index, :, index, :]
    rows = W.reshape(count, size, -1)
    cost: Tensor = (rows * torch.linalg.solve(diagonal_blocks, rows)).sum(dim=(1, 2))
    return cost


def _gradients(evidence: Evidence) -> SiteGradients:
    assert evidence.gradients is not None, "the pipeline computes gradients for the criteria that need them"
    return evidence.gradients


CRITERIA: Mapping[Criterion, ScoreFunction] = {
    "random": random,
    "magnitude": magnitude,
    "wanda": wanda,
    "fluctuation": fluctuation,
    "taylor": taylor,
    "fisher": fisher,
    "obs": obs,
    "kfac": kfac,
}


def criterion_of(name: str) -> ScoreFunction:
    """The criterion of this ``name``; raises :class:`InvalidSpecError` if there is none."""
    if is_custom(name):
        raise InvalidSpecError(
            f"The criterion {name!r} is a function that only its own program has; pass it to liar.run as "
            f"criterion=, or choose one of: {', '.join(CRITERIA)}."
        )
    return CRITERIA[name]  # type: ignore[index]


def name_of(criterion: ScoreFunction) -> str:
    """Name under which a spec records ``criterion``: of ours its own, of any other function one with a prefix."""
    own = next((name for name, function in CRITERIA.items() if function is criterion), None)
    prefix = CUSTOM_WITH_GRADIENTS if getattr(criterion, "needs_gradients", False) else CUSTOM
    name = re.sub(r"\W", "", getattr(criterion, "__name__", type(criterion).__name__))[:100]
    return own or prefix + name


def score(criterion: str | ScoreFunction, evidence: Evidence) -> Tensor:
    """Scores of every bundle of a site, (bundles,) in fp64 on the CPU, rounded to the precision of fp32.

    So rounding noise of fp64, from another number of threads or processes, does not decide between equal bundles: they go
    by their index. An atlas stores just these. Raises :class:`InvalidSpecError` for scores of another shape and
    :class:`NonFiniteError` for NaN or Inf.
    """
    site, raw = evidence.site, _raw_scores(criterion, evidence)
    found = raw.reshape(site.bundles, -1).sum(dim=1).cpu().float().double()
    if not bool(found.isfinite().all()):
        raise NonFiniteError(f"The scores of {site.name} hold NaN or Inf; choose another criterion or text.")
    return found


def deviation(criterion: str | ScoreFunction, evidence: Evidence, scores: Tensor) -> float:
    """Divisor of the centred ``scores`` (bundles,) of a site in the allocation ``global``.

    FLAP (arXiv 2312.11983) standardises the scores of a site's channels and takes the mean over a head's n channels:
    (sum of their scores / n - mean) / s is (score - mean score) / (n s), with s the standard deviation over channels.
    Criteria that score whole bundles are standardised over bundles.
    """
    site, raw = evidence.site, _raw_scores(criterion, evidence)
    if site.bundle_size == 1 or raw.numel() == site.bundles:
        return float(scores.std()) if len(scores) > 1 else 0.0
    return site.bundle_size * float(raw.cpu().double().std())


def _raw_scores(criterion: str | ScoreFunction, evidence: Evidence) -> Tensor:
    site = evidence.site
    found = (criterion_of(criterion) if isinstance(criterion, str) else criterion)(evidence)
    wanted = ((site.bundles,), (site.channels,))
    if not isinstance(found, Tensor) or found.shape not in wanted or found.is_complex():
        raise InvalidSpecError(
            f"The criterion returned scores {described(found)}; return a tensor with one score for each bundle of {site.name}, "
            f"({site.bundles},), or for each channel, ({site.channels},)."
        )
    return found


def order_of(scores: Tensor) -> Tensor:
    """Indices of the bundles, best first, ties to the lower index."""
    return scores.argsort(descending=True, stable=True)


def channels_of(site: Site, bundles: Tensor) -> Tensor:
    """Channels of ``bundles``, in the order of ``bundles``."""
    return members(bundles, site.bundle_size)


def units_of(site: Site, bundles: Tensor) -> Tensor:
    """Units (neurons, query heads) of ``bundles``, in the order of ``bundles``."""
    return members(bundles, site.group)
