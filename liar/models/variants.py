"""The variants of a run, kept in memory for more evaluations: dense, and pruned with and without reconstruction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from torch import Tensor, nn

from liar.errors import InvalidSpecError
from liar.models.loaded import LoadedModel, bytes_in_memory
from liar.models.surgery import ConsumerParameters, install
from liar.results import Variant
from liar.runtime.offload import resident
from liar.sites import Site


@dataclass(frozen=True, slots=True)
class _Parked:
    """Parameters of a consumer that are not in use, kept on the host, and their variant."""

    variant: Variant
    parameters: ConsumerParameters


class Variants:
    """The dense model, if there is one, and a pruned model that is either "reconstructed" or "pruned".

    The two pruned variants differ only in their consumers and the gain of the last norm, so one model serves for both:
    the consumers not in use are kept on the host and exchanged when needed. The dense model is never changed.
    """

    def __init__(self, pruned: LoadedModel, dense: LoadedModel | None = None) -> None:
        self.dense = dense
        self._pruned = pruned
        self._parked: dict[Site, _Parked] = {}
        self._norm: tuple[Variant, dict[str, Tensor]] | None = None
        self._lock = Lock()

    def park(self, site: Site, unrepaired: ConsumerParameters) -> None:
        """Store the parameters of the site's consumer without a reconstruction."""
        self._parked[site] = _Parked("pruned", _on_host(unrepaired))

    def attenuate(self, factor: float) -> None:
        """Attenuate the reconstructed model, see :class:`liar.models.adapter.Adapter`; the pruned one keeps its gain."""
        norm = self._last_norm
        with resident(norm):
            self._norm = ("pruned", _weights_of(norm))
        self._pruned.adapter.attenuate(factor)

    @property
    def has_pruned(self) -> bool:
        """Whether consumers without a reconstruction are stored."""
        return bool(self._parked)

    @property
    def bytes(self) -> int:
        """Bytes of the pruned model and of the consumers not in use; the dense model is not counted."""
        waiting = [parked.parameters for parked in self._parked.values()]
        tensors = [parameters.weight for parameters in waiting]
        tensors += [parameters.bias for parameters in waiting if parameters.bias is not None]
        return bytes_in_memory(self._pruned.model) + sum(tensor.nbytes for tensor in tensors)

    @contextmanager
    def using(self, variant: Variant) -> Iterator[LoadedModel]:
        """Context with the model of ``variant``; at its end the pruned model is reconstructed again.

        A lock lets one thread at a time use the pruned model, so contexts must not be nested. Raises
        :class:`InvalidSpecError` if the dense model is not in memory.
        """
        if variant == "dense":
            if self.dense is None:
                raise InvalidSpecError("The dense model of this run is not in memory; load it and run again.")
            yield self.dense
            return
        with self._lock:
            try:
                self._put(variant)
                yield self._pruned
            finally:
                self._put("reconstructed")

    def _put(self, variant: Variant) -> None:
        """Install the parked parameters that belong to ``variant``; also completes an interrupted exchange."""
        for site, parked in list(self._parked.items()):
            if parked.variant != variant:
                continue
            with resident(self._pruned.adapter.layers[site.layer]):
                taken = _parameters_of(self._pruned.adapter.consumer(site))
                install(self._pruned.adapter, site, parked.parameters)
            self._parked[site] = _Parked(_other(variant), taken)
        if self._norm is not None and self._norm[0] == variant:
            norm = self._last_norm
            with resident(norm):
                taken_gain = _weights_of(norm)
                for name, parameter in list(norm.named_parameters()):
                    setattr(norm, name, nn.Parameter(self._norm[1][name].to(parameter.device), requires_grad=False))
            self._norm = (_other(variant), taken_gain)

    @property
    def _last_norm(self) -> nn.Module:
        norm = self._pruned.adapter.last_norm()
        assert norm is not None, "only a family with a last norm has a gain"
        return norm


def _other(variant: Variant) -> Variant:
    return "pruned" if variant == "reconstructed" else "reconstructed"


def _weights_of(norm: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().cpu() for name, parameter in norm.named_parameters()}


def _parameters_of(consumer: nn.Linear) -> ConsumerParameters:
    bias = None if consumer.bias is None else consumer.bias.detach()
    return _on_host(ConsumerParameters(consumer.weight.detach(), bias))


def _on_host(parameters: ConsumerParameters) -> ConsumerParameters:
    return ConsumerParameters(parameters.weight.cpu(), None if parameters.bias is None else parameters.bias.cpu())
