"""Make the results that ship with the page: the atlases of the demo models, and finished runs of each.

python benchmarks/shipped.py            writes liar/assets/atlases and liar/assets/runs (about 25 minutes on two cores)
python benchmarks/shipped.py atlases    or runs: one of the two; run it again when a default of PruneSpec changes
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from liar.cli.startup import quiet_libraries, settle_threads

settle_threads()
quiet_libraries()
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for the panels, which are no installed package

from components.prompts import preset_prompts
from components.recipe import default_spec
from liar import PruneSpec, load_model
from liar.events import Finished
from liar.explore.atlas_store import SHIPPED_ATLASES, AtlasStore
from liar.jobs.draw_atlas import atlas_steps
from liar.jobs.pipeline import stream
from liar.presets import PRESETS
from liar.progress import finish
from liar.report.sentences import verdict
from liar.store import SHIPPED_RUNS, RunStore
from liar.tasks.registry import questions, usual_tasks

SPECS = (
    default_spec(),
    *(
        PruneSpec(model=preset.id, targets="both", evaluate=usual_tasks(preset.adapter))
        for preset in PRESETS
        if preset.adapter is not None
    ),
)
"""Recipe of each demo model with a task; an atlas of each is shipped."""

ASKED = default_spec().model_copy(update={"evaluate": (*default_spec().evaluate, *(task.name for task in questions()))})
"""The language model answers questions as well, which takes too long to be the default."""


def draw_atlases() -> None:
    SHIPPED_ATLASES.mkdir(exist_ok=True)
    for old in SHIPPED_ATLASES.glob("*.npz"):
        old.unlink()
    for spec in SPECS:
        atlas = finish(atlas_steps(load_model(spec.model), spec))
        path = AtlasStore(SHIPPED_ATLASES).save(atlas)
        print(f"{path.name}: {spec.model}, {path.stat().st_size / 1e6:.1f} MB, {atlas.facts.seconds:.0f} s", flush=True)


def finish_runs() -> None:
    for old in SHIPPED_RUNS.glob("*.json"):
        old.unlink()
    store = RunStore(SHIPPED_RUNS)
    for spec in (*SPECS, ASKED):
        start = time.perf_counter()
        for event in stream(spec, load_model(spec.model), prompts=preset_prompts(spec.model)):
            if isinstance(event, Finished):
                path = store.save(event.result)
                print(f"{path.name}, {time.perf_counter() - start:.0f} s: {verdict(event.result)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="?", choices=("atlases", "runs"))
    only = parser.parse_args().only
    if only != "runs":
        draw_atlases()
    if only != "atlases":
        finish_runs()


if __name__ == "__main__":
    main()
