"""Settings chosen by the corpus: worked examples, and what holds for every corpus."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import corpus_lines, write_corpus

from cli.runs.preparation import preparation_request
from data.config import DataConfig
from data.corpus import SentencePair
from data.preparation import pipeline
from data.preparation.choice import (
    CHOSEN_SETTINGS,
    character_coverage,
    choose_settings,
    covered_characters,
    frequent_characters,
    vocabulary_size,
)
from data.preparation.statistics import CorpusStatistics, measure
from data.tokenization import Tokenizer, train_tokenizer
from seq2seq.errors import ConfigError

ALPHABET = tuple(range(9000, 3000, -100))  # 60 characters, all frequent
CORPUS = CorpusStatistics(322_383, 345_020, ALPHABET, 0.0)

counts = st.lists(st.integers(1, 10_000), min_size=1, max_size=400).map(
    lambda found: tuple(sorted(found, reverse=True))
)


def chosen(statistics: CorpusStatistics, names=CHOSEN_SETTINGS, **given_settings) -> DataConfig:
    return choose_settings(statistics, DataConfig(**given_settings), names)


def test_statistics_of_a_corpus_counted_by_hand():
    pairs = [SentencePair("ab  b", "c\u00a0d"), SentencePair("b", "ｂ"), SentencePair("a", "a")]
    assert measure(pairs) == CorpusStatistics(
        source_words=4,
        target_words=4,
        character_counts=(3, 3, 1, 1, 1),  # a and b, then c, d and the wide ｂ
        altered_targets=1 / 3,  # a no-break space is no change of words
    )
    scaled = measure(pairs, share=0.5)
    assert (scaled.source_words, scaled.character_counts) == (8, (3, 3, 1, 1, 1))


@pytest.mark.parametrize(
    ("words", "pieces"),
    [(667_403, 8200), (280_000, 5300), (110_000, 3300), (100, 500), (10**9, 32_000)],
)
def test_pieces_are_ten_times_the_root_of_the_words(words, pieces):
    assert vocabulary_size(words, characters=90) == pieces


def test_separate_models_have_the_pieces_of_the_side_with_more_words():
    assert chosen(CORPUS).vocabulary_size == 8200
    assert chosen(CORPUS, joint=False).vocabulary_size == 5900  # 10 sqrt(345,020) = 5,874


def test_there_are_as_many_other_pieces_as_characters():
    assert vocabulary_size(18_000, characters=700) == 1700  # 260 + 2 * 700, not 1,342


def test_rare_characters_are_written_as_bytes():
    assert frequent_characters((990, 4, 3, 2, 1)) == 3
    assert frequent_characters((4_000_000, 4, 3)) == 1  # the others are under one in a million
    assert frequent_characters((90, 3, 2, 2, 2, 1)) == 5  # SentencePiece wants 98 of 100
    assert character_coverage((990, 5, 3, 2), frequent=3, size=1000) == 0.998
    assert character_coverage((990, 5, 3, 2), frequent=3, size=264) == 0.995  # 4 // 2 characters
    assert chosen(CORPUS).character_coverage == 1.0


def test_a_translation_that_nfkc_would_change_is_not_normalized():
    assert chosen(CORPUS).normalization == "nmt_nfkc"
    assert chosen(replace(CORPUS, altered_targets=0.009)).normalization == "nmt_nfkc"
    assert chosen(replace(CORPUS, altered_targets=0.01)).normalization == "identity"


def test_settings_that_were_given_stay():
    given_settings = {"vocabulary_size": 777, "normalization": "nfkc", "max_words": 9}
    found = chosen(CORPUS, ["character_coverage"], **given_settings)
    assert found == DataConfig(**given_settings, character_coverage=1.0)
    assert chosen(CORPUS, []) == DataConfig()


@given(counts, st.integers(0, 10**8), st.booleans(), st.floats(0.98, 1.0))
def test_a_choice_is_always_valid_and_fits_its_characters(found, words, is_given, share):
    statistics = CorpusStatistics(words, words, found, 0.0)
    if is_given:
        config = chosen(statistics, ["vocabulary_size"], character_coverage=share)
    else:
        config = chosen(statistics)
    characters = covered_characters(found, config.character_coverage)
    assert 260 + characters < config.vocabulary_size
    assert 500 <= config.vocabulary_size <= 32_000


@given(counts, st.floats(0.9001, 1.0))
def test_covered_characters_are_the_fewest_that_reach_the_coverage(found, share):
    number = covered_characters(found, share)
    assert sum(found[: number - 1]) < share * sum(found)
    assert sum(found[:number]) >= share * sum(found) or number == len(found)


def test_sentencepiece_gives_pieces_to_just_the_frequent_characters():
    pairs = [SentencePair("aaa bb c " * 9, "ddd") for _ in range(3)]
    pairs += [SentencePair("a ж", "d 語 語")]
    config = chosen(measure(pairs), normalization="nmt_nfkc")
    model = train_tokenizer([side for pair in pairs for side in pair], config)
    pieces = set("".join(model.vocabulary().ids))
    assert {*"abcd"} <= pieces and not pieces & {"ж", "語"}


@pytest.fixture
def corpus(tmp_path):
    train = write_corpus(tmp_path, "train", list(corpus_lines(90, seed=1)))
    valid = write_corpus(tmp_path, "valid", list(corpus_lines(12, seed=2)))
    return train, valid


def preprocessed(corpus, store, **settings):
    taken = settings.pop("pieces_of", None)
    with preparation_request(
        *corpus,
        store,
        settings=settings,
        languages=(None, None),
        pieces_of=taken,
        processes=1,
    ) as request:
        return pipeline.prepare(request)


def test_a_store_records_what_was_chosen_and_by_which_counts(corpus, tmp_path):
    store = preprocessed(corpus, tmp_path / "store", max_words=30).store
    choice = store.meta["choice"]
    assert choice["settings"] == sorted(CHOSEN_SETTINGS)
    assert store.config.vocabulary_size == 500 and store.config.max_words == 30
    text = [path.read_text().split() for path in corpus[0]]
    assert [choice["source_words"], choice["target_words"]] == [len(words) for words in text]
    again = preprocessed(corpus, tmp_path / "again", max_words=30).store
    ours, theirs = ((s.path / "meta.json").read_bytes() for s in (store, again))
    assert json.loads(ours) == json.loads(theirs)


def test_what_is_chosen_may_as_well_be_given(corpus, tmp_path):
    first = preprocessed(corpus, tmp_path / "store").store
    names = ("vocabulary_size", "character_coverage", "normalization")
    settings = {name: getattr(first.config, name) for name in names}
    again = preprocessed(corpus, tmp_path / "store", **settings)
    assert again.stages_reused == ("pieces", "ids")
    given_store = preprocessed(corpus, tmp_path / "given", **settings).store
    assert "choice" not in given_store.meta
    assert given_store.pieces_sha256 == first.pieces_sha256


def test_pieces_of_another_store_are_not_chosen_again(corpus, tmp_path):
    learnt = preprocessed(corpus, tmp_path / "store", vocabulary_size=333).store
    taken = preprocessed(corpus, tmp_path / "taken", pieces_of=learnt.path).store
    assert taken.config == learnt.config and "choice" not in taken.meta
    assert len(Tokenizer.load(taken.path / "pieces.model")) == len(learnt.tokenizer("source"))


def test_another_corpus_may_need_another_store(corpus, tmp_path):
    preprocessed(corpus, tmp_path / "store")
    with pytest.raises(ConfigError, match="with other settings"):
        preprocessed(corpus, tmp_path / "store", vocabulary_size=400)
