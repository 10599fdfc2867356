"""Choice of device, precision and placement of the weights, with errors for a model that does not fit."""

from __future__ import annotations

import ctypes
import sys
from typing import Literal

import psutil
import torch

from liar.errors import InsufficientMemoryError, InvalidSpecError
from liar.runtime.distributed import processes_here


def choose_device(device: str) -> torch.device:
    """Device by name; ``auto`` is CUDA, then MPS, then CPU. Raises :class:`InvalidSpecError` for a missing device."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        present = {
            "cpu": True,
            "cuda": (chosen.index or 0) < torch.cuda.device_count(),
            "mps": torch.backends.mps.is_available(),
        }.get(chosen.type, False)
    except RuntimeError:
        present = False
    if not present:
        raise InvalidSpecError(f"This machine has no device {device!r}; choose auto or cpu.")
    return chosen


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Dtype by name; ``auto`` is float32 on CPU, bfloat16 on CUDA if supported, else float16.

    Raises :class:`InvalidSpecError` for an unknown name.
    """
    if dtype == "auto":
        if device.type == "cpu":
            return torch.float32
        if device.type == "cuda" and torch.cuda.is_bf16_supported():
            return torch.bfloat16
        return torch.float16
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype not in known:
        raise InvalidSpecError(f"There is no dtype {dtype!r}; choose one of: auto, {', '.join(known)}.")
    return known[dtype]


def free_bytes(device: torch.device) -> int:
    """Bytes that new tensors on ``device`` may take, including memory that torch holds for reuse.

    Several processes of one machine have equal parts of its host memory.
    """
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    return int(psutil.virtual_memory().available) // processes_here()


def release_freed() -> None:
    """Give memory that was freed back to the system: glibc keeps it if it is in pieces, and what comes next adds to it."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)


def check_room(needed: int, device: torch.device) -> None:
    """Raise :class:`InsufficientMemoryError` if ``needed`` bytes, for a model's copy and its work, are not free."""
    if needed > (free := free_bytes(device)):
        raise InsufficientMemoryError(
            f"A copy of the model and the work on it need about {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are "
            "free; choose a smaller model, fewer calibration tokens, or a criterion and an allocation without a backward pass."
        )


def place(parameters: int, dtype: torch.dtype, device: torch.device, working: int) -> Literal["resident", "streamed"]:
    """Placement of the weights: on ``device`` if ``working`` bytes are left beside them, else streamed from the host.

    ``working`` comes from :func:`liar.runtime.memory.working_bytes`. Raises :class:`InsufficientMemoryError` if the host
    is too small as well.
    """
    size = parameters * dtype.itemsize
    host = free_bytes(torch.device("cpu"))
    if device.type != "cpu":
        if size + working <= free_bytes(device):
            return "resident"
        if size <= host:
            return "streamed"
        working = 0  # the work is done on the device, not on the host
    elif size + working <= host:
        return "resident"
    fits = parameters * host / (size + working) / 1e9
    halves = "" if dtype.itemsize == 2 else f" (or {2 * fits:.1f} billion with dtype bfloat16)"
    beside = f" and the work on them about {working / 1e9:.1f} GB" if working else ""
    raise InsufficientMemoryError(
        f"The weights need {size / 1e9:.1f} GB of memory{beside}, and {host / 1e9:.1f} GB are free; a model of about "
        f"{fits:.1f} billion parameters would fit{halves}."
    )
