"""HTML pages and SVG pictures: what is in them, that they load nothing, and their contrast."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.evaluation.alignment import END_MARK, Alignment
from seq2seq.rendering.colours import DARK, LIGHT, luminance, text_colour
from seq2seq.rendering.html import page
from seq2seq.rendering.panels import Panel, Sentence
from seq2seq.rendering.svg import LETTER, STYLE, svg

ROOT = Path(__file__).parents[3]
ALIGNMENT = Alignment(
    ("a", "<b>", END_MARK),
    ("x", "y & z", END_MARK),
    np.array([[0.7, 0.3, 0], [0, 1, 0], [0, 0.25, 0.75]]),
)
SENTENCE = Sentence(3, "a <b>", (("x y & z", Panel("head 1", ALIGNMENT, 0.5, "note")),))
anything = st.text(st.characters(), max_size=8)


class Elements(HTMLParser):
    """The elements of a page: their names, attributes and text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs), []))

    def handle_data(self, data):
        if self.found:
            self.found[-1][2].append(data)

    def text(self, tag, **attributes):
        (found,) = (
            "".join(text)
            for name, given, text in self.found
            if name == tag and attributes.items() <= given.items()
        )
        return found


def data_of(text):
    return json.loads(Elements(text).text("script", id="data"))


def test_a_page_has_the_words_and_weights_of_every_table():
    (sentence,) = data_of(page("title", [SENTENCE]))["sentences"]
    (view,) = sentence.pop("views")
    assert sentence == {"number": 3, "source": "a <b>"}
    weights = np.frombuffer(base64.b64decode(view.pop("weights")), "<u2") / 50_000
    np.testing.assert_allclose(weights.reshape(3, 3), ALIGNMENT.weights, atol=1e-5)
    assert view == {
        "title": "head 1",
        "text": "x y & z",
        "note": "note",
        "probability": 0.5,
        "rows": ["x", "y & z", END_MARK],
        "columns": ["a", "<b>", END_MARK],
        "inSource": True,
        "entropy": [0.6109, 0.0, 0.5623],  # by hand: -0.7 ln 0.7 - 0.3 ln 0.3, and so on
        "coverage": [0.7, 1.55, 0.75],
    }


def test_a_page_allows_its_own_style_and_script_and_nothing_else():
    text = page("</title><script>", [SENTENCE])
    elements = Elements(text)
    assert [name for name, _, _ in elements.found].count("script") == 2
    (policy,) = (given["content"] for _, given, _ in elements.found if "http-equiv" in given)
    assert policy.startswith("default-src 'none'; ")
    for tag, attributes in (("style", {}), ("script", None)):
        inside = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy, attributes
    assert not any({"src", "href", "style"} & given.keys() for _, given, _ in elements.found)
    assert "://" not in text.replace("http://www.w3.org", "")


@given(st.lists(anything, min_size=1, max_size=3), anything, anything)
def test_no_text_gets_out_of_its_position(labels, source, title):
    labels = (*labels, "</script><script>alert(1)</script>")
    table = Alignment(labels, labels, np.full((len(labels),) * 2, np.nan))
    sentence = Sentence(1, source, ((source, Panel(title, table)),))
    text = page(title, [sentence])
    assert text.count("<script") == 2
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", text)
    assert len(data_of(text)["sentences"][0]["views"][0]["rows"]) == len(labels)
    ElementTree.fromstring(svg([sentence]))


def svg_elements(text, name):
    return list(ElementTree.fromstring(text).iter(f"{{http://www.w3.org/2000/svg}}{name}"))


def test_a_picture_has_every_word_and_a_cell_for_every_weight():
    text = svg([SENTENCE])
    words = [element.text for element in svg_elements(text, "text")]
    assert words[:8] == ["head 1", "note", "a", "<b>", END_MARK, "x", "y & z", END_MARK]
    assert text.count('class="empty"') == 9 + 5  # and the legend
    assert text.count('class="weight"') == 5 + 4
    assert text.count('class="best"') == 3
    assert 'fill-opacity="0.70"' in text
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")


def test_no_title_or_note_reaches_beyond_a_picture():
    note = "gradient saliency (input x gradient), because this model has no attention"
    narrow = Alignment(("a",), ("x",), np.ones((1, 1)))
    text = svg([Sentence(1, "a", (("x", Panel("a title " * 20, narrow, None, note)),))])
    width = int(re.search('width="([0-9]+)"', text)[1])
    lines = [each for each in svg_elements(text, "text") if each.get("text-anchor") is None]
    headings = [
        each for each in lines if each.get("transform") is None and float(each.get("x")) < 30
    ]
    assert " ".join(each.text for each in headings) == f"{'a title ' * 20}{note}"
    assert all(float(each.get("x")) + LETTER * len(each.text) <= width for each in headings)
    assert all(float(each.get("y")) > LETTER for each in headings)


def test_panels_of_a_picture_stand_side_by_side_up_to_its_greatest_width():
    one, many = svg([SENTENCE]), svg([SENTENCE] * 9)
    height, width = (int(re.search(f'{side}="([0-9]+)"', many)[1]) for side in ("height", "width"))
    assert width <= 1000 and height < 9 * int(re.search('height="([0-9]+)"', one)[1])


def test_the_picture_of_the_readme_is_one_of_these():
    text = (ROOT / "docs" / "alignments.svg").read_text(encoding="utf-8")
    assert STYLE in text
    (described,) = (element.text or "" for element in svg_elements(text, "desc"))
    source, target = described.split("; ")[0].split(" = ")
    words = [element.text for element in svg_elements(text, "text")]
    expected = [*source.split(), END_MARK, *target.split(), END_MARK]
    assert words[: len(expected)] == expected
    demo = (ROOT / "docs" / "demo.md").read_text(encoding="utf-8")
    assert all(part.split(" = ")[0] in demo for part in described.split("; "))


def channels(colour):
    return tuple(int(colour[start : start + 2], 16) for start in (1, 3, 5))


def contrast(one, other):
    """WCAG 2: (lighter + 0.05) / (darker + 0.05)."""
    low, high = sorted((luminance(channels(one)), luminance(channels(other))))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # published: 4.48


@pytest.mark.parametrize("ramp", [DARK, LIGHT])
def test_text_on_every_shade_has_enough_contrast(ramp):
    for low, high in pairwise(map(channels, ramp)):
        for share in np.linspace(0, 1, 9):
            colour = tuple(round(a + (b - a) * share) for a, b in zip(low, high, strict=True))
            shown = "#{:02x}{:02x}{:02x}".format(*colour)
            assert contrast(shown, text_colour(colour)) >= 4.5


def test_the_page_has_enough_contrast():
    style = (ROOT / "seq2seq/rendering/page/page.css").read_text(encoding="utf-8")
    themes = re.findall(r"--page: (#\w+); (.*?) \}", style)
    assert len(themes) == 3
    for background, rest in themes:
        named = dict(re.findall(r"--(\w+): (#\w+);", rest))
        for name, least in {"text": 4.5, "quiet": 4.5, "accent": 4.5, "line": 3}.items():
            assert contrast(named[name], background) >= least, name
        assert contrast(named["text"], named["raised"]) >= 4.5
        rings = re.search(r"td:focus-visible \{ box-shadow: (.*?); \}", style)[1]
        for shade in (*LIGHT, *DARK):  # success criterion 1.4.11: the ring of a cell, 3 to 1
            ring = re.findall(r"var\(--(\w+)\)", rings)
            assert max(contrast({**named, "page": background}[name], shade) for name in ring) >= 3
