"""CHANGELOG.md says which formats and settings the program reads."""

import re
import tomllib
from pathlib import Path

from cli.runs import provenance
from cli.runs.config import REMOVED, RENAMED
from data import token_store
from seq2seq.checkpoints import checkpoint

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def test_the_first_row_and_the_first_section_are_of_this_version():
    assert re.findall(r"^\| (\d[\d.]+) \|", PAGE, flags=re.MULTILINE)[0] == VERSION
    assert re.findall(r"^## (\d[\d.]+)$", PAGE, flags=re.MULTILINE)[0] == VERSION


def test_the_formats_are_those_that_the_code_reads():
    (row,) = re.findall(rf"^\| {re.escape(VERSION)} \| (.*) \|$", PAGE, flags=re.MULTILINE)
    stores, runs, checkpoints, _ = row.split(" | ")
    assert stores == f"{token_store.PLAIN_VERSION}, {token_store.FORMAT_VERSION}"
    assert runs == ", ".join(map(str, provenance.READABLE_VERSIONS))
    assert checkpoints == str(checkpoint.FORMAT_VERSION)


def test_every_renamed_and_removed_setting_is_named():
    for old, new in RENAMED.items():
        section = old.partition(".")[0]
        assert f"| `{old}` | `{section}.{new}` |" in PAGE, old
    for name in REMOVED:
        assert f"`{name}`" in PAGE, name
