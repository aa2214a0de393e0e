"""Translations of pieces: learnt from pairs, and their file."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from splits import split_of

from data import lexical_table
from data.lexical_table import MOST, LexicalTable, learn_table
from seq2seq.errors import CheckpointError

TABLE = LexicalTable(
    np.arange(20, dtype=np.int32).reshape(4, 5),
    np.linspace(1, 0, 20, dtype=np.float32).reshape(4, 5),
    np.array([3, 7], np.int32),
)


def listed(table, source):
    return [number for number in table.likely[source].tolist() if number >= 0]


def test_the_likeliest_translations_are_those_that_explain_all_pairs():
    # 4 is 14, 5 is 15 and 6 is 16; 17 stands in every target
    split = split_of(
        ([4, 5], [14, 15, 17]), ([5], [15, 17]), ([6, 4], [17, 16, 14]), ([5, 6], [15, 16, 17])
    )
    table = learn_table(split, source_vocabulary=10, target_vocabulary=20)
    assert [listed(table, source)[0] for source in (4, 5, 6)] == [14, 15, 16]
    assert {*listed(table, 4)} == {14, 15, 16, 17} and listed(table, 7) == []
    assert table.frequent.tolist() == [14, 15, 16, 17]


def test_one_step_by_hand(monkeypatch):
    """Sources 4 5 with targets 14, and 4 with 15: with the null piece, uniform at first.

    Counts after one step: 14 shares 1/3 with each of 4, 5 and null; 15 shares 1/2 with 4 and null.
    So t(14 | 4) = (1/3) / (1/3 + 1/2) = 0.4 and t(15 | 4) = 0.6.
    """
    monkeypatch.setattr(lexical_table, "_ITERATIONS", 1)
    table = learn_table(
        split_of(([4, 5], [14]), ([4], [15])), source_vocabulary=10, target_vocabulary=20
    )
    assert listed(table, 4) == [15, 14] and listed(table, 5) == [14]
    assert table.probabilities[4, :3].tolist() == pytest.approx([0.6, 0.4, 0])
    assert table.probabilities[5, :2].tolist() == [1, 0]


def test_of_many_pairs_some_are_left_out(monkeypatch):
    split = split_of(*[([4 + i % 3], [14 + i % 3, 18]) for i in range(90)])
    monkeypatch.setattr(lexical_table, "_MAX_LINKS", 100)
    sources, _, _ = lexical_table._links(split, null=10)
    assert 50 <= len(sources) <= 100
    table = learn_table(split, source_vocabulary=10, target_vocabulary=20)
    assert {14, 15, 16, 18} == {*table.frequent.tolist()}  # they are counted in all pairs


def test_a_table_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "table"
    TABLE.write(path, store_sha256="abc")
    read = LexicalTable.read(path, store_sha256="abc")
    for name in ("likely", "probabilities", "frequent"):
        assert (getattr(read, name) == getattr(TABLE, name)).all()
    again = tmp_path / "again"
    TABLE.write(again, store_sha256="abc")
    assert again.read_bytes() == path.read_bytes()


def test_an_unusable_table_is_refused(tmp_path):
    path = tmp_path / "table"
    TABLE.write(path, store_sha256="abc")
    with pytest.raises(CheckpointError, match="was learnt from another token store"):
        LexicalTable.read(path, store_sha256="abd")
    whole = path.read_bytes()
    for damaged in (whole[:-8] + b"\0\0\0\1" + whole[-4:], whole[:-5], b"", b"\xff" * 40):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="is damaged"):
            LexicalTable.read(path, store_sha256="abc")
    path.write_bytes(whole)
    save_file(load_file(path), path, {"lexical_table": json.dumps({"format_version": 2})})
    with pytest.raises(CheckpointError, match="has format version 2"):
        LexicalTable.read(path, store_sha256="abc")


def test_no_more_translations_are_kept_than_fit():
    split = split_of(([4], list(range(10, 10 + 2 * MOST))))
    table = learn_table(split, source_vocabulary=10, target_vocabulary=300)
    assert len(listed(table, 4)) == MOST and table.likely.shape == (10, MOST)
