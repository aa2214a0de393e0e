"""CONTRIBUTING.md says what the import contracts of pyproject.toml check."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = " ".join((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split())
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
