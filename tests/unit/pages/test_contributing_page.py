"""CONTRIBUTING.md says what the import contracts check, and names only what exists."""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PAGE = " ".join(TEXT.split())
PROSE = re.sub(r"^```.*?^```$", "", TEXT, flags=re.DOTALL | re.MULTILINE)
PACKAGES = ("cli", "data", "seq2seq")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRACTS = SETTINGS["tool"]["importlinter"]["contracts"]


def order_after(words: str) -> list[set[str]]:
    """The names in code spans that follow these words up to the full stop, split at "<"."""
    sentence = re.search(rf"{re.escape(words)}(.*?)\.(?: |$)", PAGE)
    assert sentence, words
    return [
        {name for span in re.findall(r"`([^`]+)`", group) for name in re.split(r",\s*", span)}
        for group in sentence[1].split("<")
    ]


def layers(contract: dict[str, object]) -> list[set[str]]:
    """The layers of a contract, the lowest first."""
    return [set(re.split(r"\s*\|\s*", layer)) for layer in reversed(contract["layers"])]


def test_the_order_of_the_packages_is_that_of_the_contract():
    (contract,) = (c for c in CONTRACTS if c["type"] == "layers" and "containers" not in c)
    assert order_after("Imports point one way:") == layers(contract)


def test_the_order_of_the_wings_of_seq2seq_is_that_of_the_contract():
    (contract,) = (c for c in CONTRACTS if c.get("containers") == ["seq2seq"])
    assert order_after("Inside `seq2seq`:") == layers(contract)


def test_what_data_knows_of_seq2seq_is_what_the_contract_allows():
    (contract,) = (c for c in CONTRACTS if c.get("protected_modules") == ["seq2seq.*"])
    allowed = {name.split()[-1].split(".")[1] for name in contract["ignore_imports"]}
    assert order_after("Of `seq2seq`, `data` knows only") == [allowed]


def quoted(text: str) -> list[str]:
    """The words in backticks."""
    return re.findall(r"`([^`\n]+)`", text)


@cache
def names_in(path: Path) -> frozenset[str]:
    """Every name that a module defines, uses or takes as an argument."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.Name(id=name):
                names.add(name)
            case ast.Attribute(attr=name) | ast.arg(arg=name) | ast.alias(name=name):
                names.add(name)
    return frozenset(names)


def known_names() -> set[str]:
    modules = [
        path for folder in (*PACKAGES, "tests/support") for path in (ROOT / folder).rglob("*.py")
    ]
    return {name for path in modules for name in names_in(path)} | {
        part for path in modules for part in (*path.relative_to(ROOT).parts[:-1], path.stem)
    }


def test_every_path_exists():
    paths = [path for path in quoted(PROSE) if re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", path)]
    paths = [path for path in paths if "/" in path or path.endswith((".md", ".toml", ".py"))]
    assert len(paths) > 20
    written_by_runs = {"config.toml"}
    assert not [p for p in paths if p not in written_by_runs and not (ROOT / p).exists()]


def test_every_name_exists():
    names = [name.removesuffix("()") for name in quoted(PROSE)]
    names = [re.sub(r"\(\w*\)$", "", name) for name in names]
    names = [name for name in names if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", name)]
    names = [name for name in names if not name.endswith((".md", ".toml", ".py"))]
    known = known_names()
    assert len(names) > 20
    assert not [name for name in names if not set(name.split(".")) <= known]


def test_the_house_has_every_folder():
    (house,) = re.findall(r"^```\n(.*?)^```$", TEXT, flags=re.DOTALL | re.MULTILINE)
    folders = {
        path.name
        for package in PACKAGES
        for path in [ROOT / package, *(ROOT / package).iterdir()]
        if (path / "__init__.py").exists()
    }
    assert folders - {"presets", "recipes"} <= set(re.findall(r"^ *(\w+)/ ", house, re.MULTILINE))


WALKS = re.findall(r"^### (.*)\n\n((?:\d+\. .*\n)+)", PROSE, flags=re.MULTILINE)


def test_there_are_four_walks_and_bahdanaus_step():
    assert len(WALKS) == 5
    assert all(len(lines.splitlines()) <= 15 for _, lines in WALKS)
    step = WALKS[-1][1]
    assert len({path for path in quoted(step) if "/" in path}) == len(step.splitlines()) == 5


def test_every_name_of_a_walk_is_in_the_file_before_it():
    checked = 0
    for _, lines in WALKS:
        for line in lines.splitlines():
            files = list[Path]()
            for quote in quoted(line):
                if "/" in quote and " " not in quote:
                    files.append(ROOT / quote)
                elif re.fullmatch(r"\w+", quote) and files[-1].suffix == ".py":
                    assert any(quote in names_in(file) for file in files), line
                    checked += 1
    assert checked > 40
