"""Line-aligned text, read as bytes and split on "\\n" alone.

Nothing else ends a line: a lone carriage return, NEL or U+2028 stays inside it, so two files of
equal `wc -l` stay aligned. A byte-order mark on line 1 and one trailing carriage return are
removed; gzip, bzip2 and xz are recognised by their first bytes, and "-" is standard input.
"""

import codecs
import errno
import hashlib
import io
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from data.formats import decompressed, explain_damage
from seq2seq.errors import ConfigError, CorpusError, ResourceError
from seq2seq.system.plain_text import unescape

STDIN = Path("-")
_BLOCK = 1 << 20  # bytes


class SentencePair(NamedTuple):
    """A line of each side."""

    source: str
    target: str

    def unescaped(self) -> "SentencePair":
        """The pair with characters in place of HTML entities."""
        return SentencePair(unescape(self.source), unescape(self.target))


@dataclass(frozen=True, slots=True)
class TextSurvey:
    """Line count and hash of a text file, found by `survey` in one pass."""

    path: Path
    lines: int
    sha256: str  # of the text, after decompression


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open text for reading, decompressed where it is gzip, bzip2 or xz.

    Raises CorpusError, naming the path as it was given, for what cannot be read.
    """
    if path == STDIN:
        yield from _guarded(path, _standard_input())
        return
    try:
        stream = path.open("rb")
    except FileNotFoundError as error:
        raise CorpusError(f"{path} does not exist", hint="check the path") from error
    except IsADirectoryError as error:
        raise CorpusError(f"{path} is a directory", hint="name a text file inside it") from error
    except OSError as error:
        raise CorpusError(
            f"{path} cannot be read: {error.strerror}", hint="check the path and its permissions"
        ) from error
    with stream:
        yield from _guarded(path, stream)


def _standard_input() -> io.BufferedReader:
    """Unlike `sys.stdin.buffer`, safe to leave: Python aborts at exit while a thread reads that."""
    try:
        return io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False))
    except io.UnsupportedOperation:  # it is in memory, as in a test
        return cast(io.BufferedReader, sys.stdin.buffer)


def _guarded(path: Path, stream: io.BufferedReader) -> Iterator[BinaryIO]:
    """Turn errors of the stream into CorpusError; the caller must do nothing but read."""
    try:
        with explain_damage(display_name(path)):
            yield decompressed(stream, display_name(path))
    except OSError as error:
        closed = path == STDIN and error.errno == errno.EBADF
        what = "is closed" if closed else f"cannot be read: {error.strerror or error}"
        raise CorpusError(f"{display_name(path)} {what}", hint="give a text file") from error


def display_name(path: Path) -> str:
    """A path as messages name it."""
    return "standard input" if path == STDIN else str(path)


def read_raw_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file as bytes, without line ends and without a byte-order mark."""
    with open_bytes(path) as stream:
        for number, line in enumerate(stream, start=1):
            if number == 1:
                _refuse_utf16(path, line)
                line = line.removeprefix(codecs.BOM_UTF8)
            yield line.removesuffix(b"\n").removesuffix(b"\r")


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a file, decoded; raises CorpusError with file, line and byte for bad UTF-8."""
    for number, line in enumerate(read_raw_lines(path), start=1):
        yield decode_line(line, path=path, number=number)


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
    with open_bytes(path) as stream:
        first = True
        while block := stream.read(_BLOCK):
            if first:
                _refuse_utf16(path, block)
                first = False
            digest.update(block)
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
    return TextSurvey(path, lines + (last != b"\n"), digest.hexdigest())


def survey_pair(source: Path, target: Path) -> tuple[TextSurvey, TextSurvey]:
    """Survey both sides of a corpus; raises CorpusError when their line counts differ."""
    left, right = survey(source), survey(target)
    if left.lines != right.lines:
        raise line_count_error(source, left.lines, target, right.lines)
    return left, right


def read_aligned(paths: Sequence[Path]) -> list[list[str]]:
    """The lines of files that belong together line by line, such as hypotheses and references.

    Raises CorpusError where the first file is empty or another has more or fewer lines, and
    ConfigError where standard input is named more than once.
    """
    if list(paths).count(STDIN) > 1:
        raise ConfigError("standard input was given more than once", hint="name files instead")
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


@contextmanager
def rereadable(path: Path) -> Iterator[Path]:
    """A path that can be read more than once: standard input is spooled to a temporary file."""
    if path != STDIN:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="seq2seq-") as folder:
        spool = Path(folder) / "standard input"  # the name that messages show
        with open_bytes(path) as stream, spool.open("wb", buffering=0) as file:
            while block := stream.read(_BLOCK):
                _append(file, block)
        yield spool


def _append(file: io.FileIO, block: bytes) -> None:
    try:
        while block:
            block = block[file.write(block) :]
    except OSError as error:
        raise ResourceError(
            f"standard input cannot be kept in {tempfile.gettempdir()}: {error.strerror}",
            hint="free space there, or name another folder in TMPDIR",
        ) from error


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
