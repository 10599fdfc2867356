"""The architecture: which room may import which, and which may load torch. A folder of ``liar`` is a room."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

ROOMS = (
    "liar.errors",
    "liar.tasks",  # what can be measured: tasks, metrics, texts and splits
    "liar",  # the other nouns of the project: spec, results, events, stores
    "liar.statistics",  # comparisons of results
    "liar.explore",  # forecasts, allocations and atlases, without torch
    "liar.report",  # results as sentences, tables and charts
    "liar.course",  # lessons as data, and the site made of them
    "liar.maths",  # pure functions of tensors
    "liar.runtime",  # devices, memory and processes
    "liar.models",
    "liar.loading",
    "liar.data",
    "liar.calibration",
    "liar.evaluate",
    "liar.jobs",
    "liar.save",
    "liar.export",  # the formats of other runtimes
    "liar.cli",
    "server",  # the queue of jobs, the models in memory, and the HTTP around Gradio
    "components.shared",
    "components.takeaway",
    "components.rail",
    "components.layers",
    "components.measured",
    "components.tradeoff",
    "components",  # the wiring
    "app",
)
"""From the lowest up: a room imports only itself and those before it, lazily or not; imports for type checking are free."""

HEAVY_ROOMS = ROOMS[ROOMS.index("liar.maths") : ROOMS.index("liar.cli")]
"""Rooms that no other loads at module level, so that the page and ``--help`` start at once."""
HEAVY_LIBRARIES = frozenset(
    {"torch", "transformers", "datasets", "accelerate", "peft", "torchmetrics", "torchao", "gguf", "lm_eval"}
    | {"onnx", "onnxruntime", "openvino", "nncf"}
)

FACADES = frozenset({"liar", "liar.__main__", "liar.moments", "liar.reconstruct"})
"""Public names and the entry of the program: modules of the lowest room that import from rooms above it."""

MOST_MODULES = 14
"""Largest number of modules directly in a folder of the source."""

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in [
        *(ROOT / "liar").rglob("*.py"),
        *(ROOT / "server").rglob("*.py"),
        *(ROOT / "components").rglob("*.py"),
        ROOT / "app.py",
    ]
}


@cache
def imports(path: Path) -> tuple[tuple[str, bool], ...]:
    """Every module or name that a file imports, and whether at module level; imports for type checking are left out."""
    return tuple(_imports(ast.parse(path.read_text(encoding="utf-8")), at_module_level=True))


def _imports(node: ast.AST, *, at_module_level: bool) -> Iterator[tuple[str, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from ((alias.name, at_module_level) for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield from ((f"{child.module}.{alias.name}", at_module_level) for alias in child.names)
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _imports(child, at_module_level=at_module_level and not inside)


def module_of(name: str) -> str | None:
    """The module of this project that has the imported name, or is that name."""
    while name:
        if name in MODULES:
            return name
        name = name.rpartition(".")[0]
    return None


@cache
def room_of(module: str) -> str:
    return max((room for room in ROOMS if module == room or module.startswith(f"{room}.")), key=len)


def used(module: str) -> set[str]:
    """The other modules of this project that a module imports, facades left out."""
    return {known for name, _ in imports(MODULES[module]) if (known := module_of(name))} - FACADES - {module}


@pytest.mark.parametrize("module", sorted(MODULES.keys() - FACADES))
def test_a_room_imports_only_rooms_below_it(module: str) -> None:
    assert not {name for name in used(module) if ROOMS.index(room_of(name)) > ROOMS.index(room_of(module))}


@pytest.mark.parametrize("module", sorted(name for name in MODULES if name.startswith("liar")))
def test_the_library_never_imports_the_page(module: str) -> None:
    assert "gradio" not in {name.split(".")[0] for name, _ in imports(MODULES[module])}


@pytest.mark.parametrize(
    "module", sorted(name for name in MODULES if room_of(name) not in HEAVY_ROOMS and name not in FACADES)
)
def test_a_light_room_loads_nothing_heavy(module: str) -> None:
    eager = {name for name, at_module_level in imports(MODULES[module]) if at_module_level}
    assert not {name for name in eager if name.split(".")[0] in HEAVY_LIBRARIES}
    assert not {name for name in eager if (known := module_of(name)) and room_of(known) in HEAVY_ROOMS}


def test_there_is_no_import_cycle() -> None:
    try:
        TopologicalSorter({module: used(module) for module in MODULES}).prepare()
    except CycleError as circle:
        pytest.fail(" <- ".join(circle.args[1]))


@pytest.mark.parametrize("folder", sorted({path.parent for path in MODULES.values()} - {ROOT}), ids=str)
def test_a_folder_is_seen_at_a_glance(folder: Path) -> None:
    modules = [path.stem for path in folder.glob("*.py") if path.stem != "__init__"]
    assert len(modules) <= MOST_MODULES, sorted(modules)


def test_a_file_name_occurs_once_in_the_library() -> None:
    """But for the public names of :data:`FACADES`, which are those of what they give."""
    stems = [path.stem for name, path in MODULES.items() if name.startswith("liar.") and name not in FACADES]
    twice = {stem for stem in stems if stem != "__init__" and stems.count(stem) > 1}
    assert not twice


@pytest.mark.parametrize("path", sorted((ROOT / "components").rglob("*.py")), ids=lambda path: path.name)
def test_panels_do_no_maths(path: Path) -> None:
    assert not {"torch", "numpy", "math", "scipy"} & {name.split(".")[0] for name, _ in imports(path)}


def test_the_page_is_built_without_the_heavy_libraries() -> None:
    """The first screen must appear within seconds; torch and transformers are loaded by the first run."""
    code = "import sys, app; print(sorted({'torch', 'transformers', 'datasets', 'peft'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"
