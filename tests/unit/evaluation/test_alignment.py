"""Alignments as values: merging, links, statistics and the error rate, worked by hand."""

import json
import math

import numpy as np
import pytest

from seq2seq.errors import CorpusError
from seq2seq.evaluation.alignment import (
    Alignment,
    WordPieces,
    coverage,
    merge_pieces,
    merge_words,
    parse_pharaoh,
    pharaoh,
    row_entropy,
    shift_rows,
    to_json,
    word_links,
)


def attention(source: str, target: str, weights: list[list[float]]) -> Alignment:
    return Alignment(tuple(source.split()), tuple(target.split()), np.array(weights))


def diagonal(source: str) -> Alignment:
    """Every piece of a sentence attends to itself: for what merging does to labels."""
    pieces = tuple(source.split(" "))
    return Alignment(pieces, pieces, np.eye(len(pieces)))


def merged_labels(pieces: str) -> list[str]:
    return list(merge_pieces(diagonal(pieces)).source)


def test_source_pieces_are_summed_and_target_pieces_averaged():
    merged = merge_pieces(
        attention(
            "▁Kat ze ▁schläft </s>",
            "▁c at </s>",
            [[0.5, 0.3, 0.1, 0.1], [0.2, 0.2, 0.5, 0.1], [0.0, 0.1, 0.1, 0.8]],
        )
    )
    assert merged.source == ("Katze", "schläft", "⏎")
    assert merged.target == ("cat", "⏎")
    # by hand: Katze (0.5 + 0.3 + 0.2 + 0.2) / 2, schläft (0.1 + 0.5) / 2, end (0.1 + 0.1) / 2
    np.testing.assert_allclose(merged.weights, [[0.6, 0.3, 0.1], [0.1, 0.1, 0.8]])


def test_merging_merged_words_changes_nothing():
    merged = merge_pieces(diagonal("▁ein ▁Hund </s>"))
    again = merge_pieces(Alignment(("▁ein", "▁Hund", "⏎"), ("▁ein", "▁Hund", "⏎"), merged.weights))
    assert again.source == merged.source
    np.testing.assert_array_equal(again.weights, merged.weights)


def test_the_end_symbol_is_recognised_only_at_the_end():
    assert merged_labels("▁a </s>") == ["a", "⏎"]
    assert merged_labels("▁a ▁b") == ["a", "b"]


def test_byte_pieces_become_the_characters_they_spell():
    # U+20AC is e2 82 ac; 5 and the sign are one word
    assert merged_labels("▁5 <0xE2> <0x82> <0xAC> ▁now </s>") == ["5€", "now", "⏎"]
    # two ideographs from one run of bytes stay apart, as Chinese pieces do
    assert merged_labels("▁ <0xE4> <0xBD> <0xA0> <0xE5> <0xA5> <0xBD> </s>") == ["你", "好", "⏎"]


def test_bytes_that_are_no_utf8_become_replacement_characters():
    assert merged_labels("▁a <0xFF> <0xE2> </s>") == ["a\ufffd\ufffd", "⏎"]


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ("▁ 我们 在 学习 。 </s>", ["我们", "在", "学习", "。", "⏎"]),
        ("▁東京 タワー は ▁高い </s>", ["東京", "タワー", "は", "高い", "⏎"]),
        ("▁ผู้ ชาย ส อ ง </s>", ["ผู้", "ชาย", "ส", "อ", "ง", "⏎"]),
        ("▁i Phone 用户 2 024 年", ["iPhone", "用户", "2024", "年"]),
        ("▁나 는 ▁학생 입니다 </s>", ["나는", "학생입니다", "⏎"]),
        ("▁स् कूल ▁है </s>", ["स्कूल", "है", "⏎"]),
        ("▁الم درسة </s>", ["المدرسة", "⏎"]),
    ],
)
def test_scripts_without_spaces_keep_their_pieces(pieces, words):
    assert merged_labels(pieces) == words


def test_a_thai_piece_that_starts_with_a_vowel_above_joins_its_consonant():
    assert merged_labels("▁ก ี ฬา") == ["กี", "ฬา"]


def test_a_lone_word_start_is_still_a_word():
    assert merged_labels("▁ ▁a") == ["▁", "a"]


def test_an_alignment_refuses_weights_of_another_shape():
    with pytest.raises(ValueError, match="do not fit"):
        Alignment(("a", "b"), ("c",), np.ones((2, 1)))


def test_pharaoh_links_each_target_word_to_its_largest_weight():
    words = attention(
        "das Haus ist ⏎",
        "the house is ⏎",
        [[0.9, 0.1, 0, 0], [0.2, 0.7, 0, 0.1], [0.1, 0.1, 0.2, 0.6], [0.6, 0, 0, 0.4]],
    )
    # "is" attends to the end of the sentence most, and the end is no word: neither is linked
    assert pharaoh(words) == "0-0 1-1"
    assert pharaoh(words, threshold=0.2) == "0-0 0-1 1-1 2-2"
    assert parse_pharaoh(pharaoh(words, threshold=0.2)) == word_links(words, threshold=0.2)


def test_the_end_symbol_before_merging_gives_no_link_either():
    assert pharaoh(diagonal("▁a ▁b </s>")) == "0-0 1-1"


def test_pharaoh_of_empty_sentences_is_empty():
    assert pharaoh(Alignment((), ("a",), np.zeros((1, 0)))) == ""
    assert pharaoh(Alignment(("a",), (), np.zeros((0, 1)))) == ""
    assert merge_pieces(Alignment((), ("▁a",), np.zeros((1, 0)))).weights.shape == (1, 0)


def test_parse_pharaoh_takes_any_spaces_and_no_links():
    assert parse_pharaoh(" 0-0\t12-3 \n") == {(0, 0), (12, 3)}
    assert parse_pharaoh("") == set()


@pytest.mark.parametrize("entry", ["1", "1-", "-1-2", "1-2-3", "a-b", "1?2", "٣-٤", "9" * 5000])
def test_parse_pharaoh_refuses_anything_else(entry):
    with pytest.raises(CorpusError, match="is not an alignment link"):
        parse_pharaoh(f"0-0 {entry}")


def test_words_between_spaces_are_merged_whatever_the_script():
    pieces = attention(
        "▁日 本 ▁語 </s>",
        "▁c at </s>",
        [[0.5, 0.3, 0.1, 0.1], [0.2, 0.2, 0.5, 0.1], [0.0, 0.1, 0.1, 0.8]],
    )
    words = WordPieces(("日本", "語"), (0, 0, 1)), WordPieces(("cat",), (0, 0))
    merged = merge_words(pieces, *words)
    assert (merged.source, merged.target) == (("日本", "語", "⏎"), ("cat", "⏎"))
    # by hand: 日本 (0.5 + 0.3 + 0.2 + 0.2) / 2, 語 (0.1 + 0.5) / 2, end (0.1 + 0.1) / 2
    np.testing.assert_allclose(merged.weights, [[0.6, 0.3, 0.1], [0.1, 0.1, 0.8]])


def test_a_word_without_pieces_gets_no_weight_and_no_link():
    pieces = attention("▁a </s>", "▁c", [[1.0, 0.0]])
    cut = WordPieces(("a", "b"), (0, 1)), WordPieces(("c", "\x01"), (0,))
    merged = merge_words(pieces, *cut)
    np.testing.assert_array_equal(merged.weights, [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert word_links(merged) == {(0, 0)}


@pytest.mark.parametrize(
    ("shift", "rows"), [(0, [0, 1, 2]), (1, [1, 2, 2]), (-1, [0, 0, 1]), (5, [2, 2, 2])]
)
def test_a_shift_takes_the_weights_of_a_later_step(shift, rows):
    weights = np.eye(3)
    shifted = shift_rows(Alignment(("a", "b", "c"), ("d", "e", "f"), weights), shift)
    np.testing.assert_array_equal(shifted.weights, weights[rows])


def test_entropy_is_in_nats_and_coverage_sums_columns():
    words = attention("a b", "c d", [[0.5, 0.5], [1.0, 0.0]])
    np.testing.assert_allclose(row_entropy(words), [math.log(2), 0.0])
    np.testing.assert_allclose(coverage(words), [1.5, 0.5])


def test_json_holds_labels_and_rounded_weights():
    value = to_json(attention("a b", "c", [[1 / 3, 2 / 3]]))
    assert value == {"source": ["a", "b"], "target": ["c"], "weights": [[0.3333, 0.6667]]}
    assert json.loads(json.dumps(value)) == value
