"""What the scripts share: threads settled before torch is loaded, a command line, memory, and Markdown tables, written between
their markers in README and docs with machine, commit and command beneath.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.table import Table

from liar.cli.startup import settle_threads

settle_threads()

ROOT = Path(__file__).resolve().parent.parent


def pages() -> list[Path]:
    """The pages that may have sections: the README, and those of docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return "\n".join([_row(*header), _row(*("---" for _ in header)), *(_row(*cells) for cells in rows)])


def plain(found: Table, *lines: str) -> str:
    """``lines`` and a table of rich as a block of code."""
    file = StringIO()
    Console(file=file, width=120).print(found)
    return "\n".join(["```", *lines, *(line.rstrip() for line in file.getvalue().splitlines()), "```"])


def sections(description: str | None, found: Mapping[str, tuple[str, Callable[[], str]]]) -> None:
    """Command line of a script that builds sections of a page: the title, which may be empty, and the text of each, by name."""
    parser = command_line(description)
    parser.add_argument("--only", choices=found, nargs="+", default=found, metavar="SECTION")
    arguments = parser.parse_args()
    for name in arguments.only:
        title, build = found[name]
        show(name, f"## {title}\n\n{build()}\n" if title else build(), arguments.write)


def command_line(description: str | None) -> argparse.ArgumentParser:
    """Parser of a script with this docstring, which may write what it prints."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    return parser


def show(name: str, text: str, writes: bool) -> None:
    """Print the section ``name``, and write it if asked to."""
    print(text, flush=True)
    if writes:
        write(name, text)


def write(name: str, text: str) -> None:
    """Replace the text between the markers of the section ``name``; exits if no page has them."""
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    page = next((page for page in pages() if start in page.read_text()), None)
    if page is None:
        raise SystemExit(f"No page has {start.strip()} ... {end} to write between")
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), flags=re.DOTALL)
    written = f"{start}{text.rstrip()}\n\n{provenance()}\n{end}"
    page.write_text(pattern.sub(lambda _match: written, page.read_text()))


def provenance() -> str:
    """One line of small text: the machine, the commit of the code, and the command that is running."""
    script, *options = sys.argv
    command = shlex.join(["python", os.path.relpath(Path(script).resolve(), ROOT), *options])
    return f"<sub>{machine()} · commit {commit()} · `{command}`</sub>"


def machine() -> str:
    """Processor, number of cores, and the GPU that a run would use."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{_processor()}, {os.cpu_count()} cores, {gpu}"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # Linux: platform names only the architecture
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def commit() -> str:
    """Short hash of the commit, with a note if the code differs from it."""
    commit = _git("rev-parse", "--short", "HEAD")
    return f"{commit} with changes" if _git("status", "--porcelain", "--", "*.py") else commit


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def in_own_process(script: str, *options: str) -> str:
    """The last line that ``script`` prints if it is started with ``options``."""
    done = subprocess.run([sys.executable, script, *options], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.splitlines()[-1]


def memory(line: str, process: int | str = "self") -> int:
    """Memory of a process in bytes, on Linux: ``VmRSS`` is the present amount, ``VmHWM`` the peak."""
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    return 1024 * next(int(found.split()[1]) for found in status if found.startswith(line))


def forget_peak() -> None:
    """From here on the peak of :func:`memory` is that of what comes."""
    Path("/proc/self/clear_refs").write_text("5")


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"
