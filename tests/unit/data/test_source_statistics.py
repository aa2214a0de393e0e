"""Text that is unlike a model's training text, told by counts of its pieces."""

import pytest
from tiny import corpus_lines, prepare, write_corpus

from data.config import DataConfig
from data.corpora import CorpusFiles
from data.source_statistics import SourceComparison, SourceStatistics, SourceSummary

TRAINING = [
    f"the {animal} sees the number {n} near a house" for animal in ("dog", "cat") for n in range(60)
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """English sources, with one character without a piece, and targets in a made-up language."""
    folder = tmp_path_factory.mktemp("store")
    targets = [target for _, target in corpus_lines(len(TRAINING), seed=1)]
    pairs = list(zip(TRAINING, targets, strict=True))
    pairs.append(("a 鬱", "a"))
    train = CorpusFiles(*write_corpus(folder, "train", pairs))
    valid = CorpusFiles(*write_corpus(folder, "valid", pairs[:9]))
    config = DataConfig(vocabulary_size=420, character_coverage=0.9995)
    return prepare(train, valid, folder / "store", config, processes=1).store


def summary(store, lines, training="own"):
    tokenizer = store.tokenizer("source")
    statistics = SourceStatistics.of(store) if training == "own" else training
    found = SourceSummary(SourceComparison(tokenizer, statistics))
    for line in lines:
        found.add(line, tokenizer.encode(line))
    return found


def test_statistics_are_those_of_a_plain_count(store):
    tokenizer, split = store.tokenizer("source"), store.split("train")
    sources = [split.source(number).tolist() for number in range(len(split))]
    found = SourceStatistics.of(store)
    assert found.pieces == sum(map(len, sources))
    assert found.longest == max(map(len, sources))
    assert found.used_ids == {number for source in sources for number in source}
    pieces = [piece for source in sources for piece in tokenizer.pieces(source)]
    spelled = [piece for piece in pieces if piece.startswith("<0x")]
    assert found.byte_pieces == len(spelled) == 3  # the bytes of one character
    characters = "".join(piece for piece in pieces if piece not in spelled).replace("▁", "")
    assert found.characters == len(characters)


def test_text_like_the_training_is_no_finding(store):
    assert summary(store, TRAINING[::7]).findings() == []


@pytest.mark.parametrize("text", ["кошка сидит", "猫が座っている", "🙂🙂🙂"])
def test_characters_never_seen_are_counted_and_shown(store, text):
    found = summary(store, [*TRAINING[:3], "", f"the {text} near"])
    expected = len(text.replace(" ", "").encode())
    assert found.counts.unknown == expected
    (finding,) = found.findings()
    assert text.split()[0] in finding and "in line 5" in finding
    assert finding.startswith(f"{expected} of {found.counts.pieces} source pieces")
    assert found.as_json()["unknown_share"] == expected / found.counts.pieces


def test_pieces_that_only_targets_have_are_unknown(store):
    targets = store.valid_text("target")
    assert summary(store, targets).findings()
    assert summary(store, targets, training=None).counts.unknown == 0  # bytes alone


def test_one_unknown_piece_is_said_of_a_sentence_and_not_of_a_text(store):
    lines = [*TRAINING[:60], "the dog sees é"]
    assert summary(store, lines).findings() == []
    (finding,) = summary(store, lines[-1:]).findings(single=True)
    assert "“é”" in finding and "line" not in finding


def test_words_cut_into_letters_as_capitals_are_are_a_finding(store):
    statistics = SourceStatistics.of(store).model_copy(update={"used": None})
    found = summary(store, ["", " ".join("thedogseesthenumbernearahouse")], statistics)
    (finding,) = found.findings()
    assert "times as many pieces" in finding and "in line 2" in finding
    short = summary(store, [" ".join("thedogsees")], statistics).findings()
    assert not any("times as many" in finding for finding in short)


def test_a_source_far_longer_than_the_longest_is_a_finding(store):
    longest = SourceStatistics.of(store).longest
    found = summary(store, [TRAINING[0], "a " * (2 * longest)])
    (finding,) = found.findings()
    assert f"({longest} pieces)" in finding and "in line 2" in finding
    assert found.as_json()["far_longer_than_training"] == 1


def test_without_statistics_only_many_bytes_are_a_finding(store):
    assert summary(store, ["a " * 5000], training=None).findings() == []
    assert summary(store, ["кошка"], training=None).findings()
    assert summary(store, TRAINING, training=None).as_json()["training"] is None


def test_with_sampled_pieces_any_may_have_occurred(store):
    assert SourceStatistics.of(store, sampled=True).used_ids is None
    statistics = SourceStatistics.of(store, sampled=True)
    assert summary(store, store.valid_text("target"), statistics).counts.unknown == 0


def test_a_warm_start_knows_the_pieces_of_both(store):
    own = SourceStatistics.of(store)
    bits = own.model_copy(update={"used": "gAAA", "longest": 999})
    padded = own.model_copy(update={"used": "AQAA", "longest": 1})
    both = bits.joined(padded)
    assert both.used_ids == {0, 7}
    assert (both.longest, both.pieces) == (999, 2 * own.pieces)
    assert bits.joined(own.model_copy(update={"used": None})).used is None


def test_what_is_not_base64_is_refused(store):
    values = SourceStatistics.of(store).model_dump()
    assert SourceStatistics.model_validate(values).used_ids
    with pytest.raises(ValueError, match="base64"):
        SourceStatistics.model_validate(values | {"used": "@"})
