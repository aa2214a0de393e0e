"""Line-aligned text, read as bytes and split on "\\n" alone.

Nothing else ends a line: a lone carriage return, NEL or U+2028 stays inside it, so two files of
equal `wc -l` stay aligned. A byte-order mark on line 1 and one trailing carriage return are
removed; gzip, bzip2 and xz are recognised by their first bytes, and "-" is standard input.
"""

import codecs
import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, NamedTuple

from data.formats import decompressed, explain_damage
from data.inputs import display_name, open_input, refuse_repeated
from seq2seq.errors import CorpusError
from seq2seq.system.plain_text import unescape

_BLOCK = 1 << 20  # bytes


class SentencePair(NamedTuple):
    """A line of each side."""

    source: str
    target: str

    def unescaped(self) -> "SentencePair":
        """The pair with characters in place of HTML entities."""
        return SentencePair(unescape(self.source), unescape(self.target))


class LineStart(NamedTuple):
    """Where a line begins: so many lines after a byte of the text, which can be sought."""

    offset: int = 0  # bytes, after decompression
    skipped: int = 0  # lines, of which the first may have begun before that byte


TEXT_START = LineStart()


@dataclass(frozen=True, slots=True)
class TextSurvey:
    """Line count and hash of a text file, found by `survey` in one pass."""

    path: Path
    lines: int
    sha256: str  # of the text, after decompression
    blocks: tuple[tuple[int, int], ...]  # byte at which each begins, and line ends before it

    def start_of(self, line: int) -> LineStart:
        """Where a line begins; it is counted from 0."""
        after = bisect_left(self.blocks, line, lo=1, key=itemgetter(1))
        offset, line_ends = self.blocks[after - 1]
        return LineStart(offset, line - line_ends)


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open text for reading, decompressed where it is gzip, bzip2 or xz; the caller must only read.

    Raises CorpusError, naming the path as it was given, for what cannot be read.
    """
    with open_input(path) as stream, explain_damage(display_name(path)):
        yield decompressed(stream, display_name(path))


def read_raw_lines(path: Path, start: LineStart = TEXT_START) -> Iterator[bytes]:
    """The lines of a file as bytes, without line ends and without a byte-order mark."""
    with open_bytes(path) as stream:
        if start.offset:
            stream.seek(start.offset)
        for _ in range(start.skipped):
            stream.readline()
        for number, line in enumerate(stream, start=1):
            if number == 1 and start == TEXT_START:
                _refuse_utf16(path, line)
                line = line.removeprefix(codecs.BOM_UTF8)
            yield line.removesuffix(b"\n").removesuffix(b"\r")


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a file, decoded; raises CorpusError with file, line and byte for bad UTF-8."""
    for number, line in enumerate(read_raw_lines(path), start=1):
        yield decode_line(line, path=path, number=number)


def line_count(path: Path) -> int:
    """How many lines `read_lines` returns."""
    lines, last = 0, b"\n"
    with open_bytes(path) as stream:
        while block := stream.read(_BLOCK):
            lines += block.count(b"\n")
            last = block[-1:]
    return lines + (last != b"\n")


def read_pairs(source: Path, target: Path) -> Iterator[SentencePair]:
    """Two files, line by line; raises CorpusError where one ends before the other."""
    sources, targets = read_lines(source), read_lines(target)
    for number, (left, right) in enumerate(zip_longest(sources, targets), start=1):
        if left is None or right is None:
            rest = 1 + sum(1 for _ in (targets if left is None else sources))
            n_source, n_target = (
                (number - 1, number - 1 + rest) if left is None else (number - 1 + rest, number - 1)
            )
            raise line_count_error(source, n_source, target, n_target)
        yield SentencePair(left, right)


def decode_line(line: bytes, *, path: Path, number: int) -> str:
    """Raises CorpusError with file, line and byte for bad UTF-8."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{display_name(path)}:{number}: byte {error.start + 1} of the line "
            f"(0x{line[error.start]:02x}) "
            "is not valid UTF-8",
            hint="convert the file, for example with `iconv -f LATIN1 -t UTF-8`",
        ) from error


def survey(path: Path) -> TextSurvey:
    """Count lines, hash, and prove the text to be UTF-8, in one fast pass.

    Raises CorpusError for an empty file, UTF-16, or bytes that are not UTF-8 (with the line).
    """
    digest, decoder, lines, last = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")(), 0, b""
    blocks, offset = list[tuple[int, int]](), 0
    with open_bytes(path) as stream:
        while block := stream.read(_BLOCK):
            if not blocks:
                _refuse_utf16(path, block)
            blocks.append((offset, lines))
            digest.update(block)
            offset += len(block)
            lines += block.count(b"\n")
            last = block[-1:]
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                _locate_bad_utf8(path)
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        _locate_bad_utf8(path)
    if not last:
        raise _empty(path)
    return TextSurvey(path, lines + (last != b"\n"), digest.hexdigest(), tuple(blocks))


def survey_pair(source: Path, target: Path) -> tuple[TextSurvey, TextSurvey]:
    """Survey both sides of a corpus; raises CorpusError when their line counts differ."""
    left, right = survey(source), survey(target)
    if left.lines != right.lines:
        raise line_count_error(source, left.lines, target, right.lines)
    return left, right


def read_aligned(paths: Sequence[Path]) -> list[list[str]]:
    """The lines of files that belong together line by line, such as hypotheses and references.

    Raises CorpusError where the first file is empty or another has more or fewer lines, and
    ConfigError where standard input or a pipe is named more than once.
    """
    refuse_repeated(paths)
    first, *others = paths
    columns = [list(read_lines(first))]
    if not columns[0]:
        raise _empty(first)
    for path in others:
        columns.append(list(read_lines(path)))
        if len(columns[-1]) != len(columns[0]):
            raise line_count_error(first, len(columns[0]), path, len(columns[-1]))
    return columns


def line_count_error(source: Path, n_source: int, target: Path, n_target: int) -> CorpusError:
    """The error for files that should have equally many lines."""
    return CorpusError(
        f"{display_name(source)} has {n_source:,} lines but "
        f"{display_name(target)} has {n_target:,}",
        hint="each line needs its counterpart on the line of the same number; "
        "lines end at \\n alone, as `wc -l` counts them",
    )


def _empty(path: Path) -> CorpusError:
    return CorpusError(
        f"{display_name(path)} is empty", hint="give a file with one sentence a line"
    )


def _refuse_utf16(path: Path, start: bytes) -> None:
    head = start[:64]
    zeros = max(head[::2].count(0), head[1::2].count(0))  # ASCII in UTF-16: every other byte
    marked = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if marked or (len(head) >= 8 and 4 * zeros > len(head)):
        order = "" if marked else "BE" if head[::2].count(0) == zeros else "LE"
        raise CorpusError(
            f"{display_name(path)} looks like UTF-16, not UTF-8",
            hint=f"convert it with `iconv -f UTF-16{order} -t UTF-8`",
        )


def _locate_bad_utf8(path: Path) -> None:
    for _ in read_lines(path):  # raises at the first bad line
        pass
    raise CorpusError(f"{display_name(path)} is not valid UTF-8", hint="convert the file to UTF-8")
