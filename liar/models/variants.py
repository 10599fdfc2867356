"""The three models of a run, held so that each can be asked again: a dense one, and a pruned one with and without repair."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from torch import nn

from liar.errors import InvalidSpecError
from liar.models.catalog import LoadedModel, bytes_in_memory
from liar.models.offload import resident
from liar.models.surgery import ConsumerParameters, install
from liar.results import Variant
from liar.sites import Site


@dataclass(frozen=True, slots=True)
class _Parked:
    """Parameters of a consumer that wait on the host, and the variant to which they belong."""

    variant: Variant
    parameters: ConsumerParameters


class Variants:
    """The dense model, where there is one, and a pruned model that is "reconstructed" or merely "pruned".

    Both pruned variants share everything but their consumers, so one model serves for both: the consumers that are not
    in use wait on the host, and every swap is an exchange. The dense model is never changed.
    """

    def __init__(self, pruned: LoadedModel, dense: LoadedModel | None = None) -> None:
        self.dense = dense
        self._pruned = pruned
        self._parked: dict[Site, _Parked] = {}
        self._lock = Lock()

    def park(self, site: Site, unrepaired: ConsumerParameters) -> None:
        """Put aside what the site's consumer would hold without a reconstruction."""
        self._parked[site] = _Parked("pruned", _on_host(unrepaired))

    @property
    def has_pruned(self) -> bool:
        """Whether the consumers without a reconstruction are at hand."""
        return bool(self._parked)

    @property
    def bytes(self) -> int:
        """What the pruned model and the consumers that wait hold, in bytes; the dense model is not counted."""
        waiting = [parked.parameters for parked in self._parked.values()]
        tensors = [parameters.weight for parameters in waiting]
        tensors += [parameters.bias for parameters in waiting if parameters.bias is not None]
        return bytes_in_memory(self._pruned.model) + sum(tensor.nbytes for tensor in tensors)

    @contextmanager
    def using(self, variant: Variant) -> Iterator[LoadedModel]:
        """The model of ``variant``, for as long as the context lasts; afterwards the pruned model is reconstructed again.

        One thread at a time has the pruned model, and the others wait, so contexts must not be nested. Raises
        :class:`InvalidSpecError` when the run had no dense model at hand.
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
        """Exchange every consumer whose parked parameters are those of ``variant``; also mends an exchange cut short."""
        for site, parked in list(self._parked.items()):
            if parked.variant != variant:
                continue
            with resident(self._pruned.adapter.layers[site.layer]):
                taken = _parameters_of(self._pruned.adapter.consumer(site))
                install(self._pruned.adapter, site, parked.parameters)
            self._parked[site] = _Parked("pruned" if variant == "reconstructed" else "reconstructed", taken)


def _parameters_of(consumer: nn.Linear) -> ConsumerParameters:
    bias = None if consumer.bias is None else consumer.bias.detach()
    return _on_host(ConsumerParameters(consumer.weight.detach(), bias))


def _on_host(parameters: ConsumerParameters) -> ConsumerParameters:
    return ConsumerParameters(parameters.weight.cpu(), None if parameters.bias is None else parameters.bias.cpu())
