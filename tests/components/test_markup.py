"""Tables of the panels: text is escaped once, and a screen reader finds headers, caption and region."""

from __future__ import annotations

from html import escape

from components.shared.markup import cell, element, row, table

NASTY = """<img src=x onerror="alert('1')">&amp;"""


def test_text_is_escaped_once_and_markup_stays() -> None:
    inner = element("b", NASTY)
    assert inner == f"<b>{escape(NASTY)}</b>"
    assert element("td", inner, " & ", class_="x") == f'<td class="x">{inner} &amp; </td>'


def test_an_attribute_cannot_be_left() -> None:
    assert element("button", data_key='"><script>') == '<button data-key="&quot;&gt;&lt;script&gt;"></button>'


def test_an_attribute_of_none_is_left_out() -> None:
    assert row("a", aria_current=None) == '<tr><th scope="row">a</th></tr>'
    assert row("a", aria_current="true") == '<tr aria-current="true"><th scope="row">a</th></tr>'


def test_every_text_of_a_table_is_escaped() -> None:
    markup = table([NASTY], [row(NASTY, cell(NASTY))], label=NASTY, caption=NASTY)
    assert "<img" not in markup
    assert markup.count(escape(NASTY)) == 5


def test_a_table_has_headers_and_a_body_for_each_group() -> None:
    first, second = row("a", cell("1")), row("b", cell("2"))
    assert table(["N", "V"], [first], [second], caption="C") == (
        '<table><caption>C</caption><thead><tr><th scope="col">N</th><th scope="col">V</th></tr></thead>'
        '<tbody><tr><th scope="row">a</th><td>1</td></tr></tbody><tbody><tr><th scope="row">b</th><td>2</td></tr></tbody>'
        "</table>"
    )


def test_a_labelled_table_scrolls_in_a_region_that_the_keyboard_reaches() -> None:
    bare = table(["N"], [row("a")])
    region = '<div class="scroll" role="region" aria-label="Figures" tabindex="0">'
    assert table(["N"], [row("a")], label="Figures") == f"{region}{bare}</div>"
