"""The HTML page in headless Chromium: pointer, keyboard, phone, and that it asks for nothing."""

import numpy as np
import pytest
from browser import CHROMIUM, browser

from seq2seq.evaluation.alignment import Alignment
from seq2seq.rendering.html import page
from seq2seq.rendering.panels import Panel, Sentence

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


def sentence(number, source, target, titles=("",)):
    columns, rows = (*source.split(), "</s>"), (*target.split(), "</s>")
    weights = 0.8 * np.eye(len(rows), len(columns)) + 0.2 / len(columns)
    table = Alignment(columns, rows, weights)
    return Sentence(number, source, tuple((target, Panel(title, table, 0.9)) for title in titles))


SENTENCES = [
    sentence(1, "die Katze schläft", "the cat sleeps"),
    sentence(2, "رجل يجلس على كرسي", "</script><b> \x1b[2J 年轻"),
    sentence(4, "zwei Köpfe", "two heads", ("head 1", "head 2")),
    *(sentence(n, f"Satz {n} " + "lang " * 30, "long " * 40) for n in range(5, 1000)),
]


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(page("a page", SENTENCES), encoding="utf-8")
    with browser() as found:
        found.resize(1000, 800)
        found.open(path)
        yield found, path


def details(found):
    return found.run("document.getElementById('details').textContent")


def chosen(found):
    return found.run("document.getElementById('sentence').selectedOptions[0]?.textContent")


def test_it_loads_nothing_and_breaks_no_rule_of_its_own(shown):
    found, path = shown
    assert found.requests == [path.as_uri()]
    assert found.complaints == []
    assert found.run("document.querySelectorAll('tbody tr').length") == 4
    assert found.run("document.getElementById('sentence').options.length") == len(SENTENCES)


def test_pointer_and_arrow_keys_show_weights(shown):
    found, _ = shown
    found.point("tbody tr:nth-child(2) td:nth-child(3)")
    assert details(found) == "cat ← Katze  0.85"
    assert found.run("document.querySelectorAll('.lit').length") == 3
    assert found.run("document.querySelectorAll('#source span')[1].style.backgroundColor")
    found.point("tbody tr:nth-child(3) th")
    assert details(found).startswith("sleeps ← schläft 0.85 · ")
    found.point("thead th:nth-child(2)")
    assert details(found).startswith("die → the 0.85 · ")
    found.run("document.querySelector('tbody td').focus()")
    found.press("ArrowRight")
    found.press("ArrowDown")
    assert details(found) == "cat ← Katze  0.85"
    found.press("End")
    assert details(found) == "cat ← ⏎  0.05"
    for _ in range(3):
        found.press("ArrowDown")  # the last one stays
    assert details(found) == "⏎ ← ⏎  0.85"


def test_keys_go_through_the_sentences_and_switch_values(shown):
    found, _ = shown
    assert chosen(found).startswith("1  die")
    found.press("j")
    assert chosen(found).startswith("2  رجل")
    assert found.run("document.getElementById('source').dir") == "rtl"
    assert found.run("document.querySelector('tbody th').textContent") == "</script><b>"
    found.press("v")
    assert found.run("document.querySelector('tbody td').textContent") == "84"
    found.press("v")
    assert found.run("document.querySelector('tbody td').textContent") == "•"
    found.press("k")
    found.press("k")
    assert chosen(found).startswith("1  die")


def test_tables_of_several_heads_can_be_hidden(shown):
    found, _ = shown
    found.press("j")
    found.press("j")
    assert found.run("document.querySelectorAll('table').length") == 2
    found.run("document.querySelector('#views button').click()")
    assert found.run("document.querySelectorAll('table').length") == 1
    assert found.run("document.activeElement.getAttribute('aria-pressed')") == "false"
    found.run("document.querySelector('#views button').click()")
    assert found.run("document.querySelectorAll('table').length") == 2


def test_search_leaves_the_sentences_with_the_words(shown):
    found, _ = shown
    found.run("document.activeElement.blur()")
    found.press("/")
    for letter in "SATZ 17":
        found.press(letter)
    options = found.run("document.getElementById('sentence').options.length")
    assert options == 20  # 17, 117 to 917, 170 to 179
    found.run("document.activeElement.blur()")


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone(shown, dark):
    found, _ = shown
    found.resize(360, 700, dark=dark)
    assert found.run("document.documentElement.scrollWidth") <= 360
    background = found.run("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(13, 17, 23)" if dark else "rgb(255, 255, 255)")
    found.run("document.getElementById('theme').value = 'light'")
    found.run("document.getElementById('theme').dispatchEvent(new Event('change'))")
    assert found.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    found.run("document.getElementById('theme').value = ''")
    found.run("document.getElementById('theme').dispatchEvent(new Event('change'))")
