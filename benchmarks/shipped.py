"""Make the results that ship with the page: the atlases of the demo models, and finished runs of each at 10 to 90 %.

python benchmarks/shipped.py            writes liar/assets/atlases and liar/assets/runs (some hours on two cores)
python benchmarks/shipped.py atlases    or runs: one of the two; a run that is there already is kept
python benchmarks/shipped.py --anew     all again, for a default of PruneSpec that has changed
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Container, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for the panels, which are no installed package

from figures import tenths_of

from components.openings import OPENINGS, STORIES
from components.rail.recipe import default_of, default_spec
from components.shared.job_bodies import preset_prompts
from liar import load_model
from liar.explore.atlas import AtlasKey
from liar.explore.atlas_store import SHIPPED_ATLASES, AtlasStore
from liar.jobs.draw_atlas import atlas_steps
from liar.jobs.sweep import sweep_steps
from liar.presets import MINILM, PRESETS
from liar.progress import finish
from liar.report.words.sentences import verdict
from liar.results import RunResult
from liar.spec import SweepSpec, Targets
from liar.store import SHIPPED_RUNS, RunStore
from liar.tasks.prompts import QUESTIONS
from liar.tasks.registry import questions

SPECS = (default_spec(), *(default_of(preset.id) for preset in PRESETS if preset.weights is MINILM))
"""Recipe of each demo model with a task; an atlas of each is shipped."""

OTHERS: dict[Targets, tuple[Targets, ...]] = {"ffn": ("heads", "both"), "both": ("ffn",)}
"""Further targets, by the usual ones of a model."""

ASKED = default_spec().model_copy(update={"evaluate": (*default_spec().evaluate, *(task.name for task in questions()))})
"""The language model answers questions as well, which takes too long to be the default."""

COMPARED = tuple(default_spec().model_copy(update={"allocation": name}) for name in ("uniform", "error-curve"))
"""A lesson compares what other allocations do to the language model."""

SHORTER = SweepSpec(base=default_spec().model_copy(update={"targets": "layers"}), ratios=(0.1, 0.2, 0.3, 0.4))
"""Whole layers of the language model: no other has a place for their patch."""

WRITER = OPENINGS["Write an answer"]
"""It answers all of :data:`liar.tasks.prompts.QUESTIONS`, so that the page can count what the repair mends."""

CLAIMED = (
    default_of("demo/smollm2-135m").model_copy(update={"calibration": "films"}),
    default_of("demo/minilm-match").model_copy(update={"reconstruction": "bias"}),
    default_of("demo/minilm-match").model_copy(update={"tokens": 4_096}),
    default_of("demo/minilm-sentiment").model_copy(update={"quantize": "int8"}),
)
"""What the page of findings shows beside the defaults: text of another kind, a bias alone, little text,
int8 copies."""

SWEEPS = (
    SweepSpec(base=WRITER, ratios=(WRITER.ratio,)),
    *(SweepSpec(base=spec, ratios=(spec.ratio,)) for spec in STORIES.values()),
    *(SweepSpec(base=spec, ratios=tenths_of(spec.model, spec.targets)) for spec in SPECS),
    SweepSpec(base=ASKED, ratios=(ASKED.ratio,)),
    *(SweepSpec(base=spec, ratios=(spec.ratio,)) for spec in (*COMPARED, *CLAIMED)),
    *(
        SweepSpec(base=spec.model_copy(update={"targets": targets}), ratios=tenths_of(spec.model, targets))
        for spec in SPECS
        for targets in OTHERS[spec.targets]
    ),
    SHORTER,
)
"""All runs that are shipped."""


def draw_atlases(anew: bool) -> None:
    _clear(SHIPPED_ATLASES, set() if anew else {AtlasKey.of(spec).digest for spec in SPECS})
    store = AtlasStore(SHIPPED_ATLASES)
    for spec in SPECS:
        if store.find(spec) is None:
            path = store.save(finish(atlas_steps(load_model(spec.model), spec)))
            print(f"{path.name}: {spec.model}, {path.stat().st_size / 1e6:.1f} MB", flush=True)


def finish_runs(anew: bool, models: Sequence[str]) -> None:
    _clear(SHIPPED_RUNS, set() if anew else {spec.key for sweep in SWEEPS for spec in sweep.specs})
    with TemporaryDirectory() as folder:
        store = RunStore(Path(folder))
        for sweep in SWEEPS:
            model = sweep.base.model
            missing = [spec for spec in sweep.specs if store.find(spec) is None]
            if not missing or (models and model not in models):
                continue
            prompts = [*QUESTIONS] if sweep.base == WRITER else preset_prompts(model)
            for step in sweep_steps(sweep, load_model(model), prompts=prompts, store=store):
                if isinstance(step, RunResult) and step.spec in missing:
                    path = store.ship(step)
                    print(f"{path.name}, {path.stat().st_size / 1e3:.0f} kB: {verdict(step)}", flush=True)


def _clear(folder: Path, wanted: Container[str]) -> None:
    """Delete the files of all keys but the ``wanted`` ones."""
    for path in folder.iterdir():
        if path.name.partition(".")[0] not in wanted:
            path.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="?", choices=("atlases", "runs"))
    parser.add_argument("--anew", action="store_true")
    parser.add_argument("--models", nargs="+", default=(), choices=[spec.model for spec in SPECS], metavar="MODEL")
    arguments = parser.parse_args()
    if arguments.only != "runs":
        draw_atlases(arguments.anew)
    if arguments.only != "atlases":
        finish_runs(arguments.anew, arguments.models)


if __name__ == "__main__":
    main()
