"""One file of a corpus: what is remembered of it while it is read, a piece at a time."""

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

EXAMPLES = 3  # of each finding
_PIECE = 1 << 18  # bytes of source text read at a time


@dataclass
class LineIssues:
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


class Side:
    """What is remembered of one file while it is read."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self.lines = self.blank = self.carriage_returns = 0
        self.marked = self.utf16 = False  # byte-order marks
        self.invalid, self.lost, self.twice = LineIssues(), LineIssues(), LineIssues()
        self.breaks, self.controls, self.nul = LineIssues(), LineIssues(), LineIssues()
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
