"""The page of ``app.py`` with only the runs in the folder of the first argument; torch is loaded at the first request
that needs it.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import app
from liar.store import RunStore

if __name__ == "__main__":
    app.RunStore = partial(RunStore, shipped=Path(sys.argv[1]))  # type: ignore[assignment, misc]
    app.warm_up = lambda: None
    app.main([])
