"""The study as a page: all of its text and pictures, and nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

from server.study import STUDY, study_page


def test_all_tables_and_pictures_are_included() -> None:
    pages = [STUDY, *STUDY.with_suffix("").glob("*.md")]
    page, text = study_page(), "\n".join(each.read_text(encoding="utf-8") for each in pages)
    assert page.count("<h1>") == 1
    assert page.count("<h2>") == text.count("\n# ") + text.count("\n## ")
    assert page.count("<table>") == text.count("\n| ---")
    assert page.count("<img") == text.count("\n![") == page.count("data:image/svg+xml;base64,")
    linked = re.findall(r'(?:src|href)="(?!data:)([^"]*)"', page)
    inside = {address[1:] for address in linked if address.startswith("#")}
    assert inside == {each.stem for each in pages[1:]} == set(re.findall(r"<a id='(\w+)'>", page))
    assert all(address.startswith(("#", "https://arxiv.org/")) for address in linked)


def test_a_picture_is_read_from_beside_the_text(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "curve.svg").write_text("<svg/>")
    path = tmp_path / "study.md"
    (tmp_path / "study" / "one.md").write_text("# One\n\n![A curve](curve.svg)\n")
    path.write_text("# Found\n\n- [One](study/one.md)\n")
    assert 'src="data:image/svg+xml;base64,PHN2Zy8+"' in study_page(path)
