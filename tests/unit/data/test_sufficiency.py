"""Findings about a corpus that is not enough: each number, and silence where nothing is wrong."""

from itertools import product

import pytest
from tiny import corpus_lines, prepare, write_corpus

from data.config import DataConfig
from data.corpora import Corpus, CorpusFiles
from data.health.sufficiency import (
    few_pairs,
    long_sources_in_validation,
    part_of_an_epoch,
    small_validation,
    store_findings,
    swapped_validation,
    training_pairs_in_validation,
)
from data.preparation.overlap import overlapping_lines
from data.token_store import TokenStore


def test_enough_is_not_worth_a_word():
    assert few_pairs(2000) is None
    assert training_pairs_in_validation(0, 1000) is None
    assert small_validation(200, 2000) is None
    assert long_sources_in_validation(0, 1000, 40) is None
    assert part_of_an_epoch(1.0, 10.0) is None


@pytest.mark.parametrize(
    ("pairs", "message"),
    [(1, "1 pair: too few"), (499, "499 pairs: too few"), (1999, "1,999 pairs: enough to")],
)
def test_few_pairs_are_named(pairs, message):
    finding = few_pairs(pairs)
    assert finding is not None and finding.message.startswith(message)
    assert "--start-from" in finding.advice


def test_a_validation_set_of_training_pairs_is_named_with_its_share():
    finding = training_pairs_in_validation(30, 1000)
    assert finding is not None and finding.count == 30
    assert finding.message.startswith("30 pairs of the validation set (3.0 %) are training pairs")


@pytest.mark.parametrize(("pairs", "words"), [(199, 9000), (900, 1999)])
def test_a_validation_set_is_small_by_its_sentences_or_its_words(pairs, words):
    finding = small_validation(pairs, words)
    assert finding is not None
    assert f"{pairs} sentences of {words:,} words" in finding.message


def test_long_validation_sources_count_from_one_in_a_hundred():
    assert long_sources_in_validation(9, 1000, 40) is None
    finding = long_sources_in_validation(10, 1000, 40)
    assert finding is not None and "10 sources" in finding.message
    assert "(40 pieces)" in finding.message
    assert long_sources_in_validation(1, 12, 40) is not None


def test_a_part_of_an_epoch_names_what_ends_the_training():
    by_minutes, by_updates = part_of_an_epoch(0.4, 10.0), part_of_an_epoch(0.99, None)
    assert by_minutes is not None and by_updates is not None
    assert by_minutes.message.startswith("at this speed 10 minutes are 0.4 epochs")
    assert "--minutes" in by_minutes.advice
    assert by_updates.message.startswith("the updates are 0.99 epochs")
    assert "training.updates" in by_updates.advice


def test_the_overlap_counts_pairs_of_equal_lines_in_any_corpus(tmp_path):
    def files(name: str, *pairs: tuple[str, str]) -> CorpusFiles:
        return CorpusFiles(*write_corpus(tmp_path, name, list(pairs)))

    corpora = [
        Corpus("main", files("one", ("a", "b"), ("a", "b"), ("c", "d"), ("", ""))),
        Corpus("more", files("two", ("e", "f"))),
    ]
    held_out = [("a", "b"), ("a", "b"), ("c", "b"), ("e", "f"), ("", ""), ("d", "c")]
    training = [pair for corpus in corpora for pair in corpus.files.raw_pairs()]
    assert overlapping_lines(files("valid", *held_out), training) == {0, 1, 3}


def store_of(folder, train, valid) -> TokenStore:
    sides = (
        CorpusFiles(*write_corpus(folder, name, pairs))
        for name, pairs in (("train", train), ("valid", valid))
    )
    config = DataConfig(vocabulary_size=310)
    return prepare(*sides, folder / "store", config, processes=1).store


def test_a_store_shows_all_that_is_wrong_with_it(tmp_path):
    train = list(corpus_lines(90, seed=1))
    valid = [pair for pair in corpus_lines(14, seed=2) if pair not in train][:12]
    longer = (" ".join(pair[0] for pair in train[:5]), "more than any other")
    store = store_of(tmp_path, train, [*valid, train[0], longer])
    found = {finding.code: finding.count for finding in store_findings(store)}
    assert found == {
        "few-pairs": 90,
        "overlap": 1,
        "small-validation": 14,
        "long-validation-sources": 1,
    }


def test_nothing_is_said_of_a_large_store_and_an_old_one_is_read(tmp_path):
    lines = list(dict.fromkeys(corpus_lines(4500, seed=1)))
    store = store_of(tmp_path, lines[800:], lines[:800])
    del store.meta["overlap"]  # as in a store of an earlier version
    assert store_findings(store) == []


def test_sides_of_one_language_are_not_called_swapped(tmp_path):
    for seed in range(6):
        drawn = [source for source, _ in corpus_lines(600, seed=seed)]
        pairs = list(zip(drawn[::2], drawn[1::2], strict=True))
        (tmp_path / str(seed)).mkdir()
        store = store_of(tmp_path / str(seed), pairs[:200], pairs[200:])
        assert swapped_validation(store) is None


def test_swapped_sides_of_the_validation_set_are_noticed(tmp_path):
    words = {"the": "das", "dog": "tier", "red": "rote", "sees": "sieht", "old": "alte"}
    sources = [" ".join(each) for each in product(words, repeat=4)]
    pairs = [(line, " ".join(words[word] for word in line.split())) for line in sources]
    train, valid = pairs[:-60], pairs[-60:]
    for name, held_out in (("right", valid), ("swapped", [pair[::-1] for pair in valid])):
        (tmp_path / name).mkdir()
        found = store_findings(store_of(tmp_path / name, train, held_out))
        assert ("swapped-validation" in {finding.code for finding in found}) == (name == "swapped")
