"""The page about attention: its examples run, and it leaves nothing of the library out."""

import doctest
import importlib
import inspect
import re
from pathlib import Path
from unittest import mock

import pytest
import torch

from seq2seq.attention.normalizers import NORMALIZERS
from seq2seq.attention.scopes import Scope
from seq2seq.attention.scores import SCORES

PAGE = Path(__file__).parents[3] / "docs" / "attention.md"
TEXT = PAGE.read_text(encoding="utf-8")
MODULES = ("attention", "coverage", "masks", "normalizers", "scopes", "scores", "self_attention")


def fences() -> list[pytest.param]:  # type: ignore[valid-type]
    """The Python of the page, each under its heading and the line where it starts."""
    found = []
    for fence in re.finditer(r"^```python\n(.*?)^```$", TEXT, flags=re.DOTALL | re.MULTILINE):
        before = TEXT[: fence.start()]
        heading = re.findall(r"^#+ (.*)$", before, flags=re.MULTILINE)[-1]
        line = before.count("\n") + 2  # of the page, counted from 1
        found.append(pytest.param(fence[1], line, id=f"{heading}, line {line}"))
    return found


@pytest.mark.parametrize(("example", "line"), fences())
def test_the_example_runs_by_itself(example, line):
    torch.manual_seed(0)
    with mock.patch.dict(SCORES):
        if ">>>" in example:
            test = doctest.DocTestParser().get_doctest(example, {}, "example", str(PAGE), line - 1)
            messages: list[str] = []
            assert test.examples
            doctest.DocTestRunner().run(test, out=messages.append)
            assert not messages, "".join(messages)
        else:
            lines = "\n" * (line - 1)  # so that a traceback has the page's line numbers
            exec(compile(lines + example, PAGE, "exec"), {"__name__": "example"})


def test_there_are_examples():
    assert len(fences()) >= 12


@pytest.mark.parametrize("name", [*SCORES, *NORMALIZERS])
def test_every_score_and_normalizer_has_a_row(name):
    assert re.search(rf"^\| `{name}` \|", TEXT, flags=re.MULTILINE)


@pytest.mark.parametrize(
    "scope", [kind for kind in Scope.__subclasses__() if kind.__module__ == Scope.__module__]
)
def test_every_scope_has_a_row(scope):
    assert re.search(rf"^\| `{scope.__name__}\(", TEXT, flags=re.MULTILINE)


@pytest.mark.parametrize("module", MODULES)
def test_everything_public_is_on_the_page(module):
    loaded = importlib.import_module(f"seq2seq.attention.{module}")
    names = [
        name
        for name, value in vars(loaded).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == loaded.__name__
    ]
    assert names
    missing = [name for name in names if not re.search(rf"\b{name}\b", TEXT)]
    assert not missing


@pytest.mark.parametrize(
    "row", re.findall(r"^\| `\w+` \| `(\w+\([\w, ]*\))` \|", TEXT, flags=re.MULTILINE)
)
def test_a_score_takes_what_the_table_says(row):
    name, arguments = row.rstrip(")").split("(")
    kind = getattr(importlib.import_module("seq2seq.attention.scores"), name)
    wanted = set(inspect.signature(kind).parameters) - {"heads", "args", "kwargs"}
    assert wanted == {argument for argument in arguments.split(", ") if argument}


def test_links_within_the_page_arrive():
    headings = re.findall(r"^#+ (.*)$", TEXT, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([\w-]+)\)", TEXT)) <= anchors


def test_the_film_block_is_what_the_script_writes():
    """Its figures take long; here it is what was typed, and where it was seen."""
    block = TEXT.partition("<!-- recommend_films: from here -->")[2]
    block = block.partition("<!-- recommend_films: to here -->")[0]
    assert re.search(r"Seen on \d{4}-\d\d-\d\d on .* cores.* Python 3.* torch 2", block)
    assert "```console\n$ python scripts/recommend_films.py\n" in block
    for row in ("random", "popularity", "dot: weights", "dot: context", "(tastes known)"):
        assert f"│{row} " in block, row
