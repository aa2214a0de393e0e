"""Numbers as people read them, worked out by hand."""

import pytest

from seq2seq.system.figures import bars, counted, gibibytes, megabytes, percent, plural, sparkline


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 MB"),
        (50_000, "0.05 MB"),
        (370_000, "0.37 MB"),
        (1_000_000, "1.0 MB"),
        (8_807_345, "8.8 MB"),
        (99_900_000, "99.9 MB"),
        (123_000_000, "123 MB"),
        (1_234_000_000, "1,234 MB"),
    ],
)
def test_megabytes_have_two_or_three_figures(size, text):
    assert megabytes(size) == text


def test_memory_is_counted_in_powers_of_two():
    assert gibibytes(512 * 2**20) == "512 MiB"
    assert gibibytes(2**30) == "1.0 GiB"
    assert gibibytes(3 * 2**29) == "1.5 GiB"


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0.0 %"),
        (0.0004, "under 0.1 %"),
        (0.001, "0.1 %"),
        (0.1234, "12.3 %"),
        (0.9995, "over 99.9 %"),
        (1.0, "100.0 %"),
    ],
)
def test_a_share_is_0_or_100_percent_only_where_it_is_exactly(share, text):
    assert percent(share) == text


def test_nouns_and_verbs_follow_their_count():
    assert [counted(n, "line") for n in (0, 1, 2, 1000)] == [
        "0 lines",
        "1 line",
        "2 lines",
        "1,000 lines",
    ]
    assert [plural(n, "is", "are") for n in (0, 1, 2)] == ["are", "is", "are"]


def test_a_sparkline_goes_from_the_lowest_to_the_highest_block():
    assert sparkline([1.0, 2.0, 8.0], width=9) == "▁▂█"
    assert sparkline([3.0, 3.0], width=9) == "▁▁"
    assert sparkline([], width=9) == ""


def test_a_long_sparkline_is_thinned_and_ends_with_the_newest():
    assert sparkline([0.0] * 99 + [1.0], width=5) == "▁▁▁▁█"


def test_bars_are_eighths_of_the_greatest_count_and_none_is_lost():
    assert bars([0, 1, 400, 800]) == " ▁▄█"
    assert bars([0, 0]) == "  "
