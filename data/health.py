"""How healthy a parallel corpus is: everything worth knowing before hours of training, as values.

Both files are read once, side by side and in bounded pieces; of each line there remain its lengths,
a 64-bit hash and its traces (about 40 bytes a pair). A second, shorter reading fetches the text of
examples. What training would refuse is a fault; what it would survive, but badly, a warning.
"""

import codecs
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from data.cleaning import CleaningReport, cleaning_rules, reason_to_drop
from data.config import DataConfig
from data.corpus import SentencePair, open_bytes, read_raw_lines
from data.shifts import (
    BLANK,
    LineTraces,
    Stretch,
    find_stretches,
    join_traces,
    length_correlation,
    trace_lines,
)

SCHEMA_VERSION = 1
EXAMPLES = 3  # of each finding
SHOWN = 200  # characters of an example that are kept
BARS = 24  # of a histogram
_PIECE = 1 << 18  # bytes of source text read at a time

# What is worth a warning and not only a note; shares of all pairs.
MANY_DROPPED = 0.1
MANY_REPEATED = 0.1
MANY_IDENTICAL = 0.1
MANY_SUSPECT_ENCODINGS = 0.001
FEW_PAIRS = 1000
LEAST_LOST = 50  # lines that fit nowhere before it is said
NO_CORRELATION = 0.1  # of line lengths, in at least ENOUGH_LINES lines
ENOUGH_LINES = 200

Severity = Literal["fault", "warning", "note"]


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


def examine(
    source: Path,
    target: Path,
    config: DataConfig | None = None,
    *,
    names: tuple[str, str] | None = None,
    advance: Callable[[int], object] = lambda lines: None,
) -> CorpusHealth:
    """Read a corpus and report on it; `names` stand for the paths, `advance` hears of lines read.

    Raises CorpusError only for what cannot be read at all: a missing file, a directory, bad gzip.
    """
    config = config or DataConfig()
    name_source, name_target = names or (str(source), str(target))
    left, right = _Side(name_source, source), _Side(name_target, target)
    cleaning, dropped = _read(left, right, config, advance)
    pairs = min(left.lines, right.lines)
    stretches = _told(find_stretches(left.traces(), right.traces()))
    correlation = length_correlation(left.traces(), right.traces())
    copies = _find_copies(left, right, pairs)
    same = _same_file(source, target)
    sides = (left,) if same else (left, right)
    findings = [
        *_readability(sides),
        *_counts(left, right, stretches),
        *_shifts(left, right, stretches),
        *_unrelated(correlation, stretches, pairs),
        *_sameness(same, copies, pairs),
        *_suspect_encodings(sides),
        *_losses(cleaning, left, right),
        *_repetitions(copies, pairs),
        *_line_breaks(sides),
        *_remarks(sides, cleaning.kept),
    ]
    findings.sort(key=lambda finding: ("fault", "warning", "note").index(finding.severity))
    words = _length_distributions(
        (left.words(), left.longest_words), (right.words(), right.longest_words)
    )
    characters = _length_distributions(
        (left.traces().characters, left.longest_characters),
        (right.traces().characters, right.longest_characters),
    )
    return CorpusHealth(
        source=SideHealth(left.name, left.lines, left.blank, words[0], characters[0]),
        target=SideHealth(right.name, right.lines, right.blank, words[1], characters[1]),
        pairs=pairs,
        usable=cleaning.kept,
        blank_pairs=cleaning.reasons["both sides blank"],
        duplicate_pairs=copies.duplicates,
        ambiguous_sources=copies.ambiguous,
        identical_pairs=len(copies.identical),
        ratio=_ratio(left, right, pairs),
        length_correlation=correlation,
        drops=tuple(
            Drop(reason, count, tuple(dropped[reason]))
            for reason, count in cleaning.reasons.most_common()
        ),
        stretches=stretches,
        findings=_illustrated(findings, left, right),
    )


def verdict(health: CorpusHealth) -> str:
    """The whole report in one sentence."""
    if health.faults:
        most = health.faults[0].message
        others = len(health.faults) - 1
        more = f" (and {_n(others, 'more fault')})" if others else ""
        return f"this corpus cannot be used yet: {most}{more}"
    found = f"{_n(health.pairs, 'pair')}, {health.usable:,} usable"
    if not health.warnings:
        return f"{found}; nothing to worry about"
    return f"{found}; {_n(len(health.warnings), 'thing')} to look at first"


# --- Reading -------------------------------------------------------------------------------------


@dataclass
class _Suspects:
    """Lines of one kind of oddity: how many, and the first few."""

    count: int = 0
    examples: list[tuple[int, str]] = field(default_factory=list)  # line number, remark

    def add(self, line: int, remark: str = "") -> None:
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append((line, remark))

    def as_examples(self) -> tuple[Example, ...]:
        return tuple(Example(line, remark=remark) for line, remark in self.examples)


# Line ends to other programs, text to us.
_BREAKS = re.compile("[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f]")
# UTF-8 once more encoded as UTF-8 from Latin-1 or Windows-1252. One such pair of characters is
# proof where it is nothing else ("Ã¤", "â€™"); other scripts' need two in a row ("Ð¿Ñ€").
_TAIL = "[\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"
_TWICE = re.compile(
    f"Ã{_TAIL}|Â[\x80-\xbf]|â[\x80€][\x80-\xbfœžŸ˜™š›“”¢¦¹º]|(?:[Ä-ßÂ]{_TAIL}){{2}}"
    f"|(?:[à-ï]{_TAIL}{_TAIL}){{2}}|ðŸ"
)
_MAYBE_TWICE = re.compile(f"[Â-ð]{_TAIL}")  # in all of these, and quick to look for


class _Side:
    """What is remembered of one file while it is read."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self.lines = self.blank = self.carriage_returns = 0
        self.marked = self.utf16 = False  # byte-order marks
        self.invalid, self.lost, self.twice = _Suspects(), _Suspects(), _Suspects()
        self.breaks, self.controls, self.nul = _Suspects(), _Suspects(), _Suspects()
        self.longest_words = self.longest_characters = 0
        self._hashes: list[NDArray[np.int64]] = []
        self._words: list[NDArray[np.uint16]] = []
        self._traces: list[LineTraces] = []

    def pieces(self) -> Iterator[list[bytes]]:
        """The raw lines of the file, some at a time, with their ends."""
        first = True
        with open_bytes(self.path) as stream:
            while piece := stream.readlines(_PIECE):
                if first:
                    first = False
                    if piece[0].startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                        self.utf16 = True
                        return
                    self.marked = piece[0].startswith(codecs.BOM_UTF8)
                    piece[0] = piece[0].removeprefix(codecs.BOM_UTF8)
                yield piece

    def take(self, piece: Sequence[bytes]) -> tuple[list[str], set[int]]:
        """The lines as text, and which of them (by index) are not valid UTF-8."""
        lines, invalid = self._decoded(piece)
        for index, raw in enumerate(piece):
            if b"\0" in raw:
                self.nul.add(self.lines + index + 1)
        words = list(map(len, map(str.split, lines)))
        self.blank += words.count(0)
        self.longest_words = max(self.longest_words, max(words))
        self.longest_characters = max(self.longest_characters, max(map(len, lines)))
        self._words.append(np.array(words).clip(max=65_535).astype(np.uint16))
        # Python's own hash: keyed anew for each process, so no corpus can be made to collide
        self._hashes.append(np.fromiter(map(hash, lines), np.int64, len(lines)))
        self._traces.append(trace_lines(lines))
        if not all(map(str.isprintable, lines)):
            self._note_oddities(lines, invalid)
        self._note_encodings(lines, invalid)
        self.lines += len(lines)
        return lines, invalid

    def _decoded(self, piece: Sequence[bytes]) -> tuple[list[str], set[int]]:
        try:
            text = b"".join(piece).decode("utf-8")
        except UnicodeDecodeError:
            return self._decoded_singly(piece)
        lines = text.split("\n")
        if text.endswith("\n"):
            lines.pop()
        if "\r" in text:
            self.carriage_returns += sum(line.endswith("\r") for line in lines)
            lines = [line.removesuffix("\r") for line in lines]
        return lines, set()

    def _decoded_singly(self, piece: Sequence[bytes]) -> tuple[list[str], set[int]]:
        lines, invalid = [], set()
        for index, raw in enumerate(piece):
            self.carriage_returns += raw.endswith((b"\r\n", b"\r"))
            raw = raw.removesuffix(b"\n").removesuffix(b"\r")
            try:
                lines.append(raw.decode("utf-8"))
            except UnicodeDecodeError as error:
                number = self.lines + index + 1
                self.invalid.add(
                    number,
                    f"{self.name}:{number}: byte {error.start + 1} (0x{raw[error.start]:02x})",
                )
                invalid.add(index)
                lines.append(raw.decode("utf-8", errors="replace"))
        return lines, invalid

    def _note_oddities(self, lines: Sequence[str], invalid: set[int]) -> None:
        for index, line in enumerate(lines):
            if line.isprintable() or index in invalid:
                continue
            number = self.lines + index + 1
            if found := _BREAKS.search(line):
                self.breaks.add(number, f"U+{ord(found[0]):04X} at character {found.start() + 1}")
            if found := _CONTROLS.search(line):
                self.controls.add(number, f"U+{ord(found[0]):04X} at character {found.start() + 1}")

    def _note_encodings(self, lines: Sequence[str], invalid: set[int]) -> None:
        text = "\n".join(lines)
        if text.isascii():
            return
        lost, twice = "\ufffd" in text, _MAYBE_TWICE.search(text) is not None
        if not lost and not twice:
            return
        for index, line in enumerate(lines):
            if index in invalid:
                continue
            number = self.lines + index + 1
            if lost and "\ufffd" in line:
                self.lost.add(number, f"{self.name}:{number}")
            if twice and (found := _TWICE.search(line)):
                self.twice.add(number, f"{self.name}:{number}: “{found[0]}”{_once(found[0])}")

    @property
    def looks_like_utf16(self) -> bool:
        """Without a mark, by a NUL in most lines: half the bytes of Western text are NUL."""
        return self.nul.count > self.lines / 2

    def hashes(self) -> NDArray[np.int64]:
        return np.concatenate(self._hashes) if self._hashes else np.zeros(0, np.int64)

    def words(self) -> NDArray[np.uint16]:
        return np.concatenate(self._words) if self._words else np.zeros(0, np.uint16)

    def characters(self) -> NDArray[np.uint16]:
        return self.traces().characters

    def traces(self) -> LineTraces:
        if len(self._traces) != 1:
            self._traces = [join_traces(self._traces)]
        return self._traces[0]


def _once(text: str) -> str:
    """What doubly encoded text may have been."""
    try:
        return f" may have been “{b''.join(map(_western_byte, text)).decode('utf-8')}”"
    except UnicodeError:
        return ""


def _western_byte(character: str) -> bytes:
    """Windows-1252, and Latin-1 for the five bytes that it leaves open."""
    try:
        return character.encode("cp1252")
    except UnicodeEncodeError:
        return character.encode("latin-1")


def _read(
    left: _Side, right: _Side, config: DataConfig, advance: Callable[[int], object]
) -> tuple[CleaningReport, dict[str, list[Example]]]:
    """Read both files in step; returns what cleaning would do to the pairs, with examples."""
    rules, report = cleaning_rules(config), CleaningReport()
    dropped: dict[str, list[Example]] = {}
    targets = itertools.chain.from_iterable(right.pieces())
    for piece in left.pieces():
        start = left.lines
        sources, bad_sources = left.take(piece)
        facing = list(itertools.islice(targets, len(piece)))
        others, bad_targets = right.take(facing) if facing else ([], set())
        unread = bad_sources | bad_targets
        for index, pair in enumerate(map(SentencePair, sources, others)):
            report.read += 1
            reason = "not valid UTF-8" if index in unread else reason_to_drop(pair, rules)
            if reason:
                number = start + index + 1
                report.drop(reason, line=number)
                shown = dropped.setdefault(reason, [])
                if len(shown) < EXAMPLES and index not in unread:  # a finding shows those
                    shown.append(Example(number, _short(pair.source), _short(pair.target)))
        advance(len(piece))
    while rest := list(itertools.islice(targets, 4096)):
        right.take(rest)
        advance(len(rest))
    return report, dropped


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


# --- Judging -------------------------------------------------------------------------------------


def _readability(sides: Sequence[_Side]) -> Iterator[Finding]:
    """What training would refuse to read."""
    for side in sides:
        if side.utf16:
            yield Finding(
                "utf-16",
                "fault",
                f"{side.name} looks like UTF-16, not UTF-8",
                1,
                "convert it: `iconv -f UTF-16 -t UTF-8 FILE > NEW`",
            )
        elif not side.lines:
            yield Finding(
                "empty", "fault", f"{side.name} is empty", 1, "give a file with one sentence a line"
            )
        elif side.looks_like_utf16:
            yield Finding(
                "utf-16",
                "fault",
                f"{side.name} looks like UTF-16 without a mark: most lines hold NUL",
                side.nul.count,
                "convert it: `iconv -f UTF-16LE -t UTF-8 FILE > NEW` (or UTF-16BE)",
                side.nul.as_examples(),
            )
        elif side.invalid.count:
            yield Finding(
                "invalid-utf-8",
                "fault",
                f"{_n(side.invalid.count, 'line')} of {side.name} "
                f"{_are(side.invalid.count)} not valid UTF-8",
                side.invalid.count,
                "convert the file, for example with `iconv -f LATIN1 -t UTF-8`",
                side.invalid.as_examples(),
            )


def _counts(left: _Side, right: _Side, stretches: Sequence[Stretch]) -> Iterator[Finding]:
    surplus = right.lines - left.lines
    if not surplus or not stretches:
        return
    shorter, longer = (left, right) if surplus > 0 else (right, left)
    extra = _n(abs(surplus), "line")
    changes = [part for part in stretches[1:] if part.offset is not None]
    if stretches[0].offset not in (0, None):
        changes.insert(0, stretches[0])
    if changes:
        line = changes[0].first
        advice = f"{shorter.name} seems to lack {extra} near line {line:,}: compare the two there"
        if len({part.offset for part in changes}) > 1:
            places = ", ".join(f"{part.first:,}" for part in changes[:EXAMPLES])
            advice = f"the sides seem to shift near lines {places}: compare them there"
        numbers = [line + step for step in (-1, 0, 1)]
    else:
        line = min(left.lines, right.lines) + 1
        advice = (
            f"the sides seem to run together to the end of {shorter.name}; "
            f"what is over starts at {longer.name}:{line}"
        )
        numbers = [line - 1, line]
    near = [number for number, _ in shorter.breaks.examples if abs(number - line) < 20]
    if near:
        advice += (
            f"; {shorter.name}:{near[0]} holds a character that some programs take for a line end"
        )
    yield Finding(
        "unequal-counts",
        "fault",
        f"{left.name} has {_n(left.lines, 'line')} but {right.name} has {right.lines:,}",
        abs(surplus),
        advice,
        tuple(Example(number) for number in numbers if number > 0),
    )


def _shifts(left: _Side, right: _Side, stretches: Sequence[Stretch]) -> Iterator[Finding]:
    """With equal counts, stretches in which the sides do not face each other."""
    if left.lines != right.lines:
        return
    astray = [part for part in stretches if part.offset != 0]
    if not astray:
        return
    lines = sum(part.last - part.first + 1 for part in astray)
    places = "; ".join(_described(part) for part in astray[:EXAMPLES])
    more = f"; and {len(astray) - EXAMPLES} more" if len(astray) > EXAMPLES else ""
    yield Finding(
        "shifted",
        "warning",
        f"the sides do not seem to face each other in {_n(lines, 'line')}: {places}{more}",
        lines,
        "compare the sides there: a line lost on one side shifts all that follow",
        tuple(
            Example(part.first + step)
            for part in astray[:1]
            for step in (-1, 0, 1)
            if part.first + step > 0
        ),
    )


def _described(part: Stretch) -> str:
    where = f"lines {part.first:,} to {part.last:,}"
    if part.offset is None:
        return f"{where} fit nowhere near"
    words = f"{_n(abs(part.offset), 'line')} {'later' if part.offset > 0 else 'earlier'}"
    return f"{where} fit targets {words}"


def _unrelated(
    correlation: float | None, stretches: Sequence[Stretch], pairs: int
) -> Iterator[Finding]:
    if correlation is None or pairs < ENOUGH_LINES or correlation >= NO_CORRELATION:
        return
    if [part.offset for part in stretches] != [0]:
        return  # told already
    yield Finding(
        "unrelated",
        "warning",
        "long lines do not face long lines, nor short lines short ones "
        f"(correlation of lengths {correlation:.2f})",
        pairs,
        "are these two sides of one corpus, in the same order?",
        tuple(Example(number) for number in (1, 2, 3)),
    )


def _sameness(same: bool, copies: "_Copies", pairs: int) -> Iterator[Finding]:
    count = len(copies.identical)
    examples = tuple(Example(number) for number in copies.identical[:EXAMPLES].tolist())
    if same:
        yield Finding(
            "same-file",
            "warning",
            "source and target are the same file",
            pairs,
            "name two files, or go on if the model shall learn to copy",
        )
    elif count:
        share = count / pairs
        yield Finding(
            "identical",
            "warning" if share > MANY_IDENTICAL else "note",
            f"in {_n(count, 'pair')} ({_percent(share)}) source and target are identical",
            count,
            "untranslated lines teach a model to copy" if share > MANY_IDENTICAL else "",
            examples,
        )


def _suspect_encodings(sides: Sequence[_Side]) -> Iterator[Finding]:
    for side in sides:
        severity: Severity = (
            "warning" if side.twice.count > MANY_SUSPECT_ENCODINGS * side.lines else "note"
        )
        if side.twice.count:
            yield Finding(
                "encoded-twice",
                severity,
                f"{_n(side.twice.count, 'line')} of {side.name} may be encoded twice",
                side.twice.count,
                "UTF-8 was read as Latin-1 or Windows-1252 and written as UTF-8 again: "
                "undo it with `iconv -f UTF-8 -t CP1252`, or fetch the text anew",
                side.twice.as_examples(),
            )
        if side.lost.count:
            severity = (
                "warning" if side.lost.count > MANY_SUSPECT_ENCODINGS * side.lines else "note"
            )
            yield Finding(
                "lost-characters",
                severity,
                f"{_n(side.lost.count, 'line')} of {side.name} lost characters (U+FFFD) earlier",
                side.lost.count,
                "these pairs are dropped; the original text may still have the characters",
                side.lost.as_examples(),
            )


def _losses(cleaning: CleaningReport, left: _Side, right: _Side) -> Iterator[Finding]:
    if not cleaning.read:
        return
    if not cleaning.kept:
        yield Finding(
            "no-usable-pairs",
            "fault",
            f"cleaning would drop every pair ({_n(cleaning.read, 'pair')} read)",
            cleaning.dropped,
            "the reasons are listed under “cleaning”; the limits are settings of section data",
        )
    elif cleaning.dropped > MANY_DROPPED * cleaning.read:
        yield Finding(
            "many-dropped",
            "warning",
            f"cleaning would drop {_n(cleaning.dropped, 'pair')} "
            f"({_percent(cleaning.dropped / cleaning.read)})",
            cleaning.dropped,
            "the reasons are listed under “cleaning”",
        )
    for side, other in ((left, right), (right, left)):
        alone = cleaning.reasons[f"{'source' if side is left else 'target'} blank"]
        if alone > MANY_SUSPECT_ENCODINGS * cleaning.read and alone > EXAMPLES:
            yield Finding(
                "blank-on-one-side",
                "note",
                f"{_n(alone, 'line')} of {side.name} {_are(alone)} blank where {other.name} is not",
                alone,
            )


def _repetitions(copies: "_Copies", pairs: int) -> Iterator[Finding]:
    if copies.duplicates:
        share = copies.duplicates / pairs
        most = Example(copies.commonest, remark=f"{copies.most:,} times")
        yield Finding(
            "duplicates",
            "warning" if share > MANY_REPEATED else "note",
            f"{_n(copies.duplicates, 'pair')} ({_percent(share)}) repeat an earlier pair",
            copies.duplicates,
            "repeated pairs are learnt by heart" if share > MANY_REPEATED else "",
            (most,),
        )
    if copies.ambiguous:
        yield Finding(
            "ambiguous",
            "note",
            f"{_n(copies.ambiguous, 'source line')} {_have(copies.ambiguous)} several "
            "different targets",
            copies.ambiguous,
            examples=tuple(Example(number) for number in copies.ambiguous_lines),
        )


def _line_breaks(sides: Sequence[_Side]) -> Iterator[Finding]:
    for side in sides:
        if side.breaks.count:
            yield Finding(
                "line-breaks",
                "note",
                f"{_n(side.breaks.count, 'line')} of {side.name} "
                f"{_have(side.breaks.count)} characters that other programs take for line ends",
                side.breaks.count,
                "we split at \\n alone; a tool that splits here makes the sides drift apart",
                side.breaks.as_examples(),
            )
        if side.controls.count and not side.looks_like_utf16:
            yield Finding(
                "control-characters",
                "note",
                f"{_n(side.controls.count, 'line')} of {side.name} "
                f"{_have(side.controls.count)} control characters",
                side.controls.count,
                examples=side.controls.as_examples(),
            )


def _remarks(sides: Sequence[_Side], usable: int) -> Iterator[Finding]:
    for side in sides:
        if side.marked:
            yield Finding(
                "byte-order-mark",
                "note",
                f"{side.name} starts with a byte-order mark; it is taken off",
                1,
            )
        if side.carriage_returns:
            yield Finding(
                "carriage-returns",
                "note",
                f"{_n(side.carriage_returns, 'line')} of {side.name} "
                f"{'ends' if side.carriage_returns == 1 else 'end'} in \\r\\n, "
                "as on Windows; the \\r is taken off",
                side.carriage_returns,
            )
    if 0 < usable < FEW_PAIRS:
        yield Finding(
            "few-pairs",
            "note",
            f"{_n(usable, 'usable pair')}: enough to try things out, "
            "too little to learn a language from",
            usable,
        )


# --- Measuring -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Copies:
    duplicates: int
    most: int  # copies of the commonest pair
    commonest: int  # its first line
    ambiguous: int
    ambiguous_lines: tuple[int, ...]  # lines of one ambiguous source
    identical: NDArray[np.int64]  # line numbers


def _find_copies(left: _Side, right: _Side, pairs: int) -> _Copies:
    """Equal lines by equal hashes; among ten million lines, one false match in 400,000 corpora."""
    filled = np.flatnonzero(
        (left.traces().ending[:pairs] != BLANK) & (right.traces().ending[:pairs] != BLANK)
    )
    sources = left.hashes()[:pairs][filled].view(np.uint64)
    targets = right.hashes()[:pairs][filled].view(np.uint64)
    identical = filled[sources == targets] + 1
    if not len(filled):
        return _Copies(0, 0, 0, 0, (), identical)
    both = sources * np.uint64(0x9E3779B97F4A7C15) + targets  # wraps
    _, firsts, counts = np.unique(both, return_index=True, return_counts=True)
    # the earliest of the commonest
    top = np.flatnonzero(counts == counts.max())
    commonest = int(firsts[top].min())
    distinct, choices = np.unique(sources[firsts], return_counts=True)
    several = distinct[choices > 1]
    lines: tuple[int, ...] = ()
    if len(several):
        richest = distinct[choices.argmax()]
        own = np.sort(firsts[sources[firsts] == richest])[:EXAMPLES]
        lines = tuple((filled[own] + 1).tolist())
    return _Copies(
        duplicates=len(filled) - len(counts),
        most=int(counts.max()),
        commonest=int(filled[commonest]) + 1,
        ambiguous=len(several),
        ambiguous_lines=lines,
        identical=identical,
    )


def _length_distributions(
    *sides: tuple[NDArray[np.uint16], int],
) -> list[Distribution | None]:
    """Lengths of the lines that are not blank, on one scale for all sides."""
    filled = [lengths[lengths > 0] for lengths, _ in sides]
    reach = max(
        (float(np.percentile(lengths, 99)) for lengths in filled if len(lengths)), default=0
    )
    step = max(1, -(-int(reach) // (BARS - 1)))
    edges = np.arange(BARS) * step
    return [
        _distribution(lengths, edges, greatest=longest)
        for lengths, (_, longest) in zip(filled, sides, strict=True)
    ]


def _same_file(source: Path, target: Path) -> bool:
    try:
        return source.samefile(target)
    except OSError:
        return False


def _ratio(left: _Side, right: _Side, pairs: int) -> Distribution | None:
    """Target characters per source character, of pairs with text on both sides."""
    filled = (left.traces().ending[:pairs] != BLANK) & (right.traces().ending[:pairs] != BLANK)
    ratios = right.traces().characters[:pairs][filled] / left.traces().characters[:pairs][
        filled
    ].astype(np.float32)
    edges = np.exp2(np.linspace(-2, 2, BARS + 1)[:-1])  # a quarter to four times, in equal ratios
    return _distribution(ratios, edges)


def _distribution(
    values: NDArray[np.uint16] | NDArray[np.float32],
    edges: NDArray[Any],
    *,
    greatest: float | None = None,
) -> Distribution | None:
    if not len(values):
        return None
    bars = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 1)
    least, low, middle, high, higher, most = np.percentile(
        values, [0, 5, 50, 95, 99, 100], method="lower"
    ).tolist()
    return Distribution(
        least=least,
        percentile_5=low,
        median=middle,
        percentile_95=high,
        percentile_99=higher,
        greatest=most if greatest is None else greatest,
        histogram=Histogram(
            tuple(edges.tolist()), tuple(np.bincount(bars, minlength=len(edges)).tolist())
        ),
    )


def _told(stretches: Sequence[Stretch]) -> tuple[Stretch, ...]:
    """Without the short stretches that fit nowhere, and with neighbours of one offset joined."""
    told: list[Stretch] = []
    for part in stretches:
        if part.offset is None and part.last - part.first + 1 < LEAST_LOST and told:
            part = replace(part, offset=told[-1].offset)
        if told and told[-1].offset == part.offset:
            told[-1] = replace(told[-1], last=part.last)
        else:
            told.append(part)
    return tuple(told)


def _illustrated(findings: Sequence[Finding], left: _Side, right: _Side) -> tuple[Finding, ...]:
    """With the text of the examples, by one further reading of each file."""
    wanted = {example.line for finding in findings for example in finding.examples}
    sources, targets = _chosen_lines(left, wanted), _chosen_lines(right, wanted)
    return tuple(
        replace(
            finding,
            examples=tuple(
                replace(example, source=sources.get(example.line), target=targets.get(example.line))
                for example in finding.examples
            ),
        )
        for finding in findings
    )


def _chosen_lines(side: _Side, numbers: set[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    last = max(numbers, default=0)
    if side.utf16 or side.looks_like_utf16 or not last:
        return found
    for number, raw in enumerate(read_raw_lines(side.path), start=1):
        if number in numbers:
            found[number] = _short(raw.decode("utf-8", errors="replace"))
        if number >= last:
            break
    return found


def _n(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


def _percent(share: float) -> str:
    """Never 0 % of something, never 100 % of less than all."""
    if 0 < share < 0.001:
        return "under 0.1 %"
    if 0.999 < share < 1:
        return "over 99.9 %"
    return f"{100 * share:.1f} %"
