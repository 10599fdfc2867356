"""Query string of the page's address: it holds the whole spec and the view, so that a link reopens the same page."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlencode

import gradio as gr

from components.recipe import default_of
from liar.errors import InvalidSpecError
from liar.report.view import View
from liar.spec import VERSION, PruneSpec

_REPLACE = """
const write = () => {
  const now = new URLSearchParams(location.search);
  const next = new URLSearchParams(props.value);
  for (const [name, value] of now) if (name.startsWith('__')) next.append(name, value);  // Gradio's own
  const query = next.toString();
  history.replaceState(null, '', query ? '?' + query : location.pathname);
  window.dispatchEvent(new Event('liar:address'));  // the browser has no event of its own for this
};
watch('value', write);
"""


def address_bar() -> gr.HTML:
    """Component without a body that writes its value, a query string, into the page's address.

    It then dispatches the window event ``liar:address``; links to the current page are built from ``location`` only.
    """
    return gr.HTML(value="", html_template="", js_on_load=_REPLACE, elem_id="address", container=False)


def query_of(spec: PruneSpec, view: View) -> str:
    """Query string of a recipe and a view."""
    return "&".join(query for query in (spec.to_query(), view.to_query()) if query)


def read_address(pairs: Iterable[tuple[str, str]]) -> tuple[PruneSpec | None, View, str | None]:
    """Parse a link into its spec, its view and a sentence about the part that could not be followed (else None).

    What a link without a version leaves out is the default of its model, see :data:`liar.spec.LINKED`.
    The spec is None if the link names no valid choice of a recipe, or if its choices contradict each other. Choices are
    checked one by one, so an invalid one leaves the others in force.
    """
    pairs = [(name, value) for name, value in pairs if not name.startswith("__")]
    view, complaints = View.from_pairs(pairs)
    good: list[tuple[str, str]] = []
    for name, value in pairs:
        if name in View.model_fields:
            continue
        try:
            PruneSpec.from_query(urlencode([(name, value)]))
            good.append((name, value))
        except InvalidSpecError as error:
            complaints.append(str(error))
    complaint = f"Part of the link was left out. {complaints[0]}" if complaints else None
    if good and not {VERSION, "targets"} & dict(good).keys():
        good.append(("targets", default_of(dict(good).get("model", PruneSpec().model)).targets))
    try:
        return (PruneSpec.from_query(urlencode(good)) if good else None), view, complaint
    except InvalidSpecError as error:  # each choice is valid, their combination is not
        return None, view, f"The link was not followed. {error}"
