"""One run as one self-contained HTML file that needs no network and no server.

With the error curves of the run's calibration text, ratio, allocation and repair can be changed in it. Script and style are
inline, and their hashes are the content security policy: the document can neither load nor run anything else.

>>> from pathlib import Path
>>> from liar.explore.atlas_store import AtlasStore
>>> from liar.report.pages.html import html_report
>>> from liar.store import RunStore
>>> run = RunStore().shipped_of("demo/minilm-sentiment")
>>> page = html_report(run, AtlasStore(Path("atlases")).find(run.spec))
>>> len(page.encode()) < 400_000
True
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from liar.explore.atlas import Atlas
from liar.report.export import as_command, as_python
from liar.report.pages.interactive import content_hash, exploration, script_of
from liar.report.pages.svg import picture_of
from liar.report.plots.frame import FONTS, VARIANT_COLOURS
from liar.report.words.answer_sentences import by_prompt, group_extent, judged
from liar.report.words.cost_sentences import speed_words
from liar.report.words.findings import findings
from liar.report.words.metric_sentences import beside_dense, capitalised, measurement, variant_name, with_error
from liar.report.words.sentences import calibrated_on, parameters, recipe, token_words, unbroken, verdict
from liar.report.words.site_sentences import reconstructions_of
from liar.results import CHANGE_GROUPS, VARIANTS, RunResult
from liar.spec import PruneSpec
from liar.statistics.compare import by_metric
from liar.tasks.registry import credits_of

# A result may contain untrusted text, so all of it is escaped; a misspelt name fails instead of staying blank.
ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.globals["fonts"] = ", ".join(FONTS)
ENVIRONMENT.filters |= {
    each.__name__: each for each in (capitalised, measurement, speed_words, unbroken, variant_name, with_error)
}

SETTINGS = {name: name.capitalize().replace("_", " ") for name in PruneSpec.model_fields} | {
    "calibration": "Calibration text",
    "tokens": "Calibration tokens",
    "separator": "Between two texts",
    "multiple": "Neurons rounded to a multiple of",
    "dtype": "Number format",
    "evaluate": "Measured tasks",
    "data": "Data of your own",
    "evaluate_limit": "Windows or items of each task",
    "evaluate_length": "Length of measured sequences",
    "edits": "Decided by hand",
    "quantize": "Weights also measured as",
    "intercept": "Repairs may change biases",
}
"""Names of the choices for display."""


def html_report(result: RunResult, atlas: Atlas | None = None, criteria: Sequence[str] = ()) -> str:
    """Render a run as one HTML document: picture, tables, text, and the command and script that repeat it.

    With its ``atlas``, that of the run's text, it can be explored: with the curves of its criterion, and of other ``criteria``.
    Units that were kept or removed by hand are those of the run alone: a forecast of another choice leaves them out. Raises
    :class:`liar.errors.InvalidSpecError` if the atlas has no curves of one of them.
    """
    live = None if atlas is None else exploration(result, atlas, criteria)
    shown = {
        "result": result,
        "verdict": verdict(result),
        "parameters": parameters(result),
        "recipe": recipe(result.spec),
        "calibrated_on": calibrated_on(result),
        "reconstructions": live["repairs"] if live else reconstructions_of(result.sites),
        "variants": VARIANTS,
        "metrics": by_metric(result.evaluations),
        "beside_dense": partial(beside_dense, result),
        # Sentiment, broken by pruning: 31 texts, the first 12 shown.
        "extents": [
            f"{task.capitalize()}, {title.lower()}: {group_extent(result, task, group)}."
            for task in dict.fromkeys(change.task for change in result.changes)
            for group, (title, _) in CHANGE_GROUPS.items()
        ],
        "credits": credits_of(change.task for change in result.changes),
        "answers": by_prompt(result),
        "judged": judged,
        "findings": findings(result),
        "colours": VARIANT_COLOURS,
        "live": live,
        "picture": picture_of(result),
        # Name, value and default of every choice.
        "settings": [
            (words, *(_setting_words(name, getattr(spec, name)) for spec in (result.spec, PruneSpec())))
            for name, words in SETTINGS.items()
        ],
        "command": as_command(result.spec),
        "python": as_python(result.spec),
    }
    styles = ("report.css.j2", "interactive.css.j2")
    style = "".join(ENVIRONMENT.get_template(name).render(shown) for name in styles)
    scripts = ("print.js", "forecast.js", "interactive.js") if live else ("print.js",)
    script = script_of(*(Path(__file__).with_name(name) for name in scripts))
    return ENVIRONMENT.get_template("report.html.j2").render(
        shown,
        style=Markup(style),
        style_hash=content_hash(style),
        script=Markup(script),
        script_hash=content_hash(script),
    )


def _setting_words(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    if value is None:
        return "each task's default"
    if name == "tokens":
        return token_words(value)
    if name == "ratio":
        return f"{100 * float(str(value)):g} %"
    return f"{value:,} tokens" if name in ("sequence_length", "evaluate_length") else str(value)
