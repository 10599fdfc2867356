"""The library never imports the page; the page answers before the heavy libraries are there."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = {"gradio", "components", "app"}


def imports(path: Path) -> Iterator[str]:
    """Top-level names of every package that a file imports, lazily or not."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("path", sorted((ROOT / "liar").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_never_imports_the_page(path: Path) -> None:
    assert not PAGE & set(imports(path))


@pytest.mark.parametrize("path", sorted((ROOT / "components").rglob("*.py")), ids=lambda path: path.name)
def test_panels_do_no_maths(path: Path) -> None:
    assert not {"torch", "numpy", "math", "scipy"} & set(imports(path))


def test_the_page_is_built_without_the_heavy_libraries() -> None:
    """A first screen within seconds: torch and transformers wait for the first run."""
    code = "import sys, app; print(sorted({'torch', 'transformers', 'datasets', 'peft'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"
