"""The pages that promise: every test that they name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
}


@pytest.mark.parametrize("page", ["reliability.md", "trials.md"])
def test_every_test_that_a_page_names_exists(page):
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs" / page).read_text(encoding="utf-8"))
    assert len(named) > 20
    assert not sorted(set(named) - TESTS)


RELIABILITY = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "names"), re.findall(r"`(tests/[\w/]+\.py)`((?:[:,] `test_\w+`)*)", RELIABILITY)
)
def test_a_promise_names_the_file_of_its_tests(file, names):
    found = re.findall(r"^def (test_\w+)", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    assert {*re.findall(r"`(test_\w+)`", names)} <= {*found}


def test_the_trials_are_numbered():
    text = (ROOT / "docs" / "trials.md").read_text(encoding="utf-8")
    numbers = re.findall(r"^\| (\d+) \|", text, re.MULTILINE)
    assert numbers == [str(number) for number in range(1, 52)]
