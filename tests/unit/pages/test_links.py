"""Links on the pages arrive, and the index of docs leaves no page out."""

import re
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from seq2seq.rendering.text import CAUTION

ROOT = Path(__file__).parents[3]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCE = re.compile(r"^(```|~~~).*?^\1$", flags=re.DOTALL | re.MULTILINE)


def without_code(page: Path) -> str:
    """The text of a page without fenced blocks and `code`."""
    return re.sub(r"`[^`\n]*`", "code", FENCE.sub("", page.read_text(encoding="utf-8")))


def links(page: Path) -> list[str]:
    """The targets of a page's links and pictures that are not addresses of the web."""
    found = re.findall(r"\]\(([^)\s]+)\)", without_code(page))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def anchors(page: Path) -> set[str]:
    """The targets of `#...` on a page: its headings, as GitHub names them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_points_to_something_that_exists(page):
    broken = []
    for link in links(page):
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        inside = target.is_relative_to(ROOT) and target.exists()
        if not inside or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def test_there_are_links():
    assert sum(len(links(page)) for page in PAGES) > 60


def test_the_index_has_every_page_of_docs():
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    pages = {page.resolve() for page in (ROOT / "docs").rglob("*.md")} - {index.resolve()}
    assert not pages - linked


def test_pictures_load_nothing_and_run_nothing():
    pictures = sorted((ROOT / "docs").rglob("*.svg"))
    assert pictures
    for picture in pictures:
        text = picture.read_text(encoding="utf-8")
        assert not re.search(r"@import|url\(|@font-face|<script|\bon\w+=|href", text), picture
        for namespace in ('="http://www.w3.org/2000/svg"', ':xlink="http://www.w3.org/1999/xlink"'):
            text = text.replace(f"xmlns{namespace}", "", 1)
        assert "http" not in text, picture
        tags = {element.tag for element in ElementTree.fromstring(text).iter()}
        assert tags <= {"svg", "title", "desc", "style", "g", "rect", "text", "line", "path"}, (
            picture
        )


def test_the_demo_page_ends_its_table_with_the_caution_of_the_program():
    page = (ROOT / "docs" / "demo.md").read_text(encoding="utf-8")
    assert CAUTION in " ".join(page.split())
