"""Surgery: removal of rows and columns of linear layers, so that the pruned model is smaller and faster, not masked.

>>> import torch
>>> from liar import load_model
>>> from liar.models.surgery import ConsumerParameters, shrink
>>> adapter, half = load_model("tiny").adapter, torch.arange(24)
>>> site = adapter.sites("ffn")[0]
>>> shrink(adapter, site, half, ConsumerParameters(adapter.consumer(site).weight[:, half], None))
>>> adapter.sites("ffn")[0].units, adapter.consumer(site)
(24, Linear(in_features=24, out_features=32, bias=False))
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from liar.maths.channels import members
from liar.maths.reconstruct import Solution
from liar.maths.solver import in_solver_precision
from liar.models.adapter import Adapter
from liar.sites import Site


@dataclass(frozen=True, slots=True)
class ConsumerParameters:
    """New parameters of a consumer: ``weight`` (d_out, kept) in PyTorch's layout, ``bias`` (d_out,) or None."""

    weight: Tensor
    bias: Tensor | None

    @classmethod
    def install_of(cls, consumer: nn.Linear, solution: Solution) -> ConsumerParameters:
        """Parameters of ``solution`` in the consumer's dtype; a bias is added only if the repair needs one."""
        solution = solution.installed
        weight = solution.weight.T.to(consumer.weight.dtype).contiguous()
        if consumer.bias is None:
            has_change = bool(solution.bias_change.any())
            return cls(weight, solution.bias_change.to(weight.dtype) if has_change else None)
        bias = in_solver_precision(consumer.bias.detach()) + solution.bias_change
        return cls(weight, bias.to(weight.dtype))

    def solution_of(self, consumer: nn.Linear) -> Solution:
        """The solution that these parameters are for ``consumer``, rounded as they are."""
        weight = in_solver_precision(self.weight.T)
        bias = torch.zeros_like(weight[0]) if self.bias is None else in_solver_precision(self.bias)
        return Solution(weight, bias if consumer.bias is None else bias - in_solver_precision(consumer.bias.detach()))


@torch.no_grad()
def shrink(adapter: Adapter, site: Site, bundles: Tensor, parameters: ConsumerParameters) -> None:
    """Keep only ``bundles`` (ascending) of the site and install the consumer's new ``parameters``.

    Every changed parameter is a new object, by which :func:`liar.runtime.offload.resident` detects the change.
    """
    device = adapter.consumer(site).weight.device
    bundles = bundles.to(device)
    producers = adapter.producers(site)
    for linear in dict.fromkeys(producer.module for producer in producers):
        kept = [
            members(bundles, producer.rows) + producer.offset for producer in producers if producer.module is linear
        ]
        rows = torch.cat(kept)
        linear.weight = _parameter(linear.weight[rows])
        if linear.bias is not None:
            linear.bias = _parameter(linear.bias[rows])
        linear.out_features = len(rows)
    install(adapter.consumer(site), parameters)
    adapter.keep_units(site, bundles)


@torch.no_grad()
def install(consumer: nn.Linear, parameters: ConsumerParameters) -> None:
    """Replace a consumer's parameters; if ``parameters`` has no bias, an existing bias is set to zero."""
    device = consumer.weight.device
    consumer.weight = _parameter(parameters.weight.to(device))
    consumer.in_features = parameters.weight.shape[1]
    if parameters.bias is not None:
        consumer.register_parameter("bias", _parameter(parameters.bias.to(device)))
    elif consumer.bias is not None:
        consumer.bias = _parameter(torch.zeros_like(consumer.bias))


def _parameter(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.detach().contiguous(), requires_grad=False)
