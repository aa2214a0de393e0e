"""The result of examining a corpus, as plain values."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from data.health.shifts import Stretch
from seq2seq.system.figures import counted

SCHEMA_VERSION = 1

Severity = Literal["fault", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("fault", "warning", "note")  # the most severe first


@dataclass(frozen=True, slots=True)
class Example:
    """A pair of lines; long texts are shortened, and None where that side has no such line."""

    line: int  # 1-based
    source: str | None = None
    target: str | None = None
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth knowing about a corpus."""

    code: str
    severity: Severity
    message: str
    count: int  # lines or pairs concerned
    advice: str = ""
    examples: tuple[Example, ...] = ()

    def sentence(self) -> str:
        """The message and the advice on one line."""
        return f"{self.message}; {self.advice}" if self.advice else self.message


@dataclass(frozen=True, slots=True)
class Histogram:
    """Bar i counts the values from edge i to edge i + 1; the outer bars also those beyond."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Distribution:
    """Percentiles and a histogram of lengths or ratios."""

    least: float
    percentile_5: float
    median: float
    percentile_95: float
    percentile_99: float
    greatest: float
    histogram: Histogram


@dataclass(frozen=True, slots=True)
class SideHealth:
    """Counts and lengths of one file."""

    name: str
    lines: int
    blank: int
    words: Distribution | None  # between spaces, of nonblank lines
    characters: Distribution | None


@dataclass(frozen=True, slots=True)
class Drop:
    """Pairs that cleaning with these settings would drop for one reason."""

    reason: str
    count: int
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class CorpusHealth:
    """Everything that `examine` finds out; the fields are the keys of the JSON report."""

    source: SideHealth
    target: SideHealth
    pairs: int  # lines that both files have
    usable: int  # pairs that cleaning keeps
    blank_pairs: int
    duplicate_pairs: int  # copies beyond the first
    ambiguous_sources: int  # distinct sources with more than one target
    identical_pairs: int
    ratio: Distribution | None  # target characters per source character
    length_correlation: float | None
    drops: tuple[Drop, ...]
    stretches: tuple[Stretch, ...]
    findings: tuple[Finding, ...]  # the most severe first

    @property
    def faults(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.severity == "fault")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.severity == "warning")

    def as_json(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "can_be_used": not self.faults,
            "verdict": verdict(self),
        } | asdict(self)


def verdict(health: CorpusHealth) -> str:
    """The report in one sentence."""
    if health.faults:
        most = health.faults[0].message
        others = len(health.faults) - 1
        more = f" (and {counted(others, 'more fault')})" if others else ""
        return f"this corpus cannot be used yet: {most}{more}"
    found = f"{counted(health.pairs, 'pair')}, {health.usable:,} usable"
    if not health.warnings:
        return f"{found}; nothing to worry about"
    return f"{found}; {counted(len(health.warnings), 'thing')} to look at first"
