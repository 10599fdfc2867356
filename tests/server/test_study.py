"""The study as a page: all of its text and pictures, and nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

from server.study import STUDY, study_page


def test_all_tables_and_pictures_are_included() -> None:
    page, text = study_page(), STUDY.read_text(encoding="utf-8")
    assert page.count("<h2>") == text.count("\n## ")
    assert page.count("<table>") == text.count("\n| ---")
    assert page.count("<img") == text.count("\n![") == page.count("data:image/svg+xml;base64,")
    linked = re.findall(r'(?:src|href)="(?!data:)([^"]*)"', page)
    assert all(address.startswith("https://arxiv.org/") for address in linked)


def test_a_picture_is_read_from_beside_the_text(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "curve.svg").write_text("<svg/>")
    path = tmp_path / "study.md"
    path.write_text("# Found\n\n![A curve](study/curve.svg)\n")
    assert 'src="data:image/svg+xml;base64,PHN2Zy8+"' in study_page(path)
