"""Counting words of scripts with and without spaces."""

from data.words import count_words


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
