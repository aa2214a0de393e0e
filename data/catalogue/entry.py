"""The description of a corpus in the catalogue, and a corpus once it is fetched."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from data.corpus import SentencePair

Notify = Callable[[str], None]
"""Called with a line of text when something slow begins."""

_LINE_BREAKS = re.compile(r"\s*[\n\r\t\v\f\x1c-\x1e\x85\u2028\u2029]\s*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One corpus as the catalogue lists it, and how to fetch it."""

    name: str
    summary: str
    pairs: int  # in all splits, for the default languages
    held_out: tuple[str, ...]  # splits other than `train`, the validation set first
    languages: tuple[str, ...]
    source_language: str  # the default direction
    target_language: str
    terms: str  # licence and conditions
    origin: str
    download_bytes: int  # 0 when it is embedded
    fetch: "Fetch" = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """Everything but `fetch`."""
        names = (each.name for each in fields(self) if each.name != "fetch")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchedCorpus:
    """A corpus in one direction: the pairs of each split, and word links drawn by people."""

    splits: dict[str, list[SentencePair]]
    origin: dict[str, Any]  # versions, addresses and hashes of what was read
    links: dict[str, list[str]] = field(default_factory=dict)  # split -> lines in Pharaoh format


class Fetch(Protocol):
    def __call__(
        self, source_language: str, target_language: str, *, location: str | None, notify: Notify
    ) -> FetchedCorpus:
        """The corpus from `location` (a file, folder or address), from the cache, or from its
        origin. Raises CorpusError for a wrong hash, ResourceError where it cannot be reached."""


def one_line(text: str) -> str:
    """The text with each run of white space that has a line break or tab as one space."""
    return _LINE_BREAKS.sub(" ", text.strip())


def fold_text(text: str) -> str:
    """Equal for texts that differ in case, character width or spacing alone."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
