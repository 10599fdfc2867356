"""Checks of the tensors that a program passes in: one sentence with what was given and what is wanted."""

from __future__ import annotations

from math import isfinite
from typing import Any

import torch
from torch import Tensor

from liar.errors import InvalidSpecError


def described(value: Any) -> str:
    """What ``value`` is, in words: a tensor by its dtype and shape, anything else by its type."""
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
    return f"of type {type(value).__name__}"


def check_rows(rows: Any, weights: Any) -> None:
    """Raise :class:`InvalidSpecError` unless ``rows`` are (tokens, d) real and ``weights`` None or (tokens,), none negative."""
    if not (isinstance(rows, Tensor) and rows.ndim == 2 and not rows.is_complex()):
        raise InvalidSpecError(
            f"The rows are {described(rows)}; give a tensor (tokens, channels), such as x.flatten(0, -2)."
        )
    if weights is None:
        return
    if not (isinstance(weights, Tensor) and weights.shape == rows.shape[:1] and bool((weights >= 0).all())):
        raise InvalidSpecError(
            f"The weights of the rows are {described(weights)}; give one number of at least 0 for each of {len(rows)} rows, as "
            "a tensor."
        )


def check_repair(channels: int, weight: Any, kept: Any, bundle_size: Any, ridge: Any) -> None:
    """Raise :class:`InvalidSpecError` for a ``weight``, ``kept``, ``bundle_size`` or ``ridge`` that no site of so many
    ``channels`` can have, see :func:`liar.maths.reconstruct.reconstruct_all`.
    """
    if not (isinstance(weight, Tensor) and weight.ndim == 2 and len(weight) == channels and weight.is_floating_point()):
        raise InvalidSpecError(
            f"The weight is {described(weight)}, and the moments are of {channels} channels; give a tensor of floats "
            f"({channels}, outputs), which is linear.weight.T."
        )
    if type(bundle_size) is not int or bundle_size < 1 or channels % bundle_size:
        raise InvalidSpecError(f"bundle_size is {bundle_size!r}; give a whole number that divides {channels} channels.")
    if not isinstance(ridge, int | float) or not isfinite(ridge) or ridge < 0:
        raise InvalidSpecError(f"The ridge is {ridge!r}; give a number of at least 0.")
    if not isinstance(kept, Tensor) or kept.ndim != 1 or kept.dtype not in (torch.int64, torch.int32):
        raise InvalidSpecError(
            f"The kept channels are {described(kept)}; give their numbers as a tensor (k,) of int64, such as "
            "mask.nonzero().flatten()."
        )
    if kept.numel() == 0:
        return
    if int(kept.min()) < 0 or int(kept.max()) >= channels:
        raise InvalidSpecError(
            f"The kept channels are {int(kept.min())} to {int(kept.max())}; give numbers from 0 to {channels - 1}."
        )
    if len(kept.unique()) < len(kept):
        raise InvalidSpecError(
            f"The kept channels name {len(kept.unique())} channels {len(kept)} times; name each of them once."
        )
    firsts = kept[::bundle_size]
    bundles = (firsts.unsqueeze(1) + torch.arange(bundle_size, device=kept.device)).flatten()
    if bool((firsts % bundle_size).any()) or not torch.equal(bundles, kept.to(bundles.dtype)):
        raise InvalidSpecError(
            f"The kept channels are {len(kept)} that are no whole bundles of {bundle_size}; give all channels of each bundle, "
            "in order."
        )
