"""The site: every guide has its page, and every link between them leads somewhere."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SITE = runpy.run_path(str(ROOT / "scripts" / "build_docs.py"))


def test_links_of_the_site_lead_to_pages_and_headings(tmp_path: Path) -> None:
    SITE["build"](tmp_path)
    pages = {path: path.read_text("utf-8") for path in tmp_path.rglob("*.html")}
    assert len(pages) >= len(list((ROOT / "docs").glob("*.md"))) + 4
    for path, text in pages.items():
        for link in re.findall(r'(?:href|src)="([^"]+)"', text):
            target, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", target) or target.endswith("api/index.html"):
                continue
            file = (path.parent / target).resolve() if target else path
            assert file.exists(), f"{path.name}: {link}"
            assert not anchor or f'id="{anchor}"' in pages[file], f"{path.name}: {link}"


def test_a_link_to_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(SystemExit, match=r"README\.md: no such file: docs/absent\.md"):
        SITE["linked"]('<a href="docs/absent.md">', "README.md", set())


def test_a_notebook_shows_its_cells_and_what_they_gave() -> None:
    code = {
        "cell_type": "code",
        "source": ["1 < 2"],
        "outputs": [
            {"data": {"text/plain": ["True"]}},
            {"text": ["said\n"]},
            {"data": {"image/png": "aGk=\n", "text/plain": ["<Figure>"]}},
        ],
    }
    text = {"cell_type": "markdown", "source": ["# Counting\n", "some"]}
    page = SITE["notebook"](json.dumps({"cells": [text, code]}))
    assert SITE["title_of"](page) == "Counting"
    parts = ("1 &lt; 2", '"output">True<', '"output">said\n<', "data:image/png;base64,aGk=")
    assert [part for part in parts if part not in page] == []
    assert "Figure" not in page
