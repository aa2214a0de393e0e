"""The byte-exact reader: nothing but "\\n" ends a line; a fault is reported where it is."""

import errno
import gzip
import hashlib
import io
import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.corpus import (
    SentencePair,
    open_bytes,
    read_aligned,
    read_lines,
    read_pairs,
    read_raw_lines,
    survey,
    survey_pair,
)
from data.inputs import STDIN, rereadable
from seq2seq.errors import ConfigError, CorpusError

BOM = b"\xef\xbb\xbf"
# All that other programs take for line ends.
BREAKS = "\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"

here = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

text = st.text(
    st.characters(exclude_characters="\n", exclude_categories=["Cs"]) | st.sampled_from(BREAKS)
)
lines = st.lists(text.map(lambda line: line.rstrip("\r")), min_size=1, max_size=8).filter(
    lambda lines: not lines[0].startswith("\ufeff")
)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@here
@given(lines, st.booleans(), st.booleans())
def test_any_lines_come_back_unchanged(tmp_path, lines, final_newline, compressed):
    content = "\n".join(lines).encode() + (b"\n" if final_newline or not lines[-1] else b"")
    path = write(tmp_path / "text", gzip.compress(content) if compressed else content)
    assert list(read_lines(path)) == lines
    assert [raw.decode() for raw in read_raw_lines(path)] == lines


@here
@given(st.binary(max_size=60).map(lambda b: b"text" + b.replace(b"\0", b"\n")))  # no other format
def test_a_file_has_as_many_lines_as_newlines_and_one_more_without_a_final_one(tmp_path, content):
    path = write(tmp_path / "text", content)
    expected = content.count(b"\n") + (content != b"" and not content.endswith(b"\n"))
    assert sum(1 for _ in read_raw_lines(path)) == expected


@here
@given(lines, st.booleans())
def test_a_survey_counts_and_hashes_what_the_reader_reads(tmp_path, lines, compressed):
    content = ("\n".join(lines) + "\n").encode()
    found = survey(write(tmp_path / "text", gzip.compress(content) if compressed else content))
    assert found.lines == len(lines)
    assert found.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("character", BREAKS)
def test_no_other_character_ends_a_line(tmp_path, character):
    path = write(tmp_path / "text", f"one{character}two\nthree\n".encode())
    assert list(read_lines(path)) == [f"one{character}two", "three"]
    assert survey(path).lines == 2


def test_a_byte_order_mark_is_removed_from_the_first_line_only(tmp_path):
    path = write(tmp_path / "text", BOM + b"one\n" + BOM + b"two\n")
    assert list(read_lines(path)) == ["one", "\ufefftwo"]


def test_one_trailing_carriage_return_is_removed_from_each_line(tmp_path):
    path = write(tmp_path / "text", b"one\r\ntwo\r\r\nthree\r")
    assert list(read_lines(path)) == ["one", "two\r", "three"]


def test_a_final_newline_makes_no_difference(tmp_path):
    with_one, without = write(tmp_path / "a", b"one\ntwo\n"), write(tmp_path / "b", b"one\ntwo")
    assert list(read_lines(with_one)) == list(read_lines(without))
    assert survey(with_one).lines == survey(without).lines == 2


def test_invalid_utf_8_is_named_with_file_line_and_byte(tmp_path):
    path = write(tmp_path / "text", b"fine\ncaf\xe9 au lait\n")
    for read in (lambda: list(read_lines(path)), lambda: survey(path)):
        with pytest.raises(CorpusError, match=r"text:2: byte 4 of the line \(0xe9\)"):
            read()


@pytest.mark.parametrize("fault", [b"\xe9", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf5\x80\x80\x80"])
def test_what_only_looks_like_utf_8_is_refused(tmp_path, fault):
    with pytest.raises(CorpusError, match=":1: byte 1"):
        survey(write(tmp_path / "text", fault + b"\n"))


def test_a_character_across_the_edge_of_a_block_is_whole(tmp_path):
    block = 1 << 20  # bytes that `survey` reads at a time
    path = write(tmp_path / "text", b"a" * (block - 2) + "€".encode() + b"\nend\n")
    assert survey(path).lines == 2


def test_a_fault_across_the_edge_of_a_block_is_found(tmp_path):
    block = 1 << 20
    path = write(tmp_path / "text", b"\n" * (block - 1) + b"\xe2(\n")
    with pytest.raises(CorpusError, match=f":{block}: byte 1 of the line"):
        survey(path)


def test_a_character_cut_off_at_the_end_is_refused(tmp_path):
    path = write(tmp_path / "text", b"one\ntw\xc3")
    with pytest.raises(CorpusError, match=":2: byte 3"):
        survey(path)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_named_and_refused(tmp_path, encoding):
    path = write(tmp_path / "text", "\ufeffHallo Welt\n".encode(encoding))
    for read in (lambda: list(read_lines(path)), lambda: survey(path)):
        with pytest.raises(CorpusError, match="looks like UTF-16"):
            read()


def test_an_empty_file_is_refused(tmp_path):
    for content in (b"", gzip.compress(b"")):
        with pytest.raises(CorpusError, match="is empty"):
            survey(write(tmp_path / "text", content))


@pytest.mark.parametrize("kept", [3, 12, -1, -9])
def test_truncated_gzip_is_refused(tmp_path, kept):
    path = write(tmp_path / "text.gz", gzip.compress(os.urandom(99).hex().encode())[:kept])
    for read in (lambda: list(read_raw_lines(path)), lambda: survey(path)):
        with pytest.raises(CorpusError, match=r"text\.gz is a damaged compressed file"):
            read()


def test_damaged_gzip_is_refused(tmp_path):
    content = bytearray(gzip.compress(os.urandom(5000).hex().encode()))
    content[2000] ^= 0xFF
    with pytest.raises(CorpusError, match="damaged compressed file"):
        survey(write(tmp_path / "text.gz", bytes(content)))


def test_gzip_is_known_by_its_bytes_and_not_by_its_name(tmp_path):
    assert list(read_lines(write(tmp_path / "a.gz", b"plain\n"))) == ["plain"]
    assert list(read_lines(write(tmp_path / "a.txt", gzip.compress(b"packed\n")))) == ["packed"]


def test_pairs_are_read_line_by_line(tmp_path):
    source, target = write(tmp_path / "s", b"a\n\nb"), write(tmp_path / "t", b"x\ny\nz\n")
    pairs = [SentencePair("a", "x"), SentencePair("", "y"), SentencePair("b", "z")]
    assert list(read_pairs(source, target)) == pairs


@pytest.mark.parametrize(("n_source", "n_target"), [(1000, 999), (999, 1000), (5, 1), (1, 7)])
def test_unequal_counts_are_refused_with_both_counts(tmp_path, n_source, n_target):
    source = write(tmp_path / "s", b"a\n" * n_source)
    target = write(tmp_path / "t", b"b\n" * n_target)
    said = f"s has {n_source:,} lines but .*t has {n_target:,}"
    for read in (lambda: list(read_pairs(source, target)), lambda: survey_pair(source, target)):
        with pytest.raises(CorpusError, match=said):
            read()


def test_aligned_files_are_read_together(tmp_path):
    one, two, short = (
        write(tmp_path / name, text)
        for name, text in (("one", b"a\n\n"), ("two", b"b\nc\n"), ("short", b"d\n"))
    )
    assert read_aligned([one, two, one]) == [["a", ""], ["b", "c"], ["a", ""]]
    with pytest.raises(CorpusError, match=r"one has 2 lines but .*short has 1"):
        read_aligned([one, two, short])
    with pytest.raises(CorpusError, match="empty is empty"):
        read_aligned([write(tmp_path / "empty", b""), one])
    with pytest.raises(ConfigError, match="standard input was given more than once"):
        read_aligned([STDIN, STDIN])


def test_missing_files_and_directories_are_named(tmp_path):
    with pytest.raises(CorpusError, match="nowhere does not exist"):
        survey(tmp_path / "nowhere")
    with pytest.raises(CorpusError, match="is a directory"):
        survey(tmp_path)
    with pytest.raises(CorpusError, match="cannot be read"):
        survey(write(tmp_path / "file", b"") / "inside")


def test_an_unreadable_file_is_named(tmp_path, monkeypatch):
    def refuse(self, mode):  # root, who runs some test machines, may read every file
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CorpusError, match="secret cannot be read: Permission denied"):
        survey(tmp_path / "secret")


def test_standard_input_can_be_read_twice_when_spooled(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(b"a\nb\n"))))
    notes = []
    with rereadable(STDIN, notify=notes.append):
        assert list(read_lines(STDIN)) == list(read_lines(STDIN)) == ["a", "b"]
    assert len(notes) == 1 and "standard input can be read only once" in notes[0]


def test_standard_input_may_be_compressed(monkeypatch):
    packed = io.BufferedReader(io.BytesIO(gzip.compress(b"a\n")))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(packed))
    with open_bytes(STDIN) as stream:
        assert stream.read() == b"a\n"


def test_a_path_needs_no_spool(tmp_path):
    with rereadable(tmp_path, notify=pytest.fail):
        pass
