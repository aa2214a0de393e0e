"""The picture in the README: what its script draws."""

import re
from pathlib import Path
from xml.etree import ElementTree

import draw_alignment_svg
import numpy as np

from seq2seq.evaluation.alignment import END_MARK, Alignment

DOCS = Path(__file__).parents[3] / "docs"
ALIGNMENT = Alignment(
    ("a", "<b>", END_MARK),
    ("x", "y & z", END_MARK),
    np.array([[0.7, 0.3, 0], [0, 1, 0], [0, 0, 1]]),
)


def elements(svg: str, name: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(f"{{http://www.w3.org/2000/svg}}{name}"))


def test_the_end_of_the_sentence_is_left_out():
    shown = draw_alignment_svg.without_end(ALIGNMENT)
    assert (shown.source, shown.target) == (("a", "<b>"), ("x", "y & z"))
    assert shown.weights.tolist() == [[0.7, 0.3], [0, 1]]


def test_a_panel_has_every_word_and_a_cell_for_every_weight():
    svg = draw_alignment_svg.picture([draw_alignment_svg.without_end(ALIGNMENT)])
    legend = draw_alignment_svg.picture([Alignment(("",), ("",), np.zeros((1, 1)))])
    words = [element.text for element in elements(svg, "text")]
    assert words[:4] == ["a", "<b>", "x", "y & z"]
    empty, filled = svg.count('"empty"'), svg.count('"weight"')
    assert empty - legend.count('"empty"') == 4 - 1  # that legend's picture has one cell
    assert filled - legend.count('"weight"') == 3
    assert 'fill-opacity="0.70"' in svg


def test_the_picture_of_the_readme_is_one_of_these():
    svg = (DOCS / "alignments.svg").read_text(encoding="utf-8")
    assert draw_alignment_svg.STYLE in svg
    (described,) = (element.text or "" for element in elements(svg, "desc"))
    source, target = described.split("; ")[0].split(" = ")
    words = [element.text for element in elements(svg, "text")]
    assert words[: len(source.split()) + len(target.split())] == source.split() + target.split()
    page = (DOCS / "demo.md").read_text(encoding="utf-8")
    assert all(re.search(re.escape(part.split(" = ")[0]), page) for part in described.split("; "))
