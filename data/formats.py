"""Formats of files that are recognised by their first bytes: compression, and what is no text."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Protocol, cast

from seq2seq.errors import CorpusError

_HEAD = 512  # bytes that tell the format
_EXPORT = "save it as plain text in UTF-8, one sentence a line"
_UNPACK = "unpack it, and name a text file of it"
_COLUMNS = "write each of its columns into a text file, one sentence a line"

_FOREIGN = (
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", "decompress it first, with `zstd -d`"),
    (b"\x04\x22\x4d\x18", "an LZ4 file", "decompress it first, with `lz4 -d`"),
    (b"LZIP\x01", "an lzip file", "decompress it first, with `lzip -d`"),
    (b"\x1f\x9d", "a file of `compress`", "decompress it first, with `gzip -d`"),
    (b"PK\x03\x04", "a zip archive", _UNPACK),
    (b"PK\x05\x06", "an empty zip archive", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"%PDF-", "a PDF document", _EXPORT),
    (b"{\\rtf1", "an RTF document", _EXPORT),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Microsoft Office document", _EXPORT),
    (b"SQLite format 3\x00", "an SQLite database", _COLUMNS),
    (b"ARROW1\x00\x00", "an Arrow file", _COLUMNS),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", _COLUMNS),
    (b"\x89PNG\r\n\x1a\n", "a PNG image", "give a text file"),
    (b"\xff\xd8\xff", "a JPEG image", "give a text file"),
)
_IN_ZIP = (
    (b"word/", "a Word document (docx)", _EXPORT),
    (b"xl/", "an Excel workbook (xlsx)", _EXPORT),
    (b"[Content_Types].xml", "an Office document, such as docx or xlsx", _EXPORT),
    (b"mimetypeapplication/vnd.oasis", "an OpenDocument file", _EXPORT),
    (b"mimetypeapplication/epub", "an EPUB book", _EXPORT),
)


class _Peekable(Protocol):
    def peek(self, size: int, /) -> bytes: ...


def decompressed(stream: io.BufferedReader, name: str) -> BinaryIO:
    """The text of a stream, through gzip, bzip2 or xz where it is compressed.

    Raises CorpusError, calling the file `name`, for a format that is no text.
    """
    head = stream.peek(_HEAD)
    opened: BinaryIO = stream
    if head.startswith(b"\x1f\x8b"):
        opened = cast(BinaryIO, gzip.GzipFile(fileobj=stream))
    elif head.startswith(b"BZh") and head[4:10] in (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"):
        opened = cast(BinaryIO, bz2.BZ2File(stream))
    elif head.startswith(b"\xfd7zXZ\x00"):
        opened = cast(BinaryIO, lzma.LZMAFile(stream))  # noqa: SIM115 - the caller's
    _refuse_foreign(cast(_Peekable, opened).peek(_HEAD), name)
    return opened


@contextmanager
def explain_damage(name: str) -> Iterator[None]:
    """Turns the errors of a damaged compressed file into CorpusError."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError) as error:
        raise _damaged(name, error) from error
    except OSError as error:
        if error.errno is None:  # bz2 has no exception of its own
            raise _damaged(name, error) from error
        raise


def _damaged(name: str, error: Exception) -> CorpusError:
    return CorpusError(
        f"{name} is a damaged compressed file: {error}", hint="fetch or compress the file again"
    )


def _refuse_foreign(head: bytes, name: str) -> None:
    if found := _foreign_format(head):
        what, hint = found
        raise CorpusError(f"{name} is {what}, not text", hint=hint)


def _foreign_format(head: bytes) -> tuple[str, str] | None:
    """The name of a format that is not text, and a hint; None for a file that may be text."""
    if head[:4] == b"PAR1" and head[4:5] < b" " and head[4:5] not in (b"", b"\t", b"\n", b"\r"):
        return "a Parquet file", _COLUMNS
    if head[257:262] == b"ustar":
        return "a tar archive", _UNPACK
    if head.startswith((b"\x00\x00\xfe\xff", b"\xff\xfe\x00\x00")):
        return "UTF-32", "convert it with `iconv -f UTF-32 -t UTF-8`"
    if head.startswith(b"PK\x03\x04"):
        for mark, what, hint in _IN_ZIP:
            if mark in head:
                return what, hint
    for mark, what, hint in _FOREIGN:
        if head.startswith(mark):
            return what, hint
    return None
