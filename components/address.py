"""The address of the page: its query string holds the whole spec, so that a link opens the same run."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlencode

import gradio as gr

from liar.errors import InvalidSpecError
from liar.spec import PruneSpec

_REPLACE = """
const write = () => {
  const now = new URLSearchParams(location.search);
  const next = new URLSearchParams(props.value);
  for (const [name, value] of now) if (name.startsWith('__')) next.append(name, value);  // Gradio's own
  const query = next.toString();
  history.replaceState(null, '', query ? '?' + query : location.pathname);
};
watch('value', write);
"""


def address_bar() -> gr.HTML:
    """A component without a body: the query string it is given becomes that of the page."""
    return gr.HTML(value="", html_template="", js_on_load=_REPLACE, elem_id="address", container=False)


def read_address(pairs: Iterable[tuple[str, str]]) -> tuple[PruneSpec | None, str | None]:
    """The spec that a link asks for, and a sentence about what in it could not be followed.

    Returns ``(None, None)`` for the bare address. Each choice stands by itself, so one that is nonsense leaves the
    others as they are.
    """
    good: list[tuple[str, str]] = []
    complaints: list[str] = []
    for name, value in pairs:
        if name.startswith("__"):
            continue
        try:
            PruneSpec.from_query(urlencode([(name, value)]))
            good.append((name, value))
        except InvalidSpecError as error:
            complaints.append(str(error))
    complaint = f"Part of the link was left out. {complaints[0]}" if complaints else None
    return (PruneSpec.from_query(urlencode(good)) if good else None), complaint
