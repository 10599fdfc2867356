"""Ways into the page: three models to begin with, and three stories, each a link to a measured run."""

from __future__ import annotations

from collections.abc import Iterator

import gradio as gr

from components.rail.recipe import default_of, opening_spec
from components.shared.markup import element
from liar.presets import DEMO
from liar.report.view import View, query_of
from liar.spec import PruneSpec
from liar.store import RunStore

_WRITER = default_of(f"{DEMO}smollm2-135m")

OPENINGS: dict[str, PruneSpec] = {
    "Judge a film": opening_spec(),
    "Write an answer": _WRITER.model_copy(update={"ratio": 0.3}),
    "Find a text": default_of(f"{DEMO}minilm"),
}
"""What the page can begin with: a reader, a writer and a searcher, at ratios where the repair makes the difference."""

STORIES: dict[str, PruneSpec] = {
    "Weights mislead": _WRITER.model_copy(update={"ratio": 0.33, "criterion": "magnitude"}),
    "Half gone, nothing lost": default_of(f"{DEMO}minilm-match"),
    "Where it breaks": _WRITER.model_copy(update={"ratio": 0.5}),
}
"""What can be learned at once from a measured run."""

# A click opens the run in the page; with a key held down, the browser opens the link elsewhere.
_OPEN = """
element.addEventListener('click', (event) => {
  const link = event.target.closest('a[data-key]');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  trigger('select', { key: link.dataset.key });
});
"""


def openings(store: RunStore, specs: dict[str, PruneSpec], id: str) -> gr.HTML:
    """A row of links; a click is a ``select`` event with the ``key`` of a run."""
    return gr.HTML("".join(_links(store, specs)), js_on_load=_OPEN, elem_id=id, elem_classes=["simple-only"])


def _links(store: RunStore, specs: dict[str, PruneSpec]) -> Iterator[str]:
    """A link for each of the runs that are stored."""
    for words, spec in specs.items():
        if (run := store.find(spec)) is not None:
            yield element("a", words, href=f"?{query_of(run.spec, View())}", data_key=run.spec.key)
