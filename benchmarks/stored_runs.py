"""The finished runs that ship with the page, done for real.

python benchmarks/stored_runs.py     writes assets/runs/*.json; run it again when a default of PruneSpec changes
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for the panels, which are no installed package

from components.prompts import preset_prompts
from components.recipe import default_spec
from liar import PruneSpec, run
from liar.store import SHIPPED_RUNS, RunStore
from liar.words import verdict

SPECS = (
    default_spec(),
    PruneSpec(model="demo/minilm-sentiment", targets="both", evaluate=("sentiment",)),
    PruneSpec(model="demo/minilm-topic", targets="both", evaluate=("topic",)),
)


def main() -> None:
    for old in SHIPPED_RUNS.glob("*.json"):
        old.unlink()
    store = RunStore(SHIPPED_RUNS)
    for spec in SPECS:
        result = run(spec, prompts=preset_prompts(spec.model))
        print(f"{store.save(result).name}: {verdict(result)}", flush=True)


if __name__ == "__main__":
    main()
