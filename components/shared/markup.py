"""HTML of the panels: elements whose text is escaped, and an accessible table built from them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from html import escape


class Markup(str):
    """HTML; any other ``str`` given to the functions of this module is text, and they escape it."""

    __slots__ = ()


def element(name: str, *content: str, **attributes: str | None) -> Markup:
    """HTML of ``<name>`` with its content. ``class_`` and ``data_key`` stand for the attributes class and data-key; an
    attribute that is None is left out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(part if isinstance(part, Markup) else escape(part) for part in content)
    return Markup(f"<{name}{written}>{inside}</{name}>")


cell = partial(element, "td")


def row(header: str, *cells: Markup, **attributes: str | None) -> Markup:
    """Table row: its header, then its cells (``<td>``)."""
    return element("tr", element("th", header, scope="row"), *cells, **attributes)


def table(
    names: Iterable[str], *groups: Iterable[Markup], label: str | None = None, caption: str | None = None
) -> Markup:
    """Table with the ``names`` of its columns and a body for each group of rows.

    A ``label`` makes it a region that scrolls by itself: the label names the region, which the keyboard reaches.
    """
    parts = [element("caption", caption)] if caption is not None else []
    parts.append(element("thead", element("tr", *(element("th", name, scope="col") for name in names))))
    parts += [element("tbody", *rows) for rows in groups]
    markup = element("table", *parts)
    return element("div", markup, class_="scroll", role="region", aria_label=label, tabindex="0") if label else markup
