"""The address of the page: its query string holds the whole spec and the view, so that a link opens what one sees."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlencode

import gradio as gr

from liar.errors import InvalidSpecError
from liar.report.view import View
from liar.spec import PruneSpec

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
    """A component without a body: the query string it is given becomes that of the page.

    Then the window gets the event ``liar:address``; ``location`` is the one source of any link to what is on the screen.
    """
    return gr.HTML(value="", html_template="", js_on_load=_REPLACE, elem_id="address", container=False)


def query_of(spec: PruneSpec, view: View) -> str:
    """The query string of a recipe and a view."""
    return "&".join(query for query in (spec.to_query(), view.to_query()) if query)


def read_address(pairs: Iterable[tuple[str, str]]) -> tuple[PruneSpec | None, View, str | None]:
    """The spec and the view that a link asks for, and a sentence about what in it could not be followed.

    The spec is None where the link names none of its choices. Each choice stands by itself, so one that is nonsense leaves
    the others as they are.
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
    try:
        return (PruneSpec.from_query(urlencode(good)) if good else None), view, complaint
    except InvalidSpecError as error:  # each choice is fine, but not together
        return None, view, f"The link was not followed. {error}"
