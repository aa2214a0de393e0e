"""Preparing a corpus: the store is the naive encoding of the clean pairs in every case."""

import gzip
import json
import os
import random
import shutil
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from program import forking
from tiny import corpus_lines, prepare, write_corpus

from data.cleaning import cleaning_rules, reason_to_drop
from data.config import DataConfig
from data.corpora import Corpus, CorpusFiles, Manifest
from data.corpus import SentencePair
from data.output_pieces import OutputTokenizer
from data.preparation import chunks, encoding, piece_models, workers, working_folder
from data.token_store import TokenStore
from data.tokenization import train_tokenizer
from seq2seq.batch import EOS
from seq2seq.errors import ConfigError, CorpusError, ResourceError

CONFIG = DataConfig(vocabulary_size=310, max_words=20)
ODD = [
    ("", "empty source"),
    ("empty target", " "),
    ("", ""),
    ("a\x07bell", "bell"),
    ("lost \ufffd", "lost"),
    (" ".join(["long"] * 30), " ".join(["lang"] * 30)),
    ("short", "much too long for so short a sentence " * 4),
    ("emoji 🙂 ba", "日本 ce"),
    ("line\u2028inside", "line\x85inside"),
    ("tab\there", "tab\there"),
    ("\u200b", "nothing is left of the source"),
]


@pytest.fixture
def corpus(tmp_path) -> tuple[CorpusFiles, CorpusFiles]:
    """130 training pairs, odd ones among them, and 13 to validate with: one blank, one odd."""
    pairs = [*corpus_lines(119, seed=1), *ODD]
    random.Random(1).shuffle(pairs)
    valid = [*corpus_lines(11, seed=2), ("", "blank"), ("short", "much too long " * 9)]
    return (
        CorpusFiles(*write_corpus(tmp_path, "train", pairs)),
        CorpusFiles(*write_corpus(tmp_path, "valid", valid)),
    )


def lines_of(files: CorpusFiles) -> list[SentencePair]:
    sides = (path.read_bytes().decode().split("\n")[:-1] for path in files)
    return [SentencePair(*pair) for pair in zip(*sides, strict=True)]


def prepared(corpus, store: Path, config: DataConfig = CONFIG, **options):
    return prepare(*corpus, store, config, **{"processes": 1} | options)


def content(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(store.iterdir())}


def pairs_of(store: TokenStore, split: str) -> list[tuple[int, list[int], list[int]]]:
    found = store.split(split)
    return [
        (int(found.lines[i]), found.source(i).tolist(), found.target(i).tolist())
        for i in range(len(found))
    ]


@pytest.mark.parametrize("joint", [True, False])
def test_a_store_is_the_naive_encoding_of_the_clean_corpus(corpus, tmp_path, joint):
    config = CONFIG.model_copy(update={"joint": joint, "max_pieces": 18})
    store = prepared(corpus, tmp_path / "store", config).store
    rules, lines = cleaning_rules(config), lines_of(corpus[0])
    clean = {n: pair for n, pair in enumerate(lines, 1) if not reason_to_drop(pair, rules)}
    sources, targets = zip(*clean.values(), strict=True)
    pieces = [train_tokenizer([*sources, *targets], config)] * 2
    if not joint:
        pieces = [train_tokenizer(side, config) for side in (sources, targets)]
    encoded = [(n, pieces[0].encode(s), pieces[1].encode(t)) for n, (s, t) in clean.items()]
    expected = [pair for pair in encoded if all(1 <= len(side) <= 18 for side in pair[1:])]
    assert 0 < len(expected) < len(clean) < len(lines)
    assert pairs_of(store, "train") == expected
    occurring = {id_ for _, _, target in expected for id_ in target}
    space = pieces[1].vocabulary().ids["▁"]
    assert store.output_ids.tolist() == sorted({*occurring, EOS, *pieces[1].byte_ids, space})
    outputs = OutputTokenizer(pieces[1].model, store.output_ids)
    held_out = [
        (n, pieces[0].encode(s), outputs.encode(t))
        for n, (s, t) in enumerate(lines_of(corpus[1]), 1)
        if s.strip() and t.strip()
    ]
    assert pairs_of(store, "valid") == held_out  # never cleaned, but for what is blank
    plain = [pieces[1].encode(t) for _, t in lines_of(corpus[1]) if t.strip()]
    assert any(target not in plain for *_, target in held_out)  # some have pieces of no target
    assert store.valid_text("source") == [pair.source for pair in lines_of(corpus[1])]
    cleaning = store.meta["splits"]["train"]["cleaning"]
    assert cleaning["read"] == len(lines) and cleaning["kept"] == len(expected)
    assert cleaning["kept"] + sum(cleaning["reasons"].values()) == len(lines)
    names = ["pieces.model"] if joint else ["source.model", "target.model"]
    assert [path.name for path in sorted(store.path.glob("*.model"))] == names
    store.verify()


def test_unescaping_gives_the_store_of_plain_text(corpus, tmp_path):
    plain = prepared(corpus, tmp_path / "plain").store
    escaped = []
    for number, files in enumerate(corpus):
        paths = tmp_path / f"{number}.a", tmp_path / f"{number}.b"
        for path, old in zip(paths, files, strict=True):
            path.write_bytes(old.read_bytes().replace(b"a", b"&#97;").replace(b"e", b"&amp;#x65;"))
        escaped.append(CorpusFiles(*paths))
    config = CONFIG.model_copy(update={"unescape": True})
    store = prepared(escaped, tmp_path / "store", config).store
    for name in ("pieces.model", "train.ids", "valid.ids", "valid.source.txt", "valid.target.txt"):
        assert (store.path / name).read_bytes() == (plain.path / name).read_bytes(), name
    assert store.config.unescape and "unescape" not in plain.meta["config"]
    with pytest.raises(ConfigError):
        prepared(escaped, tmp_path / "store")


def test_worker_processes_write_the_same_bytes(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_PAIRS", 17)
    alone = prepared(corpus, tmp_path / "alone").store
    monkeypatch.setattr(encoding, "FEWEST_FOR_WORKERS", 0)
    together = prepared(corpus, tmp_path / "together", processes=2).store
    assert content(alone.path) == content(together.path)


def test_chunks_do_not_matter(corpus, tmp_path, monkeypatch):
    whole = prepared(corpus, tmp_path / "whole").store
    monkeypatch.setattr(chunks, "CHUNK_PAIRS", 1)
    single = prepared(corpus, tmp_path / "single").store
    ours, theirs = content(single.path), content(whole.path)
    assert json.loads(ours.pop("meta.json")) == json.loads(theirs.pop("meta.json"))
    assert ours == theirs


def test_the_same_inputs_again_need_no_work(corpus, tmp_path, monkeypatch):
    first = prepared(corpus, tmp_path / "store")
    before = content(first.store.path)
    monkeypatch.setattr(piece_models, "train_tokenizer", None)  # would fail if it were called
    again = prepared(corpus, tmp_path / "store")
    assert (first.stages_reused, again.stages_reused) == ((), ("pieces", "ids"))
    assert content(again.store.path) == before


@pytest.mark.parametrize("change", [{"max_pieces": 9}, {"seed": 2}, {"joint": False}])
def test_other_settings_are_refused_and_nothing_changes(corpus, tmp_path, change):
    before = content(prepared(corpus, tmp_path / "store").store.path)
    with pytest.raises(ConfigError, match="with other settings") as caught:
        prepared(corpus, tmp_path / "store", CONFIG.model_copy(update=change))
    assert "--overwrite" in caught.value.hint
    assert content(tmp_path / "store") == before


def test_another_text_or_language_is_refused(corpus, tmp_path):
    prepared(corpus, tmp_path / "store")
    with pytest.raises(ConfigError):
        prepared(corpus, tmp_path / "store", source_language="de")
    corpus[0].source.write_bytes(corpus[0].source.read_bytes().replace(b"ba", b"bo", 1))
    with pytest.raises(ConfigError):
        prepared(corpus, tmp_path / "store")


def test_the_same_text_under_another_name_is_the_same(corpus, tmp_path):
    prepared(corpus, tmp_path / "store")
    renamed = CorpusFiles(
        *(path.rename(path.with_suffix(".renamed" + path.suffix)) for path in corpus[0])
    )
    again = prepared((renamed, corpus[1]), tmp_path / "store")
    assert again.stages_reused == ("pieces", "ids")


def test_overwriting_replaces_and_reuses_pieces_that_still_fit(corpus, tmp_path):
    prepared(corpus, tmp_path / "store")
    narrower = CONFIG.model_copy(update={"max_pieces": 9})
    replaced = prepared(corpus, tmp_path / "store", narrower, overwrite=True)
    assert replaced.stages_reused == ("pieces",)
    assert content(replaced.store.path) == content(
        prepared(corpus, tmp_path / "new", narrower).store.path
    )
    separate = CONFIG.model_copy(update={"joint": False})
    replaced = prepared(corpus, tmp_path / "store", separate, overwrite=True)
    assert replaced.stages_reused == ()
    assert content(replaced.store.path) == content(
        prepared(corpus, tmp_path / "two", separate).store.path
    )


def test_overwriting_never_removes_anything_but_a_store(corpus, tmp_path):
    precious = tmp_path / "folder" / "thesis.txt"
    precious.parent.mkdir()
    precious.write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(ConfigError):
            prepared(corpus, precious.parent, overwrite=overwrite)
        with pytest.raises(ConfigError):
            prepared(corpus, precious, overwrite=overwrite)
    assert precious.read_text() == "years of work"


class Killed(BaseException):
    pass


def stop_at(stage: str):
    def progress(now: str, done: int, total: int) -> None:
        if now == stage:
            raise Killed

    return progress


@pytest.mark.parametrize("stage", ["train", "valid"])
def test_pieces_outlive_an_interruption(corpus, tmp_path, stage):
    with pytest.raises(Killed):
        prepared(corpus, tmp_path / "store", progress=stop_at(stage))
    assert not (tmp_path / "store").exists()
    again = prepared(corpus, tmp_path / "store")
    assert again.stages_reused == ("pieces",)
    assert content(again.store.path) == content(prepared(corpus, tmp_path / "whole").store.path)
    assert not (tmp_path / "store.partial").exists()


def test_an_interruption_before_the_pieces_leaves_nothing(corpus, tmp_path):
    with pytest.raises(Killed):
        prepared(corpus, tmp_path / "new" / "store", progress=stop_at("pieces"))
    assert not list((tmp_path / "new").iterdir())


def test_leftovers_of_other_settings_are_not_reused(corpus, tmp_path):
    with pytest.raises(Killed):
        prepared(corpus, tmp_path / "store", progress=stop_at("train"))
    separate = CONFIG.model_copy(update={"joint": False})
    again = prepared(corpus, tmp_path / "store", separate)
    assert again.stages_reused == ()
    assert content(again.store.path) == content(
        prepared(corpus, tmp_path / "whole", separate).store.path
    )


def test_leftovers_of_other_pieces_do_not_get_into_a_store_that_keeps_its_own(corpus, tmp_path):
    prepared(corpus, tmp_path / "store")
    separate = CONFIG.model_copy(update={"joint": False})
    with pytest.raises(Killed):
        prepared(corpus, tmp_path / "store", separate, overwrite=True, progress=stop_at("train"))
    narrower = CONFIG.model_copy(update={"max_pieces": 9})
    replaced = prepared(corpus, tmp_path / "store", narrower, overwrite=True)
    assert replaced.stages_reused == ("pieces",)
    whole = prepared(corpus, tmp_path / "whole", narrower).store
    assert content(replaced.store.path) == content(whole.path)


def test_leftovers_beside_reusable_pieces_are_removed(corpus, tmp_path):
    """An older version left such folders."""
    partial = tmp_path / "store.partial"
    with pytest.raises(Killed):
        prepared(corpus, tmp_path / "store", progress=stop_at("train"))
    shutil.copy(partial / "pieces.model", partial / "source.model")
    again = prepared(corpus, tmp_path / "store")
    assert content(again.store.path) == content(prepared(corpus, tmp_path / "whole").store.path)


def test_a_signal_waits_until_a_store_is_replaced(corpus, tmp_path, monkeypatch):
    prepared(corpus, tmp_path / "store")
    narrower = CONFIG.model_copy(update={"max_pieces": 9})
    whole = content(prepared(corpus, tmp_path / "whole", narrower).store.path)
    rename = Path.rename

    def interrupted(path, to):
        rename(path, to)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)  # until another thread has received it

    ended = threading.Event()
    threading.Thread(target=ended.wait).start()
    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepared(corpus, tmp_path / "store", narrower, overwrite=True)
    ended.set()
    assert content(tmp_path / "store") == whole


def test_a_kill_while_a_store_is_replaced_loses_neither(corpus, tmp_path, monkeypatch):
    store, narrower = tmp_path / "store", CONFIG.model_copy(update={"max_pieces": 9})
    old, rename = content(prepared(corpus, store).store.path), Path.rename

    def killed(path, to):
        if to.name == "store":
            raise Killed
        rename(path, to)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", killed)
        with pytest.raises(Killed):
            prepared(corpus, store, narrower, overwrite=True)
    with pytest.raises(CorpusError) as caught:
        TokenStore.open(store)
    assert f"rename {store}.replaced" in caught.value.hint
    with pytest.raises(ConfigError, match="with other settings"):
        prepared(corpus, store, narrower)
    assert content(store) == old


@pytest.mark.parametrize("file", ["pieces.model", "meta.json"])
def test_pieces_outlive_an_interruption_at_the_very_end(corpus, tmp_path, monkeypatch, file):
    def interrupted(path):
        if path.name == file:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(working_folder, "sync", interrupted)
        with pytest.raises(Killed):
            prepared(corpus, tmp_path / "store")
    assert prepared(corpus, tmp_path / "store").stages_reused == ("pieces",)


def test_a_link_to_a_store_stays_when_the_store_is_replaced(corpus, tmp_path):
    real = tmp_path / "disk" / "store"
    prepared(corpus, real)
    link = tmp_path / "link"
    link.symlink_to(real)
    narrower = CONFIG.model_copy(update={"max_pieces": 9})
    for config in (narrower, CONFIG):
        prepared(corpus, link, config, overwrite=True)
        assert link.is_symlink() and [each.name for each in real.parent.iterdir()] == ["store"]
    assert content(real) == content(prepared(corpus, tmp_path / "whole").store.path)


def test_the_current_directory_is_not_replaced(corpus, tmp_path, monkeypatch):
    prepared(corpus, tmp_path / "store")
    monkeypatch.chdir(tmp_path / "store")
    assert prepared(corpus, Path()).stages_reused == ("pieces", "ids")
    with pytest.raises(ConfigError, match="is the current directory"):
        prepared(corpus, Path(), CONFIG.model_copy(update={"max_pieces": 9}), overwrite=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorpusError, match="is not a token store"):
        TokenStore.open(Path())


def test_a_kill_while_other_pieces_are_learnt_leaves_none_of_the_old_settings(
    corpus, tmp_path, monkeypatch
):
    """Pieces A are left; pieces B are being written; then A is prepared again."""
    with pytest.raises(Killed):
        prepared(corpus, tmp_path / "store", progress=stop_at("train"))
    with monkeypatch.context() as patched:
        patched.setattr(piece_models, "write_json", lambda *a: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            prepared(corpus, tmp_path / "store", CONFIG.model_copy(update={"vocabulary_size": 300}))
    again = prepared(corpus, tmp_path / "store").store
    assert content(again.path) == content(prepared(corpus, tmp_path / "whole").store.path)


def test_gzip_is_text_like_any_other(corpus, tmp_path):
    packed = CorpusFiles(*(path.with_suffix(path.suffix + ".gz") for path in corpus[0]))
    for plain, path in zip(corpus[0], packed, strict=True):
        path.write_bytes(gzip.compress(plain.read_bytes()))
    store = prepared((packed, corpus[1]), tmp_path / "store").store
    assert pairs_of(store, "train") == pairs_of(prepared(corpus, tmp_path / "plain").store, "train")


def test_a_corpus_of_which_nothing_is_left_is_refused_and_leaves_nothing(corpus, tmp_path):
    nothing = CorpusFiles(*write_corpus(tmp_path, "nothing", [("", "a"), ("b", " "), ("", "")]))
    with pytest.raises(CorpusError, match="survives cleaning") as caught:
        prepared((nothing, corpus[1]), tmp_path / "new" / "store")
    assert caught.value.hint
    assert not list((tmp_path / "new").iterdir())


def test_a_validation_set_of_which_nothing_is_left_is_refused(corpus, tmp_path):
    nothing = CorpusFiles(*write_corpus(tmp_path, "nothing", [("", "a"), ("b", " ")]))
    with pytest.raises(CorpusError, match=r"no pair of .* is usable"):
        prepared((corpus[0], nothing), tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_pairs_over_the_limit_of_pieces_leave_none(corpus, tmp_path):
    with pytest.raises(CorpusError, match="over 1 pieces"):
        prepared(corpus, tmp_path / "store", CONFIG.model_copy(update={"max_pieces": 1}))
    assert not (tmp_path / "store").exists()
    assert prepared(corpus, tmp_path / "store").stages_reused == ("pieces",)  # they are intact


def test_sides_of_unequal_length_are_refused_before_any_work(corpus, tmp_path):
    with corpus[0].target.open("ab") as stream:
        stream.write(b"one more\n")
    with pytest.raises(CorpusError, match=r"130 lines but .* has 131"):
        prepared(corpus, tmp_path / "new" / "store")
    assert not (tmp_path / "new").exists()


def test_a_store_cannot_be_prepared_twice_at_once(corpus, tmp_path):
    seen = []

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "train" and not seen:
            seen.append(stage)
            with pytest.raises(ResourceError, match="is being prepared by process"):
                prepared(corpus, tmp_path / "store")

    prepared(corpus, tmp_path / "store", progress=progress)
    assert seen


def test_a_sample_of_pairs_is_a_function_of_its_seed(corpus, tmp_path):
    def pieces(name: str, seed: int) -> bytes:
        config = CONFIG.model_copy(update={"sample_pairs": 40, "seed": seed})
        return (prepared(corpus, tmp_path / name, config).store.path / "pieces.model").read_bytes()

    assert pieces("a", 1) == pieces("b", 1) != pieces("c", 2)


# Several corpora


@pytest.fixture
def manifest(corpus, tmp_path) -> Manifest:
    """The main corpus to "2b"; its sides swapped to "2a"; a third without a tag."""
    third = CorpusFiles(*write_corpus(tmp_path, "third", [*corpus_lines(20, seed=3), ("", "x")]))
    return Manifest(
        tag="2b",
        further=(
            Corpus("reverse", CorpusFiles(*reversed(corpus[0])), weight=0.5, tag="2a"),
            Corpus("third", third),
        ),
    )


@pytest.mark.parametrize("joint", [True, False])
def test_further_corpora_follow_the_main_one_each_with_its_tag(corpus, manifest, tmp_path, joint):
    config = CONFIG.model_copy(update={"joint": joint})
    store = prepared(corpus, tmp_path / "store", config, manifest=manifest).store
    store.verify()
    pieces = store.tokenizer("source"), store.tokenizer("target")
    assert pieces[0].tags == {"2a": 4, "2b": 5}
    assert pieces[1].tags == (pieces[0].tags if joint else {})
    rules, expected, before = cleaning_rules(config), [], 0
    for each in manifest.with_main(corpus[0]):
        front = [pieces[0].tags[each.tag]] if each.tag else []
        for number, pair in enumerate(lines_of(each.files), before + 1):
            ids = pieces[0].encode(pair.source), pieces[1].encode(pair.target)
            if not reason_to_drop(pair, rules) and all(ids):
                expected.append((number, [*front, *ids[0]], ids[1]))
        before += len(lines_of(each.files))
    assert pairs_of(store, "train") == expected
    assert all(source[0] == pieces[0].tags["2b"] for _, source, _ in pairs_of(store, "valid"))
    main, reverse, third = store.corpora()
    assert (main.name, reverse.name, third.name) == ("main", "reverse", "third")
    assert (reverse.weight, reverse.tag, third.weight, third.tag) == (0.5, "2a", 1.0, None)
    assert main.pairs.start == 0 and main.pairs.stop == reverse.pairs.start
    assert third.pairs.stop == len(expected) and len(third.pairs) == 20
    assert store.meta["inputs"]["corpora"]["third"]["source"]["lines"] == 21
    facts = store.meta["corpora"]
    assert facts[2]["cleaning"]["examples"] == {"source blank": [21]}  # a line of its own file
    cleaning = store.meta["splits"]["train"]["cleaning"]
    assert cleaning["examples"]["source blank"][-1] == 281  # counted on through all of them
    assert cleaning["read"] == sum(each["cleaning"]["read"] for each in facts) == 281
    assert cleaning["kept"] == len(expected)


def test_a_tag_in_the_text_is_text(corpus, manifest, tmp_path):
    """No sentence can pass itself off as one of another kind."""
    tokenizer = prepared(corpus, tmp_path / "store", manifest=manifest).store.tokenizer("source")
    assert 4 not in tokenizer.encode("<2a> ba ce <2a>")
    assert tokenizer.decode(tokenizer.encode("<2a> ba")) == "<2a> ba"
    assert tokenizer.decode([4, *tokenizer.encode("ba")]) == "ba"


def test_worker_processes_write_the_same_bytes_of_several_corpora(
    corpus, manifest, tmp_path, monkeypatch
):
    monkeypatch.setattr(chunks, "CHUNK_PAIRS", 17)
    alone = prepared(corpus, tmp_path / "alone", manifest=manifest).store
    monkeypatch.setattr(encoding, "FEWEST_FOR_WORKERS", 0)
    monkeypatch.setattr(workers, "get_context", forking)
    together = prepared(corpus, tmp_path / "together", processes=2, manifest=manifest).store
    assert content(alone.path) == content(together.path)


def test_one_corpus_makes_the_store_it_always_made(corpus, tmp_path):
    """So that older programs can read it, and a store from before is found to be the same."""
    store = prepared(corpus, tmp_path / "store", manifest=Manifest()).store
    assert store.meta["format_version"] == 1 and "corpora" not in store.meta
    (main,) = store.corpora()
    assert (main.name, main.weight, main.tag) == ("main", 1.0, None)
    assert main.pairs == range(len(store.split("train")))


def test_several_corpora_are_refused_by_programs_that_know_one(corpus, manifest, tmp_path):
    assert prepared(corpus, tmp_path / "store", manifest=manifest).store.meta["format_version"] == 2


def test_other_corpora_are_another_store(corpus, manifest, tmp_path):
    first = prepared(corpus, tmp_path / "store", manifest=manifest)
    again = prepared(corpus, tmp_path / "store", manifest=manifest)
    assert (first.stages_reused, again.stages_reused) == ((), ("pieces", "ids"))
    heavier = replace(manifest, weight=2.0)
    for other in (Manifest(), heavier, replace(manifest, further=manifest.further[:1])):
        with pytest.raises(ConfigError, match="other files or with other settings"):
            prepared(corpus, tmp_path / "store", manifest=other)
    replaced = prepared(corpus, tmp_path / "store", manifest=heavier, overwrite=True)
    assert replaced.stages_reused == ("pieces",)
    assert replaced.store.corpora()[0].weight == 2.0


def test_a_further_corpus_of_which_nothing_is_left_is_refused(corpus, tmp_path):
    blank = CorpusFiles(*write_corpus(tmp_path, "blank", [("", "a"), ("b", "")]))
    with pytest.raises(CorpusError, match=r"no pair of .*blank\.src"):
        prepared(corpus, tmp_path / "store", manifest=Manifest(further=(Corpus("blank", blank),)))
    assert not (tmp_path / "store").exists()


def test_weights_can_be_others_than_those_of_the_store(corpus, manifest, tmp_path):
    store = prepared(corpus, tmp_path / "store", manifest=manifest).store
    weights = {each.name: each.weight for each in store.corpora({"third": 3.0, "main": 0.0})}
    assert weights == {"main": 0.0, "reverse": 0.5, "third": 3.0}
    with pytest.raises(ConfigError, match="names thrid, which is no corpus") as caught:
        store.corpora({"thrid": 1.0})
    assert "main, reverse, third" in caught.value.hint
    with pytest.raises(ConfigError, match="nothing is left to train on"):
        store.corpora(dict.fromkeys(weights, 0.0))


def test_a_description_of_corpora_that_does_not_add_up_is_damaged(corpus, manifest, tmp_path):
    store = prepared(corpus, tmp_path / "store", manifest=manifest).store
    for damage in ([], store.meta["corpora"][:2], [{}], 3, None):
        (store.path / "meta.json").write_text(json.dumps(store.meta | {"corpora": damage}))
        with pytest.raises(CorpusError, match="damaged"):
            TokenStore.open(store.path)
