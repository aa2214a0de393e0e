"""Counting words of scripts with and without spaces; which piece spells which word."""

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from tiny import corpus_lines

from data.config import DataConfig
from data.tokenization import train_tokenizer
from data.words import count_words

TOKENIZERS = {
    rule: train_tokenizer(
        [*(side for pair in corpus_lines(150, seed=3) for side in pair), "日本 日本語 ce"],
        DataConfig(vocabulary_size=360, normalization=rule),
    )
    for rule in ("nmt_nfkc", "identity")
}


def test_words_are_what_stands_between_spaces():
    assert count_words(["ein Hund läuft", "", " zwei   Hunde "]) == 5
    assert count_words(["나는 학교에 간다"]) == 3  # Korean has spaces


def test_characters_of_scripts_without_spaces_are_parts_of_words():
    assert count_words(["今日は天気がいい"]) == 4  # 8 characters of 2 a word
    assert count_words(["コーヒー"]) == 2  # the long sound mark is one of them
    assert count_words(["สวัสดีครับ"]) == 2  # 10 characters of 5 a word, vowels among them


def test_mixed_text_counts_tokens_by_the_share_of_their_characters():
    # by hand: half of the characters are Han; 2 / 2 words for them, and half of the 4 tokens
    assert count_words(["a 中 b 文"]) == 3


def test_no_text_has_no_words():
    assert count_words([]) == count_words(["", " "]) == 0


def spelt(text, rule="nmt_nfkc"):
    """Each word between spaces with the text that its pieces decode to."""
    tokenizer = TOKENIZERS[rule]
    ((ids, words),) = tokenizer.encode_with_words([text])
    assert ids.tolist() == tokenizer.encode(text)
    numbered = list(zip(words.tolist(), ids.tolist(), strict=True))
    return [
        (word, tokenizer.decode([id_ for number, id_ in numbered if number == i]).strip())
        for i, word in enumerate(text.split())
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("  ba   cedi ", ["ba", "cedi"]),
        ("ba\u00a0ce\u3000日本", ["ba", "ce", "日本"]),  # spaces of other widths
        ("½ x €", ["1⁄2", "x", "€"]),  # one character, several pieces
        ("ba \x01 ce", ["ba", "", "ce"]),  # a word that normalisation removes
        ("ba\u200bce di", ["ba ce", "di"]),  # no space, but normalisation makes it one
        ("¨ x", ["̈", "x"]),  # a character that normalisation begins with a space
        ("… ㍿", ["...", "株式会社"]),
    ],
)
def test_every_piece_spells_a_part_of_its_word(text, words):
    assert spelt(text) == list(zip(text.split(), words, strict=True))


@examples(100)
@given(st.text("badi日本 ,\u3000€é", max_size=30))
def test_without_normalisation_the_pieces_of_a_word_are_the_word(text):
    assert all(word == decoded for word, decoded in spelt(text, "identity"))


@examples(100)
@given(st.text(max_size=20))
def test_of_any_text_words_are_numbered_in_order(text):
    ((_, words),) = TOKENIZERS["nmt_nfkc"].encode_with_words([text])
    assert (words[1:] >= words[:-1]).all()
    assert len(words) == 0 or 0 <= words[0] <= words[-1] < max(1, len(text.split()))
