"""A store in shards: the merged one is, byte for byte, that of one process; misuse is refused."""

import gzip
import json
import os
from itertools import accumulate
from pathlib import Path

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from tiny import corpus_lines, prepare, write_corpus

import data.corpus
from data.config import DataConfig
from data.corpora import Corpus, CorpusFiles, Manifest
from data.corpus import read_raw_lines, survey
from data.preparation import chunks, shards
from data.preparation.chunks import lines_of_shard
from data.preparation.links import LinkFile
from data.preparation.request import PreparationRequest
from data.preparation.shard_plan import Shard, shards_folder
from data.token_store import TokenStore
from seq2seq.errors import ConfigError, CorpusError, ResourceError

CONFIG = DataConfig(vocabulary_size=310, max_words=20)
ODD = [("", "no source"), ("a\x07bell", "bell"), ("short", "much too long to be of it " * 4)]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_PAIRS", 7)
    monkeypatch.setattr(data.corpus, "_BLOCK", 100)  # bytes, so that most shards begin in a block
    monkeypatch.setattr(shards, "_BLOCK", 5)


@pytest.fixture
def texts(tmp_path) -> dict[str, CorpusFiles]:
    pairs = {
        "train": [*corpus_lines(60, seed=1), *ODD, *corpus_lines(30, seed=2), *ODD],
        "more": [("é" * 9, "è"), *corpus_lines(20, seed=3), ("", "x")],
        "valid": [*corpus_lines(6, seed=2), *corpus_lines(3, seed=3), ("", "")],
    }
    return {name: CorpusFiles(*write_corpus(tmp_path, name, p)) for name, p in pairs.items()}


def request(texts, store: Path, **options) -> PreparationRequest:
    made = {"processes": 1, "choose": ("vocabulary_size",)} | options
    return PreparationRequest(texts["train"], texts["valid"], store, CONFIG, **made)


def content(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(store.iterdir())}


def sharded(asked: PreparationRequest, count: int) -> dict[str, bytes]:
    shards.plan_shards(asked, count)
    for number in range(count, 0, -1):
        shards.prepare_shard(asked, Shard(number, count))
    return content(shards.merge_shards(asked).store.path)


@pytest.mark.parametrize("count", [1, 3, 20])  # the text has 18 chunks
def test_merged_shards_are_the_store_of_one_process(texts, tmp_path, count):
    packed = texts["more"].target.with_suffix(".gz")
    packed.write_bytes(gzip.compress(texts["more"].target.read_bytes()))
    more = Corpus("valid", CorpusFiles(texts["more"].source, packed), weight=0.5, tag="2b")
    links = tmp_path / "links"
    links.write_text("0-0\n" * 60 + "\n" * 36)
    options = {"manifest": Manifest(further=(more,)), "links": LinkFile(links)}
    asked = request(texts, tmp_path / "shards", **options)
    assert sharded(asked, count) == content(
        prepare(**vars(request(texts, tmp_path / "whole", **options))).store.path
    )
    assert json.loads((asked.store / "meta.json").read_text())["overlap"] == 9
    left = {"shards", "whole"}
    assert left == {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert shards.merge_shards(asked).stages_reused == ("pieces", "ids")  # a second time


@examples(40)
@given(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 60), min_size=1), st.integers(1, 9))
def test_shards_divide_the_lines_into_whole_chunks(lines, count):
    found = [lines_of_shard(lines, number, count) for number in range(1, count + 1)]
    for name, total in lines.items():
        assert [line for shard in found for line in shard[name]] == list(range(total))
        assert all(shard[name].start % 7 == 0 for shard in found if shard[name])
    sizes = [sum(-(-len(part) // 7) for part in shard.values()) for shard in found]
    assert max(sizes) - min(sizes) <= 1  # chunks


@pytest.mark.parametrize("ending", ["\n", ""])
def test_the_lines_of_a_text_from_any_line_on(tmp_path, ending):
    lines = ["\ufefffirst", "", "x" * 250, "", "", "é\r", "z" * 99, "", "last"]
    text = ("\n".join(lines) + ending).encode()
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    plain.write_bytes(text)
    packed.write_bytes(gzip.compress(text))
    whole = list(read_raw_lines(plain))
    for path in (plain, packed):
        found = survey(path)
        starts = [found.start_of(line) for line in range(len(lines))]
        assert any(start.offset for start in starts)
        assert [list(read_raw_lines(path, start)) for start in starts] == [
            whole[line:] for line in range(len(lines))
        ]
    assert [*accumulate(map(len, whole))][-1] == 250 + 5 + 99 + 4 + 2  # no mark and no "\r"


@pytest.fixture
def planned(texts, tmp_path) -> PreparationRequest:
    asked = request(texts, tmp_path / "store")
    shards.plan_shards(asked, 3)
    return asked


def change(path: Path) -> None:
    """Another text of the same size, written later."""
    path.write_bytes(path.read_bytes().replace(b"ba", b"bo", 1))
    os.utime(path, ns=(0, 0))


def test_what_does_not_fit_the_plan_is_refused(texts, planned, tmp_path):
    first = Shard(1, 3)
    with pytest.raises(ConfigError, match=r"no shards of .*other are planned") as refused:
        shards.prepare_shard(request(texts, tmp_path / "other"), first)
    assert "--plan-shards" in refused.value.hint
    with pytest.raises(ConfigError, match=r"3 shards of .* are planned, not 4"):
        shards.prepare_shard(planned, Shard(1, 4))
    with pytest.raises(ConfigError, match="other languages"):
        shards.prepare_shard(request(texts, planned.store, source_language="de"), first)
    with pytest.raises(ConfigError, match=r"data\.vocabulary_size: 310, not 'chosen by the corpus"):
        shards.merge_shards(request(texts, planned.store, choose=()))
    with pytest.raises(ConfigError, match=r"3 shards of .* are planned already, another number"):
        shards.plan_shards(planned, 2)
    assert shards.plan_shards(planned, 3)[1]  # done before
    os.utime(texts["train"].source, ns=(0, 0))
    shards.prepare_shard(planned, first)  # the text is the same
    change(texts["train"].source)
    with pytest.raises(CorpusError, match=r"train\.src is not the text that the shards"):
        shards.prepare_shard(planned, Shard(2, 3))
    with pytest.raises(ConfigError, match=r"planned already, of other text or settings"):
        shards.plan_shards(planned, 3)
    assert not shards.plan_shards(request(texts, planned.store, overwrite=True), 2)[1]
    plan = shards_folder(planned.store) / "plan.json"
    plan.write_text(plan.read_text().replace('"vocabulary_size"', '"vocabulary"'))
    with pytest.raises(CorpusError, match=r"plan\.json is damaged"):
        shards.prepare_shard(planned, Shard(1, 2))
    with pytest.raises(ConfigError, match="--shard is '0/3'"):
        Shard.parse("0/3")


class Killed(BaseException):
    pass


def test_missing_unfinished_and_damaged_shards_are_refused(texts, planned):
    store = planned.store
    second = Shard(2, 3)
    shards.prepare_shard(planned, second)
    with pytest.raises(ConfigError, match=r"2 of the 3 shards of .* are missing: 1, 3$"):
        shards.merge_shards(planned)
    with pytest.raises(CorpusError, match="is not a token store") as refused:
        TokenStore.open(store)
    assert "--merge-shards" in refused.value.hint
    for number in (1, 3):
        shards.prepare_shard(planned, Shard(number, 3))
    assert shards.prepare_shard(planned, second)[1]  # done before
    folder = shards_folder(store) / second.folder
    folder.rename(folder.with_name(f"{second.folder}.partial"))  # as if it had been killed there
    with pytest.raises(ConfigError, match=r"is missing: 2 \(begun, but not finished: 2\)"):
        shards.merge_shards(planned)
    shards.prepare_shard(planned, second)
    before = content(folder)
    (folder / "train.ids").write_bytes(before["train.ids"][::-1])
    with pytest.raises(CorpusError, match="shard-2-of-3 is damaged") as refused:
        shards.merge_shards(planned)
    assert refused.value.hint == "make it again: --shard 2/3 --overwrite"
    shards.prepare_shard(request(texts, store, overwrite=True), second)
    assert content(folder) == before
    assert not store.exists()
    shards.merge_shards(planned)
    with pytest.raises(ConfigError, match="is prepared already"):
        shards.plan_shards(planned, 3)


def test_a_shard_is_prepared_by_one_process_at_a_time(texts, planned):
    def progress(stage: str, done: int, total: int) -> None:
        with pytest.raises(ResourceError, match=r"shard-1-of-3 is being prepared by process"):
            shards.prepare_shard(planned, Shard(1, 3))
        raise Killed

    with pytest.raises(Killed):
        shards.prepare_shard(request(texts, planned.store, progress=progress), Shard(1, 3))
    assert not list(shards_folder(planned.store).glob("*shard-1*"))
