"""Each cleaning rule, the order in which they apply, and the report."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.cleaning import (
    EXAMPLE_LINES,
    CleaningReport,
    blank,
    broken_encoding,
    cleaning_rules,
    control_characters,
    has_control_characters,
    reason_to_drop,
    too_many_characters,
    too_many_words,
    unequal_lengths,
)
from data.config import DataConfig
from data.corpus import SentencePair

RULES = cleaning_rules(DataConfig())


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        ("a", "b", None),
        ("", "b", "source blank"),
        ("a", "", "target blank"),
        (" \t\u3000", "\xa0", "both sides blank"),
    ],
)
def test_each_blank_side_has_a_reason_of_its_own(source, target, reason):
    assert blank(SentencePair(source, target)) == reason


def test_a_replacement_character_on_either_side_is_a_loss():
    assert broken_encoding(SentencePair("caf\ufffd", "coffee")) == "lost characters (U+FFFD)"
    assert broken_encoding(SentencePair("Kaffee", "co\ufffdee")) == "lost characters (U+FFFD)"
    assert broken_encoding(SentencePair("café", "coffee")) is None


@pytest.mark.parametrize("character", ["\0", "\x1b", "\r", "\v", "\x1c", "\x7f", "\x85", "\x9b"])
def test_control_characters_are_found_on_either_side(character):
    for pair in (SentencePair(f"a{character}b", "c"), SentencePair("c", f"a{character}b")):
        assert control_characters(pair) == "control characters"


@pytest.mark.parametrize(
    "text", ["tab\there", "no\xa0break", "a\u200bb", "\u2028", "👩‍👩‍👧", "שלום\u200f"]
)
def test_tabs_spaces_and_joiners_are_no_control_characters(text):
    assert not has_control_characters(text)


def test_words_are_counted_between_spaces_on_the_longer_side():
    rule = partial(too_many_words, limit=3)
    assert rule(SentencePair("a b c", "a  b   c ")) is None
    assert rule(SentencePair("a b c d", "a")) == "over 3 words"
    assert rule(SentencePair("a", "a b c d")) == "over 3 words"


def test_characters_are_counted_on_the_longer_side():
    rule = partial(too_many_characters, limit=3)
    assert rule(SentencePair("äöü", "中文字")) is None
    assert rule(SentencePair("abcd", "a")) == "over 3 characters"
    assert rule(SentencePair("a", "abcd")) == "over 3 characters"


def test_lengths_may_differ_by_the_limit_after_ten_characters_of_grace():
    rule = partial(unequal_lengths, limit=4.0)
    # (longer + 10) / (shorter + 10): (70 + 10) / (10 + 10) is exactly 4
    assert rule(SentencePair("x" * 10, "y" * 70)) is None
    assert rule(SentencePair("x" * 10, "y" * 71)) == "lengths differ by over 4 times"
    assert rule(SentencePair("y" * 71, "x" * 10)) == "lengths differ by over 4 times"


def test_very_short_pairs_are_left_alone():
    assert reason_to_drop(SentencePair("ja", "yes of course, dear"), RULES) is None


def test_the_first_rule_that_applies_gives_the_reason():
    assert reason_to_drop(SentencePair("", "\ufffd\0"), RULES) == "source blank"
    assert reason_to_drop(SentencePair("\0\ufffd", "b"), RULES) == "lost characters (U+FFFD)"


def test_limits_come_from_the_config():
    rules = cleaning_rules(DataConfig(max_words=2, max_characters=9, max_ratio=1.5))
    assert reason_to_drop(SentencePair("a b c", "a"), rules) == "over 2 words"
    assert reason_to_drop(SentencePair("abcdefghij", "abcdefghij"), rules) == "over 9 characters"
    long, short = "abcdefghi", "a"
    assert reason_to_drop(SentencePair(long, short), rules) == "lengths differ by over 1.5 times"


@given(st.text(), st.text())
def test_rules_treat_both_sides_the_same(left, right):
    one = reason_to_drop(SentencePair(left, right), RULES)
    other = reason_to_drop(SentencePair(right, left), RULES)
    swapped = {"source blank": "target blank", "target blank": "source blank"}
    assert other == swapped.get(one or "", one)


reasons = st.lists(st.sampled_from([None, "a", "b"]), max_size=30)


def report_on(reasons: list[str | None], *, first: int = 1) -> CleaningReport:
    report = CleaningReport()
    for line, reason in enumerate(reasons, start=first):
        report.read += 1
        if reason:
            report.drop(reason, line=line)
    return report


@given(reasons)
def test_every_pair_is_kept_or_dropped(reasons):
    report = report_on(reasons)
    assert report.read == len(reasons) == report.kept + report.dropped
    assert report.kept == reasons.count(None)
    for reason, lines in report.examples.items():
        assert lines == [n for n, given in enumerate(reasons, 1) if given == reason][:EXAMPLE_LINES]


@given(reasons, reasons)
def test_reports_of_two_parts_add_up_to_the_report_of_the_whole(first, second):
    total = report_on(first)
    total.add(report_on(second, first=len(first) + 1))
    assert total == report_on(first + second)
