"""The variants of a run, kept in memory for more evaluations: dense, and pruned with and without reconstruction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch
from torch import Tensor, nn

from liar.errors import InvalidSpecError
from liar.models.loaded import LoadedModel, bytes_in_memory
from liar.models.surgery import ConsumerParameters
from liar.results import Variant
from liar.runtime.offload import resident
from liar.sites import Site


class Variants:
    """The dense model, if there is one, and a pruned model that is either "reconstructed" or "pruned".

    The two pruned variants differ only in their consumers and the gain of the last norm, so one model serves for both:
    the parameters not in use are kept on the host and exchanged when needed. The dense model is never changed.
    """

    def __init__(self, pruned: LoadedModel, dense: LoadedModel | None = None) -> None:
        self.dense = dense
        self._pruned = pruned
        self._parked: dict[nn.Module, tuple[Variant, dict[str, Tensor]]] = {}
        """The parameters of a layer that are not in use, kept on the host, and their variant."""
        self._lock = Lock()

    def park(self, site: Site, unrepaired: ConsumerParameters, channels: Tensor | None = None) -> None:
        """Store the parameters of the site's consumer without a reconstruction, of which it keeps the ``channels``.

        Of a consumer that a stage before has patched, what was stored then keeps them: it has no patch.
        """
        consumer = self._pruned.adapter.consumer(site)
        if channels is not None and consumer in self._parked:
            _, parameters = self._parked[consumer]
            self._parked[consumer] = "pruned", parameters | {"weight": parameters["weight"][:, channels.cpu()]}
            return
        bias = {} if unrepaired.bias is None else {"bias": unrepaired.bias.cpu()}
        self._parked[consumer] = "pruned", {"weight": unrepaired.weight.cpu(), **bias}

    def attenuate(self, factor: float) -> None:
        """Attenuate the reconstructed model, see :class:`liar.models.adapter.Adapter`; the pruned one keeps its gain."""
        norm = self._pruned.adapter.last_norm()
        assert norm is not None, "only a family with a last norm has a gain"
        with resident(norm):
            self._parked[norm] = "pruned", _on_host(norm)
        self._pruned.adapter.attenuate(factor)

    @property
    def has_pruned(self) -> bool:
        """Whether parameters without a reconstruction are stored."""
        return bool(self._parked)

    @property
    def bytes(self) -> int:
        """Bytes of the pruned model and of the parameters not in use; the dense model is not counted."""
        waiting = [tensor for _, parameters in self._parked.values() for tensor in parameters.values()]
        return bytes_in_memory(self._pruned.model) + sum(tensor.nbytes for tensor in waiting)

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
        for layer, (parked, parameters) in list(self._parked.items()):
            if parked == variant:
                with resident(layer):
                    taken = _on_host(layer)
                    for name, own in list(layer.named_parameters(recurse=False)):
                        # An unrepaired consumer may have no bias where the repaired one has got one.
                        value = parameters.get(name, torch.zeros_like(own))
                        layer.register_parameter(name, nn.Parameter(value.to(own.device), requires_grad=False))
                self._parked[layer] = "pruned" if variant == "reconstructed" else "reconstructed", taken


def _on_host(layer: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().cpu() for name, parameter in layer.named_parameters(recurse=False)}
