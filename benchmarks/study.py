"""The study: questions that the paper leaves open, each answered by points that are measured once and kept.

    python benchmarks/study.py                     measures what is not yet measured, and prints the reports
    python benchmarks/study.py nonlinear           one part, or several
    python benchmarks/study.py --write             also writes its pages, docs/study, with pictures
    python benchmarks/study.py --stored --write    the page of the points that there are, without measuring any
    python benchmarks/study.py --fast              little of everything, to see that it works

Points lie in docs/study, a line each. A second call measures only what is missing; one that was killed loses at most the
point in work. Nothing of --fast is kept.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from parts import PARTS
from parts.points import Part, Point, PointStore, Scope
from readme import ROOT, command_line, commit, machine, show, table, write
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from liar.errors import LiarError

POINTS = ROOT / "docs" / "study"


def main(words: Sequence[str] | None = None) -> int:
    parser = command_line(__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--fast", action="store_true", help="little of each part, and nothing is kept")
    parser.add_argument("--stored", action="store_true", help="measure nothing")
    parser.add_argument("--points", type=Path, help="folder of the points")
    arguments = parser.parse_args(words)
    if (arguments.write or arguments.points) and arguments.fast:
        parser.error("--fast keeps nothing; leave it out")
    if arguments.write and arguments.points:
        parser.error("the page shows the points of docs/study; leave --points out")
    if unknown := [name for name in arguments.parts if name not in PARTS]:
        return _refused(f"There is no part {unknown[0]!r}; choose of {', '.join(PARTS)}.")
    with TemporaryDirectory() as folder:
        store = PointStore(Path(folder) if arguments.fast else arguments.points or POINTS)
        for name in arguments.parts or PARTS:
            part = PARTS[name]
            try:
                points = measured(part, Scope(arguments.fast), store, only_stored=arguments.stored)
            except LiarError as error:
                return _refused(str(error))
            if not points:
                continue
            print(f"## {part.title}\n\n{part.report(points).text}\n", flush=True)
            if arguments.write:
                written(part, points)
        if not arguments.parts:
            show("time", f"{taken({name: store.read(name) for name in PARTS})}\n", arguments.write)
    return 0


def measured(part: Part, scope: Scope, store: PointStore, *, only_stored: bool = False) -> dict[str, Point]:
    """All points of a part: those in ``store``, and unless ``only_stored`` the others once they are measured and stored.

    Raises :class:`liar.errors.LiarError` for a point that cannot be measured or stored; the points before it are kept.
    """
    points = store.read(part.name)
    wanted = list(part.pending(scope))
    missing = [each for each in wanted if each.name not in points]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(part.name, total=len(wanted), completed=len(wanted) - len(missing))
        for each in () if only_stored else missing:
            progress.update(bar, description=f"{part.name}: {each.name}")
            start = time.perf_counter()
            values = each.measure()
            seconds = round(time.perf_counter() - start, 1)
            point = Point(name=each.name, values=values, seconds=seconds, commit=commit(), machine=machine())
            store.add(part.name, point)
            points[each.name] = point
            progress.advance(bar)
    return {each.name: points[each.name] for each in wanted if each.name in points}


def written(part: Part, points: Mapping[str, Point]) -> None:
    """Put the report into the page between its markers, and its pictures beside the points."""
    report = part.report(points)
    pictures = []
    for name, figure in report.figures.items():
        figure.update_layout(template="plotly_white", margin={"l": 60, "r": 20, "t": 30, "b": 50})
        figure.write_image(POINTS / f"{name}.svg", width=800, height=figure.layout.height or 400)
        pictures.append(f"![{part.title}]({name}.svg)")
    number = len(list(part.pending(Scope())))
    so_far = [f"Measured so far: {len(points)} of {number} points."] if len(points) < number else []
    write(part.name, "\n\n".join([*so_far, report.text, *pictures]))


def taken(points: Mapping[str, Mapping[str, Point]]) -> str:
    """Hours of the points of each part, and the machines and commits that measured them."""
    timed = {name: [point.seconds for point in found.values() if point.seconds] for name, found in points.items()}
    rows = [
        (PARTS[name].title, f"{len(seconds)} of {len(points[name])}", f"{sum(seconds) / 3600:.2f}")
        for name, seconds in timed.items()
    ]
    total = sum(sum(seconds) for seconds in timed.values())
    number, known = (sum(map(len, each.values())) for each in (points, timed))
    rows.append(("all", f"{known} of {number}", f"{total / 3600:.2f}"))
    measured_by = Counter((point.machine, point.commit) for found in points.values() for point in found.values())
    places = "; ".join(
        f"{machine or 'a machine without a record'}, commit {commit or 'without a record'} ({count} of {number} points)"
        for (machine, commit), count in measured_by.most_common()
    )
    words = f"Hours of one process, by the seconds that each point has. Measured by: {places}."
    if known < number:
        words += f" With the points that have no time it would be about {total / known * number / 3600:.1f} hours."
    return f"{words}\n\n{table(('part', 'points with a time', 'hours'), rows)}"


def _refused(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
