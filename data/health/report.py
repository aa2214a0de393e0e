"""What is known of a corpus once it has been examined, as plain values."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from data.health.shifts import Stretch
from seq2seq.system.figures import counted

SCHEMA_VERSION = 1

Severity = Literal["fault", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("fault", "warning", "note")  # the gravest first


@dataclass(frozen=True, slots=True)
class Example:
    """A place to look at; texts are shortened, and None where that side has no such line."""

    line: int  # 1-based
    source: str | None = None
    target: str | None = None
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    code: str
    severity: Severity
    message: str
    count: int  # lines or pairs concerned
    advice: str = ""
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class Histogram:
    """Bar i counts from its edge to the next; the first and the last also take all beyond."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Distribution:
    least: float
    percentile_5: float
    median: float
    percentile_95: float
    percentile_99: float
    greatest: float
    histogram: Histogram


@dataclass(frozen=True, slots=True)
class SideHealth:
    """One file."""

    name: str
    lines: int
    blank: int
    words: Distribution | None  # between spaces, of lines that are not blank
    characters: Distribution | None


@dataclass(frozen=True, slots=True)
class Drop:
    """What cleaning with these settings would take out."""

    reason: str
    count: int
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class CorpusHealth:
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
    findings: tuple[Finding, ...]  # the gravest first

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
    """The whole report in one sentence."""
    if health.faults:
        most = health.faults[0].message
        others = len(health.faults) - 1
        more = f" (and {counted(others, 'more fault')})" if others else ""
        return f"this corpus cannot be used yet: {most}{more}"
    found = f"{counted(health.pairs, 'pair')}, {health.usable:,} usable"
    if not health.warnings:
        return f"{found}; nothing to worry about"
    return f"{found}; {counted(len(health.warnings), 'thing')} to look at first"
