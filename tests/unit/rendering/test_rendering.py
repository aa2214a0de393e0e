"""Drawings of alignments: modes, labels, marks and colours."""

import io

import numpy as np
import pytest
from rich.console import Console
from rich.panel import Panel

from cli.terminal.drawing import draw, renderable
from seq2seq.evaluation.alignment import Alignment
from seq2seq.rendering.text import (
    CAUTION,
    Drawing,
    cell_width,
    draw_alignment,
    draw_matrix,
    plain_text,
    shorten,
)


def diagonal(rows: str, columns: str, width: int = 80, **options: bool) -> Drawing:
    names, heads = rows.split(), columns.split()
    return draw_matrix(names, heads, np.eye(len(names), len(heads)), width=width, **options)


def painted(drawing: Drawing, **options: object) -> str:
    stream = io.StringIO()
    settled = {"width": 40, "no_color": False, "force_terminal": False}  # whatever the environment
    draw(drawing, Console(file=stream, **(settled | options)))  # type: ignore[arg-type]
    return stream.getvalue()


def test_a_grid_has_target_words_as_rows_and_source_words_as_columns():
    weights = np.array([[0.95, 0.03, 0.02], [0.1, 0.6, 0.3], [0.0, 0.0, 1.0]])
    words = Alignment(("Katze", "da", "</s>"), ("cat", "there", "</s>"), weights)
    assert plain_text(draw_alignment(words, width=80)).splitlines() == [
        "      K",
        "      a",
        "      t",
        "      z d",
        "      e a ⏎",
        "  cat ██",
        "there ░░██▒▒",
        "    ⏎     ██",
    ]


def test_values_show_hundredths_and_mark_the_largest():
    drawing = draw_matrix(["a"], ["x", "y", "z"], [[0.004, 0.93, 0.066]], width=80, values=True)
    assert plain_text(drawing).splitlines()[-1] == "a    •93  7"
    one = draw_matrix(["a"], ["x", "y"], [[1.0, 0.0]], width=80, values=True)
    assert plain_text(one).splitlines()[-1] == "a 100"


def test_a_narrower_width_gives_narrower_cells_and_then_a_list():
    heads = " ".join("abcdefghij")
    assert diagonal(heads, heads, width=22).mode == "grid"  # 1 + 1 + 2 * 10
    assert diagonal(heads, heads, width=21).mode == "compact"
    assert diagonal(heads, heads, width=12).mode == "compact"  # 1 + 1 + 10
    assert diagonal(heads, heads, width=11).mode == "list"


def test_thirty_source_words_fit_as_a_grid_on_80_columns():
    assert diagonal("international " * 5, "word " * 30).mode == "grid"


def test_values_that_do_not_fit_a_map_are_shown_in_a_list():
    heads = " ".join("abcdefghij")
    assert diagonal(heads, heads, width=21, values=True).mode == "list"


def test_a_list_names_the_strongest_words():
    weights = np.full((1, 40), 0.001)
    weights[0, :2] = 0.93, 0.04
    heads = ["Katze", "die", *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL"]
    lines = plain_text(draw_matrix(["cat"], heads, weights, width=40)).splitlines()
    assert lines == ["cat ← Katze 0.93 ▇▇▇▇▇▇▇ · die 0.04"]


def test_a_list_puts_right_to_left_words_last_on_their_line():
    lines = plain_text(diagonal("كتاب", "book " * 40, width=30)).splitlines()
    assert lines == ["كتاب", "  1.00 ▇▇▇▇▇▇▇▇ book"]


def test_compact_columns_number_what_is_wider_than_a_cell():
    lines = plain_text(diagonal("a b c", "年 轻 人", width=6)).splitlines()
    assert lines[:4] == ["  123", "a █", "b  █", "c   █"]
    assert lines[4:] == ["1 年", "2 轻", "3 人"]


@pytest.mark.parametrize("word", ["كتاب", "שלום", "हैं", "ไทย", "ខ្មែរ", "👨‍👩‍👧‍👦", "🇩🇪", "❤️"])
def test_words_that_cannot_be_written_downwards_are_numbered_and_put_last(word):
    lines = plain_text(diagonal(f"a {word}", f"{word} b")).splitlines()
    assert lines[0] == "1 2"
    assert lines[1:3] == ["██   a", f"  ██ {word}"]
    assert f"1 {word}" in lines[3]


@pytest.mark.parametrize("word", ["weiß", "Ελλάδα", "слово", "年轻", "カタカナ", "한국어", "naïve"])
def test_words_of_plain_scripts_are_written_downwards(word):
    lines = plain_text(diagonal(f"a {word}", f"{word} b")).splitlines()
    assert len(lines) == len(word) + 2
    assert lines[-1].startswith(f"{word} ")


def test_decomposed_text_is_drawn_like_composed_text():
    assert diagonal("a b", "e\u0301te\u0301 한") == diagonal("a b", "été 한")


def test_shortened_labels_end_in_an_ellipsis():
    compound = "Donaudampfschifffahrtsgesellschaft"
    lines = plain_text(diagonal(f"{compound} b", f"{compound} b", width=20)).splitlines()
    assert lines[13].strip() == "… b"
    assert lines[14].startswith("Donaudampfschi… ██")
    assert shorten("年轻人", 4) == "年…"
    assert shorten("年轻人", 6) == "年轻人"
    assert [shorten("abc", width) for width in (0, 1, 2)] == ["", "…", "a…"]


def test_control_characters_in_labels_are_made_visible():
    drawing = draw_matrix(["a\x1b]0;x\x07", "b\u202ec"], ["\n", ""], np.eye(2), width=80)
    text = plain_text(drawing)
    assert "a␛]0;x␇ ██" in text
    assert "b\\u202ec   ██" in text
    assert text.splitlines()[0].strip() == "↵ ␣"


def test_only_one_cell_of_a_row_is_marked_as_its_largest():
    lines = plain_text(draw_matrix(["a"], ["x", "y"], [[0.5, 0.5]], width=80)).splitlines()
    assert lines[-1] == "a ██▓▓"  # the first of equals, as in Pharaoh output


def test_nan_and_infinity_are_drawn_as_question_marks():
    lines = plain_text(
        draw_matrix(["a", "b"], ["x", "y"], [[np.nan, 0.5], [0.0, 0.0]], width=80)
    ).splitlines()
    assert lines[-2:] == ["a ? ██", "b"]


def test_the_caution_is_one_line_below_the_map():
    words = Alignment(("a",), ("b",), np.ones((1, 1)))
    assert plain_text(draw_alignment(words, width=200, caution=True)).splitlines()[-1] == CAUTION
    assert CAUTION.startswith("attention is not word alignment")


def test_a_pipe_gets_text_without_colours():
    drawing = diagonal("a b", "c d")
    assert painted(drawing) == plain_text(drawing) == "  c d\na ██\nb   ██\n"


@pytest.mark.parametrize("options", [{"color_system": "standard"}, {"no_color": True}])
def test_terminals_with_few_or_no_colours_get_shades(options):
    text = painted(diagonal("a b", "c d"), force_terminal=True, **options)
    assert "██" in text
    assert "•" not in text
    assert "48;" not in text  # no background


@pytest.mark.parametrize(("system", "code"), [("truecolor", "48;2;"), ("256", "48;5;")])
def test_colour_terminals_get_a_coloured_background_and_a_mark(system, code):
    text = painted(diagonal("a b", "c d"), force_terminal=True, color_system=system)
    assert text.count("• ") == 2
    assert code in text
    assert "█" not in text


def test_a_light_terminal_gets_a_light_map(monkeypatch):
    drawing, options = diagonal("a", "c"), {"force_terminal": True, "color_system": "truecolor"}
    monkeypatch.setenv("COLORFGBG", "15;0")
    dark = painted(drawing, **options)
    monkeypatch.setenv("COLORFGBG", "0;15")
    assert painted(drawing, **options) != dark


def test_a_drawing_wider_than_the_console_is_not_wrapped():
    drawing = diagonal("a", "c " * 30)
    assert painted(drawing) == plain_text(drawing)


def test_markup_in_labels_stays_text():
    assert "[/b]" in painted(diagonal("[/b]", ":smile:"))


def test_a_drawing_can_stand_inside_other_renderables():
    stream = io.StringIO()
    Console(file=stream, width=20, force_terminal=False).print(
        Panel.fit(renderable(diagonal("a b", "c d")))
    )
    assert stream.getvalue().splitlines()[1:-1] == ["│   c d  │", "│ a ██   │", "│ b   ██ │"]


@pytest.mark.parametrize(
    ("text", "cells"), [("abc", 3), ("年", 2), ("e\u0301", 1), ("👨‍👩‍👧‍👦", 2), ("한", 2), ("", 0)]
)
def test_widths_are_those_of_terminal_cells(text, cells):
    assert cell_width(text) == cells
