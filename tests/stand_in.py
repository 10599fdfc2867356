"""A device that is not there: its tensors compute on the host, and refuse what a real accelerator refuses.

No tensor of the host may be mixed with one of the device (but for a single number, and for indices, as in PyTorch), none of
the device becomes an array or, on "mps", holds fp64 or is factorised (some releases of PyTorch can, the oldest supported
ones cannot). So code that moves too little, or in the wrong order, fails here too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

_NO_DOUBLE = "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."

_TAKES_HOST_TENSORS = {"aten::copy_", "aten::_to_copy"}
_FACTORISATIONS = ("linalg", "_linalg", "cholesky")
_TAKES_HOST_INDICES = {"aten::index", "aten::index_put", "aten::index_put_"}


class DeviceTensor(Tensor):
    """A tensor that says that it is on ``there``; ``held`` is on the host."""

    held: Tensor
    there: torch.device

    @staticmethod
    def __new__(cls, held: Tensor, there: torch.device) -> DeviceTensor:
        if there.type == "mps" and held.dtype == torch.float64:
            raise TypeError(
                "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."
            )
        made = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device="meta",  # PyTorch itself has no code for a device that is not there
            requires_grad=held.requires_grad,
        )
        made.held = held.detach()
        made.there = there
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self.there

    def numpy(self, **_: Any) -> Any:  # type: ignore[override]
        raise TypeError(f"can't convert {self.there} device type tensor to numpy.")

    def tolist(self) -> Any:
        return self.held.tolist()

    def __repr__(self, **_: Any) -> str:
        return f"DeviceTensor({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


class _Factories(TorchDispatchMode):
    """What is made on the device has no argument that is there."""

    def __init__(self, there: torch.device) -> None:
        super().__init__()
        self.there = there

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {}, self.there)


def _compute(func: Any, args: Any, kwargs: dict[str, Any], made_on: torch.device | None = None) -> Any:
    flat, structure = tree_flatten((args, kwargs))
    tensors = [item for item in flat if isinstance(item, Tensor)]
    present = [item for item in tensors if isinstance(item, DeviceTensor)]
    there = present[0].device if present else None
    asked = kwargs.get("device")
    asked = None if asked is None else torch.device(asked)
    if made_on is not None and asked is not None and asked.type == "meta":
        asked = made_on  # made by PyTorch itself, beside a tensor of the device
    if there is None and (asked is None or made_on is None or asked.type != made_on.type):
        return func(*args, **kwargs)
    name = func._schema.name
    if there is not None and name not in _TAKES_HOST_TENSORS:
        looked_at = tensors if name not in _TAKES_HOST_INDICES or not isinstance(args[0], DeviceTensor) else args[:1]
        for item in looked_at:
            if not isinstance(item, DeviceTensor) and item.dim() > 0:
                raise RuntimeError(
                    f"Expected all tensors to be on the same device, but {name} found {there} and {item.device}."
                )
    from_mps = there is not None and there.type == "mps"
    if from_mps and name.removeprefix("aten::").startswith(_FACTORISATIONS):
        raise NotImplementedError(f"The operator '{name}' is not currently implemented for the MPS device.")
    goes_to = asked or there
    held = [item.held if isinstance(item, DeviceTensor) else item for item in flat]
    held_args, held_kwargs = tree_unflatten(held, structure)
    if asked is not None:
        held_kwargs["device"] = torch.device("cpu")
    if from_mps and name == "aten::_to_copy" and held_kwargs.get("dtype") == torch.float64:
        raise TypeError(_NO_DOUBLE)
    found = func(*held_args, **held_kwargs)
    written = [index for index, argument in enumerate(func._schema.arguments) if _is_written(argument)]
    if written and len(func._schema.returns) == 1:  # in place: what comes back is what was handed in
        index = written[0]
        argument = func._schema.arguments[index].name
        return args[index] if index < len(args) else kwargs[argument]
    if goes_to is None or goes_to.type == "cpu":
        return found
    return tree_map(lambda item: DeviceTensor(item, goes_to) if isinstance(item, Tensor) else item, found)


def _is_written(argument: Any) -> bool:
    return argument.alias_info is not None and argument.alias_info.is_write


@contextmanager
def device_that_refuses(kind: str) -> Iterator[torch.device]:
    """Inside, tensors can be made on the device that is handed out, and models moved to it by :func:`moved`."""
    there = torch.device(kind, 0)
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=...) makes its tensor on the host and moves it
    try:
        with _Factories(there):
            yield there
    finally:
        torch._C._set_only_lift_cpu_tensors(before)


def moved(model: nn.Module, there: torch.device) -> nn.Module:
    """``model`` with every parameter and buffer on ``there``; weights that are shared stay so."""
    seen: dict[int, Any] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                if id(parameter) not in seen:
                    tensor = DeviceTensor(parameter.detach(), there)
                    seen[id(parameter)] = nn.Parameter(tensor, requires_grad=parameter.requires_grad)
                module._parameters[name] = seen[id(parameter)]
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = DeviceTensor(buffer, there)
    return model
