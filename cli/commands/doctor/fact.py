"""What `seq2seq doctor` finds out, a line each."""

from __future__ import annotations

from typing import Any, NamedTuple

DISTRIBUTION = "seq2seq-trainer"


class Fact(NamedTuple):
    """One line of the block; `value` is what a program reads, `text` what a person does."""

    key: str
    value: Any
    text: str
    problem: str = ""  # set where the program cannot do its work like this
