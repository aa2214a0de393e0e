"""Drawings of alignments: modes, labels, marks and colours."""

import io
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from rich.panel import Panel as Frame

from cli.terminal.drawing import draw, renderable
from seq2seq.evaluation.alignment import Alignment
from seq2seq.rendering.drawing import Drawing, beside, plain_text
from seq2seq.rendering.labels import cell_width, shorten
from seq2seq.rendering.panels import Panel, arrange
from seq2seq.rendering.text import CAUTION, draw_alignment, draw_matrix


def diagonal(rows: str, columns: str, width: int = 80, **options: Any) -> Drawing:
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
    drawing = draw_matrix(["a"], ["x", "y", "z"], [[0.004, 0.93, 0.066]], width=80, style="values")
    assert plain_text(drawing).splitlines()[-1] == "a    •93  7"
    one = draw_matrix(["a"], ["x", "y"], [[1.0, 0.0]], width=80, style="values")
    assert plain_text(one).splitlines()[-1] == "a 100"


def test_a_narrower_width_gives_narrower_cells_and_then_a_list():
    heads = " ".join("abcdefghij")
    assert diagonal(heads, heads, width=22).mode == "grid"  # 1 + 1 + 2 * 10
    assert diagonal(heads, heads, width=21).mode == "compact"
    assert diagonal(heads, heads, width=12).mode == "compact"  # 1 + 1 + 10
    assert diagonal(heads, heads, width=11).mode == "list"


def test_thirty_source_words_fit_as_a_grid_on_80_columns():
    assert diagonal("international " * 5, "word " * 30).mode == "grid"


def test_a_map_that_was_asked_for_is_drawn_in_parts_where_it_is_too_wide():
    weights = [[0.0, 0.2, 0.1, 0.7], [0.6, 0.0, 0.3, 0.1]]
    drawing = draw_matrix(["x", "y"], list("abcd"), weights, width=10, style="values")
    assert (drawing.mode, plain_text(drawing).splitlines()) == (
        "values",
        [
            "1–2 of 4",
            "   a  b",
            "x     20",
            "y •60",
            "3–4 of 4",
            "   c  d",
            "x  10•70",
            "y  30 10",
        ],
    )
    half = draw_matrix(["x", "y"], ["年"] * 12, np.eye(2, 12), width=16, style="half")
    lines = plain_text(half).splitlines()
    assert (lines[0], lines[1]) == ("1–6 of 12", "     123456")
    assert lines[-1] == "11 年   12 年"


def test_a_style_of_which_no_column_fits_becomes_a_list_and_says_so():
    drawing = draw_matrix(["abc"], ["d"], [[1.0]], width=6, style="values")
    assert drawing.mode == "list"
    assert " ".join(plain_text(drawing).split()).endswith(
        "a list: no column of values fits in 6 cells"
    )


def test_a_list_names_the_strongest_words_and_says_why_it_is_one():
    weights = np.full((1, 40), 0.001)
    weights[0, :2] = 0.93, 0.04
    heads = ["Katze", "die", *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL"]
    lines = plain_text(draw_matrix(["cat"], heads, weights, width=40)).splitlines()
    assert lines == [
        "cat ← Katze 0.93 ▇▇▇▇▇▇▇ · die 0.04",
        "a list: 40 columns do not fit in 40",
        "cells",
    ]
    chosen = draw_matrix(["cat"], heads, weights, width=40, style="list")
    assert plain_text(chosen).splitlines() == lines[:1]


def test_a_list_puts_right_to_left_words_last_on_their_line():
    lines = plain_text(diagonal("كتاب", "book " * 40, width=30, style="list")).splitlines()
    assert lines == ["كتاب", "  1.00 ▇▇▇▇▇▇▇▇ book"]


def test_half_has_two_rows_a_line_and_numbers_the_largest_weights():
    weights = [[0.0, 0.2, 0.8], [0.9, 0.1, 0.0], [0.4, 0.3, 0.3]]
    drawing = draw_matrix(["a", "bb", "c"], ["x", "y", "z"], weights, width=40, style="half")
    assert plain_text(drawing).splitlines() == [
        "     123",
        " a 3 ▄ ▀ 1 bb",
        " c 1 ▀▀▀",
        "1 x   2 y   3 z",
    ]
    upper = [(span.upper, span.shade) for span in drawing.lines[1] if span.shade is not None]
    assert upper == [(0.0, 1.0), (0.44, 0.27), (1.0, 0.0)]  # (0.2 / 0.8) ** 0.6 = 0.435


def test_half_numbers_rows_that_run_right_to_left():
    lines = plain_text(diagonal("كتاب b", "c d", style="half")).splitlines()
    assert lines == ["    12", "1 1 ▀▄ 2 2", "1 كتاب", "2 b", "1 c   2 d"]


def test_a_map_that_is_higher_than_the_screen_is_halved():
    words = " ".join(f"w{number}" for number in range(20))
    assert diagonal(words, words, height=22).mode == "half"
    assert diagonal(words, words, height=23).mode == "grid"  # headers of 3 lines, 20 rows
    assert diagonal(words, words, width=30, height=9).mode == "compact"  # too narrow for half


def test_an_alignment_is_summarised_below():
    weights = np.array([[0.5, 0.5, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    words = Alignment(("a", "b", "c", "</s>"), ("x", "y", "</s>"), weights)
    drawing = draw_alignment(words, width=80, summarised=True, probability=0.5)
    assert plain_text(drawing).splitlines()[4:] == [
        "entropy  ▅▁▁  mean 0.23 nats, highest 0.69: x",  # log 2, half of log 4
        "coverage █▃▁▆  highest 1.50: a",
        "coverage under 0.1:   c",
        "confidence 0.50: the mean probability of a target piece",
    ]
    assert all(span.quiet for line in drawing.lines[4:] for span in line)
    lines = plain_text(draw_alignment(words, width=16, summarised=True)).splitlines()
    assert lines[4:8] == ["entropy:", "mean 0.23 nats,", "highest 0.69: x", "▅▁▁"]


def panel(title: str, *, rows: str = "a b", columns: str = "c d") -> Panel:
    names, heads = tuple(rows.split()), tuple(columns.split())
    return Panel(title, Alignment(heads, names, np.eye(len(names), len(heads))))


def titles(*panels: Panel, width: int) -> list[str]:
    """The first line of each drawing, where titles stand side by side."""
    return [
        " ".join(plain_text(drawing).splitlines()[0].split())
        for drawing in arrange(panels, width=width)
    ]


def test_panels_stand_side_by_side_where_they_fit():
    three = [panel("x"), panel("y"), panel("z")]
    (alone,) = arrange(three[:1], width=32)
    needed = 3 * alone.width + 2 * 3
    assert titles(*three, width=needed) == ["x y z"]
    assert titles(*three, width=needed - 1) == ["x y", "z"]
    assert titles(*three, width=needed // 2) == ["x", "y", "z"]
    assert titles(panel(""), width=40) == ["c d"]  # one without a title has none


def test_panels_are_compact_where_more_of_them_then_fit():
    words = " ".join(f"w{number}" for number in range(30))
    wide = [panel("x", rows=words, columns=words), panel("y", rows=words, columns=words)]
    (drawing,) = arrange(wide, width=80)
    assert drawing.mode == "compact"
    assert [each.mode for each in arrange(wide, width=70)] == ["grid", "grid"]


def test_panels_whose_labels_end_their_lines_stand_alone():
    assert titles(panel("x", rows="كتاب"), panel("y"), width=200) == ["x", "y"]
    assert titles(panel("x", columns="c كتاب"), panel("y"), width=200) == ["x", "y"]


def test_drawings_side_by_side_line_up_below_their_titles():
    left, right = diagonal("a b", "年 d"), diagonal("a", "cd")
    lines = plain_text(beside([left, right], ["one", "another"])).splitlines()
    assert lines == ["one      another", "  年d      c", "a ██       d", "b   ██   a ██"]


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
    assert plain_text(draw_alignment(words, width=200, note=CAUTION)).splitlines()[-1] == CAUTION
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
        Frame.fit(renderable(diagonal("a b", "c d")))
    )
    assert stream.getvalue().splitlines()[1:-1] == ["│   c d  │", "│ a ██   │", "│ b   ██ │"]


@pytest.mark.parametrize(
    ("text", "cells"), [("abc", 3), ("年", 2), ("e\u0301", 1), ("👨‍👩‍👧‍👦", 2), ("한", 2), ("", 0)]
)
def test_widths_are_those_of_terminal_cells(text, cells):
    assert cell_width(text) == cells


def test_a_theme_that_is_asked_for_wins_over_the_terminals(monkeypatch):
    drawing = diagonal("a", "c")
    options: dict[str, Any] = {"force_terminal": True, "color_system": "truecolor"}
    for theme, own, other in (("dark", "15;0", "0;15"), ("light", "0;15", "15;0")):
        monkeypatch.setenv("COLORFGBG", own)
        expected = painted(drawing, **options)
        monkeypatch.setenv("COLORFGBG", other)
        assert painted(drawing, **options) != expected
        stream = io.StringIO()
        draw(drawing, Console(file=stream, width=40, no_color=False, **options), theme=theme)
        assert stream.getvalue() == expected
