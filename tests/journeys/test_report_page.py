"""The page of a report in headless Chromium: it asks for nothing, and fits screens and schemes."""

import time
from dataclasses import replace

import numpy as np
import pytest
from browser import CHROMIUM, browser
from noisy_texts import noisy_texts

from cli.runs.report.content import AlignedSentence, collect
from cli.runs.report.systems import subject_of_files
from cli.terminal.report.page import html_page
from seq2seq.evaluation.alignment import Alignment

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Three systems, with a long alignment."""
    folder = tmp_path_factory.mktemp("report")
    references, *systems = noisy_texts()
    for name, lines in {"source": references, "reference": references}.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
    files = [folder / f"a system with a long name {n}" for n in range(3)]
    for number, path in enumerate(files):
        path.write_text("".join(f"{line}\n" for line in systems[number % 2]))
    subject = subject_of_files(
        folder / "source", folder / "reference", files, names=None, languages=("en", "de")
    )
    content = collect(subject, note=lambda line: None)
    words = tuple(f"word{n}" for n in range(30))
    long = AlignedSentence(1, "source", "reference", {"one": Alignment(words, words, np.eye(30))})
    page = folder / "page.html"
    page.write_text(html_page(replace(content, aligned=[long])), encoding="utf-8")
    with browser() as found:
        found.resize(1280, 900)
        found.open(page)
        yield found, page


def test_no_request_leaves_the_page(shown):
    found, page = shown
    assert [url for url in found.requests if url != "about:blank"] == [page.as_uri()]
    assert found.complaints == []


@pytest.mark.parametrize(("width", "shows"), [(1280, "wide"), (390, "narrow")])
def test_it_fits_a_screen_and_shows_the_charts_that_were_made_for_it(shown, width, shows):
    found, _ = shown
    found.resize(width, 900)
    assert found.run("document.scrollingElement.scrollWidth") <= width
    visible = found.run(
        "[...new Set([...document.querySelectorAll('figure > div')]"
        ".filter(each => each.offsetParent !== null).map(each => each.className))]"
    )
    assert visible == [shows]


def test_it_follows_the_scheme_of_its_reader(shown):
    found, _ = shown
    backgrounds = []
    for dark in (False, True):
        found.resize(1280, 900, dark=dark)
        script = "getComputedStyle({}).{}"
        ink = found.run(script.format("document.querySelector('figure svg text')", "fill"))
        paper = found.run(script.format("document.body", "backgroundColor"))
        assert ink != paper
        backgrounds.append(paper)
    assert backgrounds == ["rgb(255, 255, 255)", "rgb(13, 17, 23)"]


def test_a_wide_table_is_reached_and_scrolled_by_the_keyboard(shown):
    found, _ = shown
    found.resize(390, 900)
    found.run("document.querySelector('.maps .table').focus()")
    assert found.run("document.activeElement.getAttribute('aria-label')") == "attention of one"
    assert found.run("document.activeElement.scrollWidth > document.activeElement.clientWidth")
    deadline = time.monotonic() + 30  # on a busy machine the first frame comes late
    while found.run("document.activeElement.scrollLeft") == 0:
        assert time.monotonic() < deadline, "it is not scrolled"
        found.press("ArrowRight")
        time.sleep(0.1)
