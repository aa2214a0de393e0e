"""Alignments as a NumPy archive: what is read is what was written, and nothing is pickled."""

import itertools
import os
import threading
import tracemalloc
import zipfile

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.errors import CorpusError
from seq2seq.evaluation.alignment import Alignment
from seq2seq.evaluation.alignment_archive import read_archive, write_archive

labels = st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5))


@st.composite
def alignments(draw) -> Alignment | None:
    source, target = tuple(draw(labels)), tuple(draw(labels))
    if not source and not target:
        return None
    seed = draw(st.integers(0, 99))
    weights = np.random.default_rng(seed).random((len(target), len(source)), np.float32)
    return Alignment(source, target, weights.astype(np.float64))


@examples(50)
@given(st.lists(alignments(), max_size=5))
def test_what_is_read_is_what_was_written(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("archive") / "all.npz"
    write_archive(path, written)
    for before, after in zip(written, read_archive(path), strict=True):
        if before is None:
            assert after is None
            continue
        assert (after.source, after.target) == (before.source, before.target)
        np.testing.assert_array_equal(after.weights, before.weights)


def test_an_archive_has_plain_arrays_and_equal_ones_have_equal_bytes(tmp_path):
    written = [Alignment(("a\0", "⏎"), ("x",), np.array([[0.25, 0.75]])), None]
    for name in ("one.npz", "two.npz"):
        write_archive(tmp_path / name, written)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    with np.load(tmp_path / "one.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["schema_version", "shapes", "source", "target", "weights"]
        assert arrays["source"].tolist() == ["a␀", "⏎"]
        assert arrays["shapes"].tolist() == [[1, 2], [0, 0]]
        assert arrays["weights"].tolist() == [0.25, 0.75]
        assert all(arrays[name].dtype != object for name in arrays)


def test_a_link_stays_and_a_pipe_is_written_to(tmp_path):
    file, link, pipe = (tmp_path / name for name in ("file.npz", "link.npz", "pipe.npz"))
    link.symlink_to(file)
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()), daemon=True)
    reader.start()
    for path in (link, pipe):
        write_archive(path, [Alignment(("a",), ("x",), np.ones((1, 1)))])
    assert link.is_symlink() and pipe.is_fifo()
    reader.join(10)
    assert received == [file.read_bytes()]


def test_alignments_need_not_fit_into_memory(tmp_path):
    table = Alignment(("word",) * 100, ("wort",) * 100, np.full((100, 100), 0.01))
    tracemalloc.start()
    write_archive(tmp_path / "large.npz", itertools.repeat(table, 200))  # 8 MB of float32
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6


def test_another_schema_version_is_refused(tmp_path):
    path = tmp_path / "later.npz"
    np.savez(path, schema_version=np.int64(2))
    with pytest.raises(CorpusError, match="has schema version 2"):
        list(read_archive(path))
    assert zipfile.is_zipfile(path)
