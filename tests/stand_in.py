"""A simulated device: its tensors compute on the host, and refuse what a real accelerator refuses.

Host tensors must not be mixed with device tensors (scalars and indices excepted, as in PyTorch). Device tensors cannot become
arrays. On "mps" they can neither hold fp64 nor be factorised, as in the oldest supported releases of PyTorch. So code that
moves too few tensors, or in the wrong order, fails on a machine without an accelerator too.
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
    """A tensor that reports ``target`` as its device; its data, ``held``, is on the host."""

    held: Tensor
    target: torch.device

    @staticmethod
    def __new__(cls, held: Tensor, target: torch.device) -> DeviceTensor:
        if target.type == "mps" and held.dtype == torch.float64:
            raise TypeError(_NO_DOUBLE)
        made = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device="meta",  # PyTorch has no kernels for a device that the machine lacks
            requires_grad=held.requires_grad,
        )
        made.held = held.detach()
        made.target = target
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self.target

    def numpy(self, **_: Any) -> Any:  # type: ignore[override]
        raise TypeError(f"can't convert {self.target} device type tensor to numpy.")

    def tolist(self) -> Any:
        return self.held.tolist()

    def __repr__(self, **_: Any) -> str:
        return f"DeviceTensor({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


class _Factories(TorchDispatchMode):
    """Mode for factory functions: they have no argument on the device that would dispatch to it."""

    def __init__(self, target: torch.device) -> None:
        super().__init__()
        self.target = target

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {}, self.target)


def _compute(func: Any, args: Any, kwargs: dict[str, Any], made_on: torch.device | None = None) -> Any:
    flat, structure = tree_flatten((args, kwargs))
    tensors = [item for item in flat if isinstance(item, Tensor)]
    present = [item for item in tensors if isinstance(item, DeviceTensor)]
    target = present[0].device if present else None
    asked = kwargs.get("device")
    asked = None if asked is None else torch.device(asked)
    if made_on is not None and asked is not None and asked.type == "meta":
        asked = made_on  # made inside PyTorch, next to a tensor of the device
    if target is None and (asked is None or made_on is None or asked.type != made_on.type):
        return func(*args, **kwargs)
    name = func._schema.name
    if target is not None and name not in _TAKES_HOST_TENSORS:
        looked_at = tensors if name not in _TAKES_HOST_INDICES or not isinstance(args[0], DeviceTensor) else args[:1]
        for item in looked_at:
            if not isinstance(item, DeviceTensor) and item.dim() > 0:
                raise RuntimeError(
                    f"Expected all tensors to be on the same device, but {name} found {target} and {item.device}."
                )
    from_mps = target is not None and target.type == "mps"
    if from_mps and name.removeprefix("aten::").startswith(_FACTORISATIONS):
        raise NotImplementedError(f"The operator '{name}' is not currently implemented for the MPS device.")
    goes_to = asked or target
    held = [item.held if isinstance(item, DeviceTensor) else item for item in flat]
    held_args, held_kwargs = tree_unflatten(held, structure)
    if asked is not None:
        held_kwargs["device"] = torch.device("cpu")
    if from_mps and name == "aten::_to_copy" and held_kwargs.get("dtype") == torch.float64:
        raise TypeError(_NO_DOUBLE)
    found = func(*held_args, **held_kwargs)
    written = [index for index, argument in enumerate(func._schema.arguments) if _is_written(argument)]
    if written and len(func._schema.returns) == 1:  # in place: return the argument that was written
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
    """Inside the context, tensors can be made on the yielded device, and models moved to it by :func:`moved`."""
    target = torch.device(kind, 0)
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=...) makes its tensor on the host and moves it
    try:
        with _Factories(target):
            yield target
    finally:
        torch._C._set_only_lift_cpu_tensors(before)


def moved(model: nn.Module, target: torch.device) -> nn.Module:
    """``model`` with every parameter and buffer on ``target``; shared weights stay shared."""
    seen: dict[int, Any] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                if id(parameter) not in seen:
                    tensor = DeviceTensor(parameter.detach(), target)
                    seen[id(parameter)] = nn.Parameter(tensor, requires_grad=parameter.requires_grad)
                module._parameters[name] = seen[id(parameter)]
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = DeviceTensor(buffer, target)
    return model
