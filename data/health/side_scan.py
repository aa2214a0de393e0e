"""One file of a corpus, read in blocks of lines: counts, lengths, hashes and odd lines."""

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.corpus import open_bytes
from data.health.report import Example
from data.health.shifts import LineTraces, join_traces, trace_lines
from seq2seq.system.plain_text import PlainTextScan

EXAMPLES = 3  # of each finding
_BLOCK = 1 << 18  # bytes read at a time


@dataclass
class LineIssues:
    """The number of lines with one kind of issue, and the first few of them."""

    count: int = 0
    examples: list[tuple[int, str]] = field(default_factory=list)  # line number, remark

    def add(self, line: int, remark: str = "") -> None:
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append((line, remark))

    def as_examples(self) -> tuple[Example, ...]:
        return tuple(Example(line, remark=remark) for line, remark in self.examples)


# Line ends in other programs; part of a line here.
_BREAKS = re.compile("[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f]")
# UTF-8 that was read as Latin-1 or Windows-1252 and encoded as UTF-8 again. One such group of
# characters is proof if it has no other meaning ("Ã¤", "â€™"); others must come twice ("Ð¿Ñ€").
_TAIL = "[\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"
_ENCODED_TWICE = re.compile(
    f"Ã{_TAIL}|Â[\x80-\xbf]|â[\x80€][\x80-\xbfœžŸ˜™š›“”¢¦¹º]|(?:[Ä-ßÂ]{_TAIL}){{2}}"
    f"|(?:[à-ï]{_TAIL}{_TAIL}){{2}}|ðŸ"
)
_MAYBE_ENCODED_TWICE = re.compile(f"[Â-ð]{_TAIL}")  # in all of the above, and fast to search


class SideScan:
    """Counts, lengths and issues of one file, added up block by block."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self.lines = self.blank = self.carriage_returns = 0
        self.has_bom = self.has_utf16_bom = False  # byte-order marks
        self.invalid_utf8, self.lost_characters = LineIssues(), LineIssues()
        self.encoded_twice = LineIssues()
        self.line_breaks, self.control_characters = LineIssues(), LineIssues()
        self.nul = LineIssues()
        self.plain_text = PlainTextScan()
        self.longest_words = self.longest_characters = 0
        self._hashes: list[NDArray[np.int64]] = []
        self._words: list[NDArray[np.uint16]] = []
        self._traces: list[LineTraces] = []

    def line_blocks(self) -> Iterator[list[bytes]]:
        """Blocks of the file's raw lines, with their line ends; none of a file in UTF-16."""
        first = True
        with open_bytes(self.path) as stream:
            while block := stream.readlines(_BLOCK):
                if first:
                    first = False
                    if block[0].startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                        self.has_utf16_bom = True
                        return
                    self.has_bom = block[0].startswith(codecs.BOM_UTF8)
                    block[0] = block[0].removeprefix(codecs.BOM_UTF8)
                yield block

    def add(self, block: Sequence[bytes]) -> tuple[list[str], set[int]]:
        """Measure the next lines. Returns them as text, and the indices of invalid UTF-8."""
        lines, invalid = self._decode(block)
        for index, raw in enumerate(block):
            if b"\0" in raw:
                self.nul.add(self.lines + index + 1)
        words = list(map(len, map(str.split, lines)))
        self.blank += words.count(0)
        self.longest_words = max(self.longest_words, max(words))
        self.longest_characters = max(self.longest_characters, max(map(len, lines)))
        self._words.append(np.array(words).clip(max=65_535).astype(np.uint16))
        # Python's hash has another key in each process, so that nobody can construct collisions
        self._hashes.append(np.fromiter(map(hash, lines), np.int64, len(lines)))
        self._traces.append(trace_lines(lines))
        self.plain_text.add(lines)
        if not all(map(str.isprintable, lines)):
            self._count_odd_characters(lines, invalid)
        self._count_encoding_faults(lines, invalid)
        self.lines += len(lines)
        return lines, invalid

    def _decode(self, block: Sequence[bytes]) -> tuple[list[str], set[int]]:
        try:
            text = b"".join(block).decode("utf-8")
        except UnicodeDecodeError:
            return self._decode_singly(block)
        lines = text.split("\n")
        if text.endswith("\n"):
            lines.pop()
        if "\r" in text:
            self.carriage_returns += sum(line.endswith("\r") for line in lines)
            lines = [line.removesuffix("\r") for line in lines]
        return lines, set()

    def _decode_singly(self, block: Sequence[bytes]) -> tuple[list[str], set[int]]:
        lines, invalid = [], set()
        for index, raw in enumerate(block):
            self.carriage_returns += raw.endswith((b"\r\n", b"\r"))
            raw = raw.removesuffix(b"\n").removesuffix(b"\r")
            try:
                lines.append(raw.decode("utf-8"))
            except UnicodeDecodeError as error:
                number = self.lines + index + 1
                self.invalid_utf8.add(
                    number,
                    f"{self.name}:{number}: byte {error.start + 1} (0x{raw[error.start]:02x})",
                )
                invalid.add(index)
                lines.append(raw.decode("utf-8", errors="replace"))
        return lines, invalid

    def _count_odd_characters(self, lines: Sequence[str], invalid: set[int]) -> None:
        for index, line in enumerate(lines):
            if line.isprintable() or index in invalid:
                continue
            number = self.lines + index + 1
            for pattern, issues in (
                (_BREAKS, self.line_breaks),
                (_CONTROLS, self.control_characters),
            ):
                if found := pattern.search(line):
                    remark = f"U+{ord(found[0]):04X} at character {found.start() + 1}"
                    issues.add(number, remark)

    def _count_encoding_faults(self, lines: Sequence[str], invalid: set[int]) -> None:
        text = "\n".join(lines)
        if text.isascii():
            return
        lost, maybe_twice = "\ufffd" in text, _MAYBE_ENCODED_TWICE.search(text) is not None
        if not lost and not maybe_twice:
            return
        for index, line in enumerate(lines):
            if index in invalid:
                continue
            number = self.lines + index + 1
            if lost and "\ufffd" in line:
                self.lost_characters.add(number, f"{self.name}:{number}")
            if maybe_twice and (found := _ENCODED_TWICE.search(line)):
                remark = f"{self.name}:{number}: “{found[0]}”{_decoded_once(found[0])}"
                self.encoded_twice.add(number, remark)

    @property
    def looks_like_utf16(self) -> bool:
        """Whether most lines have a NUL, as Western text in UTF-16 has."""
        return self.nul.count > self.lines / 2

    def hashes(self) -> NDArray[np.int64]:
        """A hash of each line."""
        return np.concatenate(self._hashes) if self._hashes else np.zeros(0, np.int64)

    def words(self) -> NDArray[np.uint16]:
        """Words of each line, up to 65,535."""
        return np.concatenate(self._words) if self._words else np.zeros(0, np.uint16)

    def traces(self) -> LineTraces:
        """The traces of all lines."""
        if len(self._traces) != 1:
            self._traces = [join_traces(self._traces)]
        return self._traces[0]


def _decoded_once(text: str) -> str:
    """A remark on what text that was encoded twice may have been, or an empty string."""
    try:
        return f" may have been “{b''.join(map(_western_byte, text)).decode('utf-8')}”"
    except UnicodeError:
        return ""


def _western_byte(character: str) -> bytes:
    """The byte in Windows-1252, or in Latin-1 for the five bytes that Windows-1252 lacks."""
    try:
        return character.encode("cp1252")
    except UnicodeEncodeError:
        return character.encode("latin-1")
