"""What every corpus of the catalogue is described by, and what it is once fetched."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from data.corpus import SentencePair

Tell = Callable[[str], None]  # hears one line when something slow begins

_LINE_BREAKS = re.compile(r"\s*[\n\r\t\v\f\x1c-\x1e\x85\u2028\u2029]\s*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One corpus as the catalogue lists it; nothing here needs a download."""

    name: str
    summary: str
    pairs: int  # in all splits, for the default languages
    held_out: tuple[str, ...]  # splits beside `train`, the one to tune on first
    languages: tuple[str, ...]
    source_language: str  # the default direction
    target_language: str
    terms: str  # licence and conditions
    origin: str
    download_bytes: int  # 0 when it is embedded


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """A corpus in one direction: pairs a split, and links where people have drawn them."""

    splits: dict[str, list[SentencePair]]
    origin: dict[str, Any]  # versions, addresses and hashes of what was read
    links: dict[str, list[str]] = field(default_factory=dict)  # Pharaoh lines a split


def one_line(text: str) -> str:
    """Text as it is, but every run of white space with a line break or tab is one space."""
    return _LINE_BREAKS.sub(" ", text.strip())


def folded(text: str) -> str:
    """What two texts share that differ in case, width or spacing alone."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
