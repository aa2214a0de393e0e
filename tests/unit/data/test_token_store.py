"""The token store: what was written is what is read, and damage is named."""

import json
import shutil

import numpy as np
import pytest

from data.token_store import META, TokenStore, model_name, writing_split
from seq2seq.errors import CheckpointError, CorpusError


@pytest.fixture
def copy(store_path, tmp_path) -> TokenStore:
    """A store that may be harmed."""
    return TokenStore.open(shutil.copytree(store_path, tmp_path / "store"))


def write(folder, pairs, *, dtype=np.uint16, at_once: int = 3):
    with writing_split(folder, "train", dtype=np.dtype(dtype)) as writer:
        for begin in range(0, len(pairs), at_once):
            some = pairs[begin : begin + at_once]
            ids = [np.array(side, np.int32) for pair in some for side in pair[:2]]
            writer.append(
                np.concatenate(ids),
                np.array([len(side) for side in ids], np.int32),
                np.array([line for _, _, line in some]),
            )
    return writer


def opened(folder, writer, dtype: str) -> TokenStore:
    counts = {"pairs": writer.pairs, "tokens": writer.tokens}
    return TokenStore(folder, {"dtype": dtype, "splits": {"train": counts}})


@pytest.mark.parametrize(("dtype", "highest"), [("uint16", 65_535), ("uint32", 70_000)])
@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_pairs_come_back_as_they_were_written(tmp_path, dtype, highest, at_once):
    pairs = [([4, 5], [6], 1), ([highest], [4, 4, 4], 3), ([7], [8, 9], 9), ([10], [11], 12)]
    writer = write(tmp_path, pairs, dtype=dtype, at_once=at_once)
    split = opened(tmp_path, writer, dtype).split("train")
    assert len(split) == 4 and writer.tokens == 12
    assert [
        (split.source(i).tolist(), split.target(i).tolist(), int(split.lines[i])) for i in range(4)
    ] == pairs
    assert split.source_lengths.tolist() == [2, 1, 1, 1]
    assert split.target_lengths.tolist() == [1, 3, 2, 1]


def test_a_split_is_read_from_disk_as_it_is_used(store):
    split = store.split("train")
    assert isinstance(split.ids, np.memmap) and not split.ids.flags.writeable


def test_a_store_knows_its_corpus(store):
    assert store.joint and store.languages == (None, None)
    assert len(store.tokenizer("source")) == store.meta["source_vocabulary"]
    assert len(store.split("valid")) == len(store.valid_text("source")) == 12
    assert len(store.valid_text("target")) == 12
    assert store.config.vocabulary_size == 310


@pytest.mark.parametrize("kind", ["ids", "offsets", "lines"])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_of_another_size_is_refused(copy, kind, change):
    path = copy.path / f"train.{kind}"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] if change < 0 else whole + b"\0")
    with pytest.raises(CorpusError, match=rf"train\.{kind} is damaged") as caught:
        copy.split("train")
    assert caught.value.hint
    path.unlink()
    with pytest.raises(CorpusError):
        copy.split("train")


FILES = [
    "train.ids",
    "train.offsets",
    "train.lines",
    "valid.ids",
    "valid.source.txt",
    "pieces.model",
    "output.ids",
]


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_found(copy, name):
    copy.verify()
    content = bytearray((copy.path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy.path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=name):
        copy.verify()


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", "\x00"])
def test_a_description_that_is_something_else_is_refused(copy, text):
    (copy.path / META).write_text(text)
    with pytest.raises(CorpusError, match="damaged"):
        TokenStore.open(copy.path)


def test_another_format_version_is_refused(copy):
    (copy.path / META).write_text(json.dumps(copy.meta | {"format_version": 3}))
    with pytest.raises(CorpusError, match="format version 3, this program reads 1 and 2"):
        TokenStore.open(copy.path)


def test_a_store_without_output_ids_is_one_of_the_whole_vocabulary(copy):
    assert copy.output_pieces["count"] == len(copy.output_ids) < len(copy.tokenizer("target"))
    del copy.meta["output_pieces"]
    (copy.path / META).write_text(json.dumps(copy.meta))
    (copy.path / "output.ids").unlink()
    older = TokenStore.open(copy.path)
    older.verify()
    assert older.output_pieces is None and older.output_ids is None


def test_a_folder_that_is_not_a_store_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(CorpusError, match="is not a token store"):
            TokenStore.open(path)


def test_a_store_is_known_by_the_hash_of_its_description(copy, store):
    assert copy.sha256 == store.sha256
    (copy.path / META).write_text(json.dumps(copy.meta))
    assert copy.sha256 != store.sha256


def test_damaged_pieces_are_refused(copy):
    (copy.path / "pieces.model").write_bytes(b"nothing")
    with pytest.raises(CheckpointError):
        copy.tokenizer("source")


def test_the_pieces_of_a_side_have_a_name():
    assert model_name("source", joint=True) == model_name("target", joint=True) == "pieces.model"
    assert model_name("source", joint=False) == "source.model"
