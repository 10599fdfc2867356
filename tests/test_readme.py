"""Benchmark tables of README and docs: each names its machine, commit and command. The front matter configures a Space."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import SpaceCard
from packaging.requirements import Requirement
from rich.table import Table

from benchmarks import readme

STUDY = readme.ROOT / "docs" / "study"
SECTION = re.compile(r"<!-- (\w+) -->\n(.*?)<!-- /\1 -->", flags=re.DOTALL)
LINE = re.compile(
    r"<sub>(.+), (\d+) cores, (.+) · commit ([0-9a-f]{7,})( with changes)? · `python (benchmarks/\w+\.py) .*`(, [\w ]+)?</sub>"
)
SECTIONS = {name: text for page in readme.pages() for name, text in SECTION.findall(page.read_text(encoding="utf-8"))}


def test_every_benchmark_table_is_between_markers() -> None:
    quality = {"smollm2", "default", "tasks", "layers", "shape", "heads", "minilm", "repairs", "int8", "peers"}
    choices = {"defaults", "mixes", "ridge", "corrective", "tokens", "attenuation"}
    large, study = (
        {"scaling", "equal", "gpu", "paper"},
        {path.stem for path in STUDY.glob("*.md")} - {"values"} | {"time"},
    )
    families = {
        "families",
        "intercept",
        "self_check",
        "embedder_cost",
        "embedder_losses",
        "embedder_recipes",
        "runtimes_classifier",
        "runtimes_embedder",
        "runtimes_writer",
        "budget_88",
        "budget_80",
        "budget_70",
        "budget_minilm",
        "shapes",
        "vocabulary",
    }
    assert set(SECTIONS) == quality | choices | families | {"saved", "cost", "page"} | large | study


@pytest.mark.parametrize("name", SECTIONS)
def test_a_table_ends_with_machine_commit_and_command(name: str) -> None:
    found = LINE.fullmatch(SECTIONS[name].rstrip().splitlines()[-1])
    assert found is not None
    script = readme.ROOT / found[6]
    assert script.is_file()
    assert "--write" in found[0] or found[7], "else it says which rows were not made"
    is_part = script.stem == "study" and (script.parent / "parts" / f"{name}.py").is_file()
    assert is_part or f'"{name}"' in script.read_text(encoding="utf-8"), "this script writes this section"


def test_the_row_of_the_vocabulary_is_that_of_its_table() -> None:
    pages = [(readme.ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/results/budgets.md")]
    row = next(
        line for line in pages[0].splitlines() if line.startswith("| half of heads and neurons, 16,000 of 30,522")
    )
    figures = [cell.strip() for cell in row.split("|")][2:-1]
    table = next(line for line in pages[1].splitlines() if line.startswith("| 16,000 of 30,522 | 50%"))
    assert set(figures) <= {cell.strip() for cell in table.split("|")}


@pytest.mark.parametrize("name", sorted(path.stem for path in (readme.ROOT / "benchmarks").glob("*.py")))
def test_every_script_can_be_started(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(readme.ROOT / "benchmarks"))
    importlib.import_module(name)


@pytest.mark.skipif(not (readme.ROOT / ".git").exists(), reason="no repository of git")
def test_what_is_written_states_where_it_is_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "README.md"
    target.write_text("before\n<!-- one -->\nold\n<!-- /one -->\n<!-- two -->\nkept\n<!-- /two -->\n")
    monkeypatch.setattr(readme, "pages", lambda: [target])
    monkeypatch.setattr(sys, "argv", [str(readme.ROOT / "benchmarks" / "cost.py"), "--repeat", "1", "--write"])
    readme.write("one", "| new |\n\n")
    written = target.read_text()
    assert written.startswith("before\n<!-- one -->\n| new |\n\n<sub>")
    assert written.endswith("</sub>\n<!-- /one -->\n<!-- two -->\nkept\n<!-- /two -->\n")
    found = LINE.fullmatch(dict(SECTION.findall(written))["one"].splitlines()[-1])
    assert found is not None
    assert written.count("`python benchmarks/cost.py --repeat 1 --write`") == 1
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=readme.ROOT, capture_output=True, text=True, check=True)
    assert head.stdout.startswith(found[4])
    with pytest.raises(SystemExit, match="three"):
        readme.write("three", "")


def test_a_table_of_rich_becomes_a_block_of_code() -> None:
    table = Table("part", "seconds", box=None)
    table.add_row("paint", "1.5")
    lines = readme.plain(table, "a title").splitlines()
    assert lines[:2] == ["```", "a title"]
    assert [line.split() for line in lines[2:]] == [["part", "seconds"], ["paint", "1.5"], ["```"]]
    assert all(line == line.rstrip() for line in lines)


def test_the_file_that_a_space_starts_exists() -> None:
    space = SpaceCard.load(readme.ROOT / "README.md", ignore_metadata_errors=False).data
    assert space.sdk == "gradio"
    assert (readme.ROOT / space.app_file).is_file()
    assert len(space.short_description) <= 60
    requirements = map(Requirement, (readme.ROOT / "requirements.txt").read_text().split("\n", 1)[1].split())
    gradio = next(item for item in requirements if item.name == "gradio")
    assert gradio.specifier.contains(space.sdk_version)
