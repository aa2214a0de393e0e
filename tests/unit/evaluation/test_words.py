"""Words by frequency, as compare-mt counts them; repeated, dropped and different words."""

import pytest
from noisy_texts import WORDS, noisy_texts

from seq2seq.evaluation.words import by_frequency, sentence_chrf, word_changes, word_faults


def test_words_by_frequency_are_those_of_compare_mt_on_the_same_files():
    references, hypotheses, _ = noisy_texts()
    frequencies = {word: 3**i for i, word in enumerate(WORDS[:9])}
    buckets = by_frequency(hypotheses, references, frequencies)
    # FreqWordBucketer(freq_counts=frequencies) of compare-mt 0.2.10
    expected = {
        "0": (45, 52, 51, 0.873786),
        "1": (26, 30, 30, 0.866667),
        "3": (23, 31, 25, 0.821429),
        "5–9": (27, 32, 30, 0.870968),
        "10–99": (65, 69, 77, 0.890411),
        "100–999": (45, 55, 55, 0.818182),
        "1,000+": (53, 62, 63, 0.848),
    }
    assert {
        each.label: (*each[2:], pytest.approx(each.f1, abs=1e-6)) for each in buckets
    } == expected


def test_a_repeated_word_is_one_that_the_reference_has_less_often():
    faults = word_faults(["the the dog dog dog", "a cat"], ["the the dog barks", "a cat sleeps"])
    assert faults.most_repeated == (("dog", 2),)  # "the" is twice in the reference too
    assert dict(faults.most_dropped) == {"barks": 1, "sleeps": 1}
    assert faults.repeated_share == pytest.approx(2 / 7)
    assert faults.dropped_share == pytest.approx(2 / 7)


def test_changes_spell_both_texts():
    reference, hypothesis = "the old dog sleeps here", "the dog sleeps over there now"
    changes = list(word_changes(reference, hypothesis))
    assert changes[:3] == [("same", "the"), ("missing", "old"), ("same", "dog sleeps")]
    for text, without in ((reference, "added"), (hypothesis, "missing")):
        assert " ".join(words for change, words in changes if change != without) == text


def test_nothing_divides_by_nothing():
    assert by_frequency([""], [""], {}) == []
    assert word_faults([""], [""]).repeated_share == 0.0
    assert list(word_changes("", "")) == []


def test_chrf_of_a_sentence_is_100_for_the_reference():
    assert sentence_chrf(["a dog", ""], ["a dog", "a cat"]) == [100.0, 0.0]
