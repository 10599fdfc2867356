"""What makes a report one that can be explored: the error curves of one criterion, or of several, and what can be chosen.

The script of the page computes from them what :func:`liar.explore.forecast.forecast` does, to the last digit.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from plotly.colors import sequential

from liar.choices import REPAIRS, Reconstruction
from liar.explore.allocation import FLOOR, STEPS, global_order
from liar.explore.atlas import RATIOS, WEIGHTINGS, Atlas, Floats, SiteAtlas, Weighting
from liar.explore.forecast import candidate_of, forecast, is_covered, targeted
from liar.report.words.sentences import UNITS
from liar.results import RunResult
from liar.spec import ALLOCATIONS, MAX_RATIO, PruneSpec


def exploration(result: RunResult, atlas: Atlas, criteria: Sequence[str] = ()) -> dict[str, Any]:
    """What the template needs for choices and forecasts; see :func:`liar.report.pages.html.html_report`."""
    spec = result.spec.model_copy(update={"edits": ()})
    for criterion in (spec.criterion, *criteria):
        forecast(spec.model_copy(update={"criterion": criterion}), atlas)
    run = {
        "ratio": spec.ratio,
        "criterion": spec.criterion,
        "allocation": spec.allocation,
        "repair": spec.reconstruction,
        "sites": [{"kept": site.kept, "errors": site.error, "aware": site.norm_aware_error} for site in result.sites],
        "after": result.totals.parameters_after,
        "blocks": result.totals.block_parameters_after,
    }
    return {
        "repairs": atlas.facts.reconstructions,
        "allocations": [
            name for name in ALLOCATIONS if is_covered(spec.model_copy(update={"allocation": name}), atlas)
        ],
        "most": MAX_RATIO,
        "edited": bool(result.spec.edits),
        "criteria": list(dict.fromkeys([spec.criterion, *criteria])),
        "data": curves_data(spec, atlas, criteria) | {"colours": list(sequential.Viridis), "kinds": UNITS, "run": run},
    }


def script_of(*paths: Path) -> str:
    """The content of scripts as one script."""
    return "".join(path.read_text(encoding="utf-8") for path in paths)


def content_hash(text: str) -> str:
    """The hash by which a content security policy allows an inline script or style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def curves_data(spec: PruneSpec, atlas: Atlas, criteria: Sequence[str] = ()) -> dict[str, Any]:
    """What ``forecast.js`` reads: the sites that ``spec`` prunes, and the curves of its criterion and of other ``criteria``."""
    charts = targeted(atlas, spec)
    return {
        "repairs": [
            {"name": name, "meaning": repair.meaning, "colour": repair.colour, "bias": repair.changes_bias}
            for name, repair in ((name, REPAIRS[name]) for name in atlas.facts.reconstructions)
        ],
        "multiple": spec.multiple,
        "floor": FLOOR,
        "steps": STEPS,
        "parameters": atlas.facts.model.parameters,
        "blocks": atlas.facts.block_parameters,
        "sites": [
            {
                "name": chart.site.name,
                "layer": chart.site.layer,
                "kind": chart.site.kind,
                "group": chart.site.group,
                "bundles": chart.site.bundles,
                "parameters": chart.facts.bundle_parameters,
                "bias": [chart.facts.bias_fixed, chart.facts.bias_per_bundle],
                "energy": chart.arrays.energy.tolist(),
                "sensitivity": chart.sensitivity,
            }
            for chart in charts
        ],
        "criteria": {
            name: _of_criterion(charts, spec.model_copy(update={"criterion": name}), atlas)
            for name in dict.fromkeys([spec.criterion, *criteria])
        },
    }


def _of_criterion(charts: Sequence[SiteAtlas], spec: PruneSpec, atlas: Atlas) -> dict[str, Any]:
    """The curves of each site under the criterion of ``spec``, and the order in which the allocation global removes bundles."""
    ranked = spec.model_copy(update={"allocation": "global"})
    order = global_order([candidate_of(chart, ranked) for chart in charts]) if is_covered(ranked, atlas) else []
    return {
        "curves": _packed(np.concatenate([_curves(chart, spec.criterion).ravel() for chart in charts])),
        "global": _packed(np.array(order, np.uint16)),
    }


def _curves(chart: SiteAtlas, criterion: str) -> Floats:
    """Errors (weightings, reconstructions, 101), or of a site of few bundles (weightings, reconstructions, bundles + 1) by the
    number of removed ones.
    """
    bundles = chart.site.bundles

    def curve(name: Reconstruction, weighting: Weighting) -> Floats | list[float]:
        if bundles >= len(RATIOS):
            return chart.curve(criterion, name, weighting)
        return [chart.error_at(criterion, name, bundles - removed, weighting) for removed in range(bundles + 1)]

    every = [[curve(name, weighting) for name in chart.reconstructions] for weighting in WEIGHTINGS]
    return np.array(every, np.float32)


def _packed(array: Floats | np.ndarray[Any, Any]) -> str:
    """Little-endian bytes, the first of each number before all second ones, so that they compress well; in base64."""
    numbers = array.astype(array.dtype.newbyteorder("<"))
    planes = numbers.view(np.uint8).reshape(-1, numbers.itemsize).T.tobytes()
    return base64.b64encode(zlib.compress(planes, 9)).decode()
