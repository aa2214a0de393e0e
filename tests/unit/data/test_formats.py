"""Files that are recognised by their first bytes: read through their compression, or named."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pytest

from data.corpus import read_lines, survey
from seq2seq.errors import CorpusError

TEXT = "ein Hund\ngrüne Katzen\n" * 30
COMPRESSORS = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}


def archive(**files: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as opened:
        for name, text in files.items():
            opened.writestr(name, text)
    return stream.getvalue()


def tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as opened:
        member = tarfile.TarInfo("text.de")
        member.size = len(TEXT.encode())
        opened.addfile(member, io.BytesIO(TEXT.encode()))
    return stream.getvalue()


FOREIGN = {
    "a Zstandard file": b"\x28\xb5\x2f\xfd\x04\x58" + TEXT.encode(),
    "a zip archive": archive(**{"text.de": TEXT}),
    "a Word document (docx)": archive(**{"word/document.xml": TEXT}),
    "an Office document": archive(**{"[Content_Types].xml": TEXT}),
    "a PDF document": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + TEXT.encode(),
    "a Parquet file": b"PAR1\x15\x04\x15\x10" + TEXT.encode() + b"PAR1",
    "a tar archive": tar(),
    "UTF-32": TEXT.encode("utf-32"),
}


@pytest.mark.parametrize("name", COMPRESSORS)
def test_a_compressed_file_is_read_like_its_text(name, tmp_path):
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    plain.write_text(TEXT, encoding="utf-8")
    packed.write_bytes(COMPRESSORS[name](TEXT.encode()))
    assert list(read_lines(packed)) == list(read_lines(plain)) == TEXT.splitlines()
    assert survey(packed).sha256 == survey(plain).sha256


@pytest.mark.parametrize("name", COMPRESSORS)
@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data[:20] + b"?" * 60])
def test_a_damaged_compressed_file_is_called_so(name, damage, tmp_path):
    path = tmp_path / "text"
    path.write_bytes(damage(COMPRESSORS[name](TEXT.encode())))
    with pytest.raises(CorpusError, match="text is a damaged compressed file"):
        list(read_lines(path))


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.parametrize("wrap", [bytes, gzip.compress], ids=["plain", "in gzip"])
def test_a_file_that_is_no_text_is_named(what, wrap, tmp_path):
    path = tmp_path / "text"
    path.write_bytes(wrap(FOREIGN[what]))
    for read in (read_lines, lambda path: [survey(path)]):
        with pytest.raises(CorpusError) as caught:
            list(read(path))
        assert f"{path} is {what}" in caught.value.message and caught.value.hint


@pytest.mark.parametrize("order", ["", "le", "be"])
def test_the_hint_on_utf_16_names_the_encoding_that_iconv_needs(order, tmp_path):
    path = tmp_path / "text"
    path.write_bytes(TEXT.encode(f"utf-16{order and '-' + order}"))
    with pytest.raises(CorpusError, match="looks like UTF-16") as caught:
        list(read_lines(path))
    assert f"`iconv -f UTF-16{order.upper()} -t UTF-8`" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "line", ["BZh9 is text", "PAR1", "PAR1\tx", "PK is text", "%PDF", "7z", ""]
)
def test_text_that_only_begins_alike_is_text(line, tmp_path):
    path = tmp_path / "text"
    path.write_text(f"{line}\nsecond\n", encoding="utf-8")
    assert list(read_lines(path)) == [line, "second"]
