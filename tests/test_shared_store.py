"""Two processes share the folders of runs and atlases: no loss, no partial reads, and deletion takes effect in both."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from liar.explore.atlas_store import AtlasStore
from liar.spec import PruneSpec
from liar.store import RunStore
from tests.fakes import language_run

ROOT = Path(__file__).resolve().parents[1]
EACH, COMMON = 30, 10

_PROCESS = f"""
import logging, sys, time
from pathlib import Path
from liar.explore.atlas_store import AtlasStore
from liar.spec import PruneSpec
from liar.store import RunStore
from tests.fake_atlas import tiny_atlas
from tests.fakes import language_run

logging.basicConfig(level=logging.WARNING)  # a file read half-written would log a warning
folder, name = Path(sys.argv[1]), int(sys.argv[2])
runs = RunStore(folder / "runs", shipped=folder / "none")
atlases = AtlasStore(folder / "atlases", shipped=folder / "none", in_memory=1)
(folder / f"ready-{{name}}").touch()
while not (folder / f"ready-{{1 - name}}").exists():
    time.sleep(0.01)
seen = 0
for number in range({EACH}):
    runs.save(language_run(seed=1000 * (name + 1) + number))
    runs.save(language_run(seed=number % {COMMON}))
    atlases.save(tiny_atlas(PruneSpec(seed=number % {COMMON})))
    assert runs.load(language_run(seed=number % {COMMON}).spec.key) is not None
    assert atlases.find(PruneSpec(seed=number % {COMMON})) is not None
    now = len(runs.summaries())
    assert now >= seen, (now, seen)
    seen = now
print(seen)
"""


def test_two_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _PROCESS, str(tmp_path)]
    processes = [
        subprocess.Popen([*command, str(name)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for name in (0, 1)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        assert not errors
    store = RunStore(tmp_path / "runs", shipped=tmp_path / "none")
    seeds = {run.spec.seed for run in store.runs()}
    assert seeds == {*range(COMMON), *range(1000, 1000 + EACH), *range(2000, 2000 + EACH)}
    assert {path.suffix for folder in ("runs", "atlases") for path in (tmp_path / folder).iterdir()} == {
        ".json",
        ".npz",
    }
    atlases = AtlasStore(tmp_path / "atlases", shipped=tmp_path / "none")
    assert all(atlases.find(PruneSpec(seed=seed)) for seed in range(COMMON))


def test_what_one_process_deletes_is_gone_for_the_other(tmp_path: Path) -> None:
    ours = RunStore(tmp_path / "runs", shipped=tmp_path / "none")
    run = language_run()
    ours.save(run)
    assert [item.spec for item in ours.summaries()] == [run.spec]
    theirs = (
        "import sys; from pathlib import Path; from liar.store import RunStore; "
        "RunStore(Path(sys.argv[1])).delete(sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", theirs, str(ours.folder), run.spec.key], check=True, cwd=ROOT, timeout=60)
    assert ours.load(run.spec.key) is None
    assert ours.summaries() == []
