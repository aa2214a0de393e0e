"""One line of `seq2seq doctor`."""

from __future__ import annotations

from typing import Any, NamedTuple

DISTRIBUTION = "seq2seq-trainer"


class Fact(NamedTuple):
    """A name with its value: `value` for --json, `text` for people."""

    key: str
    value: Any
    text: str
    problem: str = ""  # what is wrong, where that keeps the program from working
