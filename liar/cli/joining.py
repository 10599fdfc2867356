"""Several processes of one command, launched by torchrun or accelerate: they join, and fail with one sentence."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from liar.cli.console import print_error
from liar.cli.startup import launched_processes
from liar.errors import LiarError


@contextmanager
def joined() -> Iterator[None]:
    """Join the other processes, if there are any, for the time of the context.

    Exit with code 2 after a :class:`LiarError`, whose sentence is printed; of several processes that fail the first prints its
    own, whichever it is.
    """
    if launched_processes() == 1:
        try:
            yield
        except LiarError as error:
            print_error(error)
            sys.exit(2)
        return
    from liar.runtime import distributed
    from liar.runtime.environment import versions

    with distributed.joined() as group:
        try:
            group.settle(versions())
            yield
        except LiarError as error:
            group.fail(partial(print_error, error))
            sys.exit(2)
