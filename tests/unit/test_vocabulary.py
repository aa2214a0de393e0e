"""Names in the code are the field's words: words that were given up are in no identifier."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BETTER = {
    "alpha": "weights; the letter of a paper belongs in a docstring",
    "annotations": "memory",
    "ask": "query",
    "asks": "query",
    "attn": "attention",
    "chance": "generator, rng, seed, probability",
    "energy": "score",
    "fed": "feedback, extra_input",
    "feeds": "uses_input_feeding",
    "gold": "reference",
    "holding": "a verb that says what is returned",
    "hyp": "hypothesis",
    "look": "attend, attention",
    "looked": "attention output, weights",
    "looks": "attention, weights",
    "looped": "unrolled, bound, deferred_gradient",
    "moved": "shifted, reordered",
    "place": "position",
    "places": "positions",
    "pred": "hypothesis",
    "reading": "pass, forward pass",
    "readings": "passes",
    "room": "max_length, limit",
    "shut": "saturated, masked",
    "src": "source",
    "standing": "rank",
    "tell": "report, message",
    "tells": "reports",
    "tgt": "target",
    "told": "messages, reported",
    "trg": "target",
    "ways": "directions, variants",
    "wording": "plurals",
}
ALLOWED = {
    "alpha": "the exponent of a length penalty and of unigram sampling, as their papers call it",
    "check_alpha": "of the length penalty",
    "in_place": "torch's own word for an operation that overwrites its input",
    "looks_like": "resembles, of text",
    "line_feeds": "the character",
}
FOLDERS = ("cli", "data", "seq2seq", "scripts", "tests")


def python_files() -> Iterator[Path]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix == ".py" or (path.suffix == "" and is_python(path)):
                yield path


def is_python(path: Path) -> bool:
    return path.is_file() and path.read_bytes().startswith(b"#!/usr/bin/env python")


def words_of(name: str) -> list[str]:
    """The words of an identifier, split at underscores and capitals, without allowed phrases."""
    for phrase in sorted(ALLOWED, key=len, reverse=True):
        name = re.sub(rf"(?:^|(?<=_)){phrase}(?=_|$)", "", name)
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def bound_names(tree: ast.AST) -> Iterator[tuple[int, str, ast.expr | None]]:
    """Line, name and annotation of everything that a module names itself."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name, None
            case ast.arg():
                yield node.lineno, node.arg, node.annotation
            case ast.AnnAssign(target=ast.Name(id=name) | ast.Attribute(attr=name)):
                yield node.lineno, name, node.annotation
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id, None
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr, None
            case ast.alias(asname=str(name)) | ast.ExceptHandler(name=str(name)):
                yield node.lineno, name, None


def complaints(source: str, where: str) -> list[str]:
    found = {
        f"{where}:{line}: {name}: say {BETTER[word]} for {word!r}"
        for line, name, _ in bound_names(ast.parse(source))
        for word in words_of(name)
        if word in BETTER
    }
    for line, name, annotation in bound_names(ast.parse(source)):
        if name == "kind" and annotation and "dtype" in ast.unparse(annotation):
            found.add(f"{where}:{line}: kind: say dtype")
    return sorted(found)


def test_no_identifier_uses_a_word_that_was_given_up():
    found = []
    for path in python_files():
        where = str(path.relative_to(ROOT))
        found += complaints(path.read_text(encoding="utf-8"), where)
        for word in words_of(path.stem):
            if word in BETTER:
                found.append(f"{where}: say {BETTER[word]} for {word!r}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("def looked(x): ...", "looked"),
        ("class StateMoved: ...", "moved"),
        ("def f(x, *, read_chance=0): ...", "chance"),
        ("self.was_told = 1", "told"),
        ("for place in range(3): ...", "place"),
        ("import numpy as src", "src"),
        ("def f(kind: torch.dtype): ...", "kind"),
        ("kind: torch.dtype | None = None", "kind"),
    ],
)
def test_a_word_that_was_given_up_is_found(source, word):
    (complaint,) = complaints(source, "a.py")
    assert complaint.startswith("a.py:1: ") and word in complaint


@pytest.mark.parametrize(
    "source",
    [
        "def looks_like_pieces(line): ...",
        "def f(kind: str): ...",
        "rng.choice(told_by_others)",
        "placement = unfed = 1",
        "length_divisor(3, alpha=1.0)",
        "def check_alpha(alpha: float): ...",
    ],
)
def test_other_meanings_and_other_peoples_names_are_left_alone(source):
    assert complaints(source, "a.py") == []
