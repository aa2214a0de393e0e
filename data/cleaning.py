"""Cleaning rules: a rule maps a pair to the reason to drop it from training, or to None.

The first rule that applies gives the reason; the report counts the reasons and keeps the first few
line numbers of each. Held-out sets are never cleaned: that would make a test easier.
"""

import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from data.config import DataConfig
from data.corpus import SentencePair

Rule = Callable[[SentencePair], str | None]
EXAMPLE_LINES = 5  # line numbers kept for each reason


def cleaning_rules(config: DataConfig) -> tuple[Rule, ...]:
    """The rules of these settings, in the order in which they apply."""
    return (
        blank,
        broken_encoding,
        control_characters,
        partial(too_many_words, limit=config.max_words),
        partial(too_many_characters, limit=config.max_characters),
        partial(unequal_lengths, limit=config.max_ratio),
    )


def reason_to_drop(pair: SentencePair, rules: Sequence[Rule]) -> str | None:
    """The reason of the first rule that applies; None if the pair is kept."""
    for rule in rules:
        if reason := rule(pair):
            return reason
    return None


def blank(pair: SentencePair) -> str | None:
    """Blank is text of white space alone."""
    if pair.source.strip() and pair.target.strip():
        return None
    if not pair.source.strip() and not pair.target.strip():
        return "both sides blank"
    return "source blank" if not pair.source.strip() else "target blank"


def broken_encoding(pair: SentencePair) -> str | None:
    """U+FFFD replaces a character that an earlier program could not decode."""
    return (
        "lost characters (U+FFFD)" if "\ufffd" in pair.source or "\ufffd" in pair.target else None
    )


def control_characters(pair: SentencePair) -> str | None:
    faulty = has_control_characters(pair.source) or has_control_characters(pair.target)
    return "control characters" if faulty else None


def has_control_characters(text: str) -> bool:
    """Whether there is a character of Unicode's category Cc other than the tab."""
    if text.isprintable():
        return False
    return any(c != "\t" and unicodedata.category(c) == "Cc" for c in text)


def too_many_words(pair: SentencePair, *, limit: int) -> str | None:
    longest = max(len(pair.source.split()), len(pair.target.split()))
    return f"over {limit} words" if longest > limit else None


def too_many_characters(pair: SentencePair, *, limit: int) -> str | None:
    longest = max(len(pair.source), len(pair.target))
    return f"over {limit} characters" if longest > limit else None


def unequal_lengths(pair: SentencePair, *, limit: float) -> str | None:
    """Lengths in characters, each plus 10, whose ratio is over the limit."""
    shorter, longer = sorted((len(pair.source), len(pair.target)))  # characters
    return (
        f"lengths differ by over {limit:g} times" if longer + 10 > limit * (shorter + 10) else None
    )


@dataclass
class CleaningReport:
    """Counts of pairs read and dropped, with the reasons and example lines (from 1)."""

    read: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[int]] = field(default_factory=dict)

    @property
    def dropped(self) -> int:
        return sum(self.reasons.values())

    @property
    def kept(self) -> int:
        return self.read - self.dropped

    def drop(self, reason: str, *, line: int) -> None:
        """Count a pair that was dropped."""
        self.reasons[reason] += 1
        lines = self.examples.setdefault(reason, [])
        if len(lines) < EXAMPLE_LINES:
            lines.append(line)

    def add(self, other: "CleaningReport") -> None:
        """Add the report of the lines that follow."""
        self.read += other.read
        self.reasons.update(other.reasons)
        for reason, lines in other.examples.items():
            self.examples[reason] = (self.examples.get(reason, []) + lines)[:EXAMPLE_LINES]

    def with_line_offset(self, lines: int) -> "CleaningReport":
        """A copy whose line numbers are `lines` greater."""
        examples = {why: [line + lines for line in found] for why, found in self.examples.items()}
        return CleaningReport(self.read, Counter(self.reasons), examples)

    def as_json(self) -> dict[str, object]:
        return {
            "read": self.read,
            "kept": self.kept,
            "reasons": dict(self.reasons.most_common()),
            "examples": self.examples,
        }
