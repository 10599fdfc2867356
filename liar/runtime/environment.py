"""Description of the machine of a run, and readable errors for a full memory or disk."""

from __future__ import annotations

import errno
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version

import torch
from torch import nn

from liar import __version__
from liar.errors import InsufficientMemoryError, StorageError
from liar.runtime.devices import execution_device
from liar.runtime.distributed import processes


def describe(model: nn.Module) -> dict[str, str]:
    """Versions, device and dtype on which the figures of a run depend."""
    device = execution_device(model)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "liar": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "device": str(device),
        "device_name": name,
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
        "threads": str(torch.get_num_threads()),
        "processes": str(processes()),
    }


def versions() -> dict[str, str]:
    """What has to be the same for two processes to compute the same bits."""
    return {
        "liar": __version__,
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "kind of processor": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
    }


def is_same_machine(first: Mapping[str, str], second: Mapping[str, str]) -> bool:
    """Whether two results of :func:`describe` have the same device, dtype, threads and processes, so that times compare."""
    alone = {"processes": "1"}  # results of before there were several
    names = ("device", "device_name", "dtype", "threads", "processes")
    return all((alone | dict(first)).get(name) == (alone | dict(second)).get(name) for name in names)


@contextmanager
def readable_failures() -> Iterator[None]:
    """Turn a full memory or disk into :class:`InsufficientMemoryError` or :class:`StorageError` with advice."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        is_named = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not is_named and "can't allocate memory" not in str(error):  # message of the CPU allocator
            raise
        raise InsufficientMemoryError(
            "Memory ran out; take fewer calibration tokens or a shorter sequence length, the one-shot schedule with uniform "
            "allocation, or a smaller model."
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError("The disk is full; free some space and run again.") from error
        raise
