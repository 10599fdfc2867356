"""Where a run happened, and what a machine's own failures mean."""

from __future__ import annotations

import errno
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version

import torch
from torch import nn

from liar._version import __version__
from liar.errors import InsufficientMemoryError, StorageError
from liar.models.adapter import execution_device


def describe(model: nn.Module) -> dict[str, str]:
    """Versions, device and dtype that a figure depends on."""
    device = execution_device(model)
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "liar": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "device": str(device),
        "device_name": name,
        "dtype": dtype,
        "threads": str(torch.get_num_threads()),
    }


def is_same_machine(first: Mapping[str, str], second: Mapping[str, str]) -> bool:
    """Whether times of the two :func:`describe` the same device, precision and number of threads."""
    return all(first.get(name) == second.get(name) for name in ("device", "device_name", "dtype", "threads"))


@contextmanager
def readable_failures() -> Iterator[None]:
    """Turn a full memory or a full disk into the error that says what to do."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise InsufficientMemoryError(_OUT_OF_MEMORY) from error
    except RuntimeError as error:
        if "can't allocate memory" in str(error):  # how the CPU allocator says it
            raise InsufficientMemoryError(_OUT_OF_MEMORY) from error
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError("The disk is full; free some space and run again.") from error
        raise


_OUT_OF_MEMORY = (
    "Memory ran out; take fewer calibration tokens or a shorter sequence length, the one-shot schedule with uniform "
    "allocation, or a smaller model."
)
