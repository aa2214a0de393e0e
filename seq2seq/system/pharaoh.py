"""Word links as text, in the format of the Pharaoh decoder and its successors."""

import re
from typing import Literal, NamedTuple, cast

from seq2seq.errors import CorpusError

_ENTRY = re.compile(r"([0-9]{1,9})([-?p])([0-9]{1,9})")


class LinkEntry(NamedTuple):
    """One entry of a line: `3-1` is a sure link, `3?1` and `3p1` are possible ones."""

    source: int
    target: int
    mark: Literal["-", "?", "p"]


def parse_entries(line: str) -> list[LinkEntry]:
    """The entries of a line, in its order. Raises CorpusError for anything else in it."""
    found = []
    for entry in line.split():
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise CorpusError(
                f"{entry[:40]!r} is not an alignment link",
                hint="links look like `0-0 2-1`: source word, hyphen, target word, counted from 0",
            )
        mark = cast(Literal["-", "?", "p"], match[2])
        found.append(LinkEntry(int(match[1]), int(match[3]), mark))
    return found
