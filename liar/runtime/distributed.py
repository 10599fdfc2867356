"""Processes that share a calibration text: each reads its part of the batches, and all end with the same bits.

What they have read is added up by collectives of torch.distributed, so any launcher that it knows will do (torchrun,
accelerate). Without a process group a process has everything to itself, and nothing here does anything.

>>> from liar.runtime.distributed import is_first, processes
>>> processes(), is_first()
(1, True)
"""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from time import monotonic, sleep
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from liar.errors import CalibrationError, ProcessError
from liar.runtime.devices import Batch

PATIENCE = timedelta(hours=6)
"""Longest wait for another process. One that ends is noticed at once; the first process measures while the others wait."""

_A_WORD = timedelta(seconds=10)
"""Longest wait for the sentence of another process that has failed."""

_A_MOMENT = timedelta(seconds=3)
"""Longest wait of the first process, once it has failed, for others that fail for the same reason."""

_ENDED = "This run was stopped, or another process of it has ended without a word; see what ended it, and start again."


def processes() -> int:
    """Number of processes that share the work."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def processes_here() -> int:
    """Number of them on this machine, as their launcher has it."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if processes() > 1 else 1


def is_first() -> bool:
    """Whether this process measures, prints and saves."""
    return processes() == 1 or dist.get_rank() == 0


def is_own(piece: int) -> bool:
    """Whether this process does the work on the ``piece`` of this number."""
    return processes() == 1 or piece % processes() == dist.get_rank()


# -- the text ----------------------------------------------------------------------------------------------------------


def shares(batches: Sequence[Batch]) -> list[Batch]:
    """The batches that this process reads: every n-th of them for n processes, or of their sequences if there are fewer.

    A batch stays whole, since the last bits of a product depend on its shape. Raises :class:`CalibrationError` if the text
    has fewer sequences than there are processes, or is not the same for all.
    """
    if processes() == 1:
        return list(batches)
    sequences = sum(len(batch["input_ids"]) for batch in batches)
    if sequences < processes():
        raise CalibrationError(
            f"The {processes()} processes have {sequences} sequences of calibration text to share; start as many processes "
            "as there are sequences, or fewer, or take more tokens."
        )
    content = b"".join(batch[name].cpu().numpy().tobytes() for batch in batches for name in sorted(batch))
    if len(set(_of_all(hashlib.sha256(content).digest()))) > 1:
        raise CalibrationError(
            "The processes have read different calibration texts; give each of them the same files, data and seed."
        )
    if len(batches) < processes():
        batches = [
            {name: tensor[place : place + 1] for name, tensor in batch.items()}
            for batch in batches
            for place in range(len(batch["input_ids"]))
        ]
    return list(batches[dist.get_rank() :: processes()])


# -- collectives -------------------------------------------------------------------------------------------------------


def summed(tensor: Tensor) -> Tensor:
    """The sum of ``tensor`` over all processes, the same bits in each, in its place."""
    if processes() > 1:
        with _others_may_end():
            dist.all_reduce(tensor)
    return tensor


def gathered(rows: Tensor) -> Tensor:
    """The ``rows`` (n, ...) of all processes, one process after the other; n may differ."""
    if processes() == 1:
        return rows
    lengths = torch.zeros(processes(), dtype=torch.int64, device=rows.device)
    lengths[dist.get_rank()] = len(rows)
    longest = int(summed(lengths).max())
    padded = torch.cat([rows, rows.new_zeros(longest - len(rows), *rows.shape[1:])])
    found = [torch.empty_like(padded) for _ in range(processes())]
    with _others_may_end():
        dist.all_gather(found, padded)
    return torch.cat([part[:length] for part, length in zip(found, lengths.tolist(), strict=True)])


def everywhere(holds: bool) -> bool:
    """Whether something holds in every process, so that all of them go the same way."""
    return int(summed(torch.tensor(int(not holds)))) == 0


def _of_all(known: Any) -> list[Any]:
    """What each process knows."""
    found: list[Any] = [None] * processes()
    with _others_may_end():
        dist.all_gather_object(found, known)
    return found


@contextmanager
def _others_may_end() -> Iterator[None]:
    """Turn the failure of a collective, whose other end is gone, into :class:`ProcessError`."""
    try:
        yield
    except (RuntimeError, EOFError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise ProcessError(_ENDED) from error


# -- joining -----------------------------------------------------------------------------------------------------------


class Group:
    """The processes that were launched with this one."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def settle(self, versions: Mapping[str, str]) -> None:
        """Give this process a GPU of its own, if there are any, and see that all have the same ``versions``, so that all
        decide the same.

        Raises :class:`ProcessError`.
        """
        if torch.cuda.is_available():
            own, there_are = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
            if own >= there_are:
                raise ProcessError(
                    f"This machine has {there_are} GPUs, too few for process {own + 1}; start one process for each."
                )
            torch.cuda.set_device(own)
        known = _of_all(dict(versions))
        for name in versions:
            found = " and ".join(sorted({each.get(name, "nothing") for each in known}))
            if found != versions[name]:
                raise ProcessError(
                    f"The processes differ in {name} ({found}), so they may not decide the same; start them alike."
                )

    def fail(self, say: Callable[[], None]) -> None:
        """Report that this process fails: call ``say``, or wait until another one that failed before has said why.

        A launcher stops all processes as soon as one has ended.
        """
        with suppress(RuntimeError):  # the process that kept count may have ended
            if self._store.add("failures", 1) > 1:
                self._store.wait(["said"], _A_WORD)
                return
        say()
        with suppress(RuntimeError, ProcessError):  # the launcher may stop this one meanwhile
            self._store.set("said", "")
            until = monotonic() + _A_MOMENT.total_seconds()
            while is_first() and self._store.add("failures", 0) < processes() and monotonic() < until:
                sleep(0.05)  # this process keeps the count, which others that fail as well ask for


@contextmanager
def joined() -> Iterator[Group]:
    """Join the processes that were launched with this one, for the time of the context.

    The launcher has set RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT. If it stops this process,
    :class:`ProcessError` is raised in the context.
    """
    from torch.distributed import PrefixStore  # type: ignore[attr-defined]
    from torch.distributed.rendezvous import rendezvous

    store, rank, world = next(rendezvous("env://", timeout=PATIENCE))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, store=PrefixStore("group", store), rank=rank, world_size=world, timeout=PATIENCE)
    before = signal.signal(signal.SIGTERM, _stopped)
    try:
        yield Group(store)
    finally:
        signal.signal(signal.SIGTERM, before)
        dist.destroy_process_group()


def _stopped(_number: int, _frame: object) -> None:
    raise ProcessError(_ENDED)
