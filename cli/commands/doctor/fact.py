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


def size(number: int) -> str:
    """Bytes as people read them."""
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"
