"""Laws of merging and drawing, for any labels, weights and widths."""

import io
import re
from typing import get_args

import numpy as np
import pytest
from examples import examples
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rich.console import Console

from cli.terminal.drawing import Theme, draw
from seq2seq.evaluation.alignment import (
    Alignment,
    coverage,
    merge_pieces,
    parse_pharaoh,
    pharaoh,
    word_links,
)
from seq2seq.rendering.drawing import Drawing, Mode, plain_text
from seq2seq.rendering.labels import cell_width
from seq2seq.rendering.panels import Panel, arrange
from seq2seq.rendering.text import draw_alignment, draw_matrix
from seq2seq.system.visible import visible

anything = st.text(st.characters(), max_size=12)  # lone surrogates and control characters too
scripts = st.text("aß-かな年한글سلامहिन्दीไทย👨‍👩‍👧🇩🇪❤️\u0301\u200d\u1100\x1b\u202e\n", max_size=12)
labels = st.lists(anything | scripts, max_size=8)
pieces = st.lists(
    st.sampled_from(["▁", "▁a", "b", "▁年", "轻", "<0xE2>", "<0x82>", "<0xAC>", "ี", "ก", "</s>"])
    | anything,
    max_size=10,
).map(tuple)
colour_systems = st.sampled_from(["truecolor", "256", "standard", None])
styles = st.sampled_from(["auto", *get_args(Mode)])
any_float = st.floats()  # NaN and infinity too


@st.composite
def tables(draw_from, weights):
    rows, columns = draw_from(labels), draw_from(labels | labels.map(lambda few: few * 5))
    return rows, columns, draw_from(arrays(np.float64, (len(rows), len(columns)), elements=weights))


@st.composite
def alignments(draw_from):
    source, target = draw_from(pieces), draw_from(pieces)
    shape = (len(target), len(source))
    raw = draw_from(arrays(np.float64, shape, elements=st.floats(1e-3, 1)))
    return Alignment(source, target, raw / raw.sum(axis=1, keepdims=True))


@example(
    table=(["\u200d0\u094d0"], [], np.empty((1, 0))),
    width=0,
    style="auto",
    height=None,
    note=None,
)
@given(
    table=tables(any_float),
    width=st.integers(-1, 120),
    style=styles,
    height=st.none() | st.integers(-1, 40),
    note=st.none() | anything,
)
def test_no_line_is_wider_than_the_width_or_has_control_characters(
    table, width, style, height, note
):
    rows, columns, weights = table
    drawing = draw_matrix(
        rows, columns, weights, width=width, style=style, height=height, note=note
    )
    assert_safe(drawing, max(1, width))
    assert drawing.mode in (("list",) if style == "list" else get_args(Mode))


@given(
    alignment=alignments(),
    width=st.integers(1, 120),
    style=styles,
    probability=st.none() | st.floats(0, 1),
)
def test_no_line_of_a_summary_is_wider_either(alignment, width, style, probability):
    for each in (alignment, merge_pieces(alignment)):
        drawing = draw_alignment(
            each, width=width, style=style, summarised=True, probability=probability
        )
        assert_safe(drawing, width)


@examples(60)
@given(
    shown=st.lists(st.tuples(anything | st.just("head 1"), alignments()), min_size=1, max_size=4),
    width=st.integers(1, 90),
    style=styles,
)
def test_no_line_of_several_panels_is_wider_either(shown, width, style):
    panels = [Panel(title, alignment, 0.5) for title, alignment in shown]
    for drawing in arrange(panels, width=width, style=style):
        assert_safe(drawing, width)


def assert_safe(drawing: Drawing, width: int) -> None:
    for line in drawing.lines:
        text = "".join(span.text for span in line)
        assert cell_width(text) <= width
        assert visible(text) == text
    assert plain_text(drawing).count("\n") == len(drawing.lines)


@examples(60)
@given(
    table=tables(any_float),
    width=st.integers(1, 60),
    style=styles,
    system=colour_systems,
    theme=st.sampled_from(get_args(Theme)),
)
def test_colouring_changes_no_text(table, width, style, system, theme):
    drawing = draw_matrix(*table, width=width, style=style)
    stream = io.StringIO(newline="\n")
    console = Console(file=stream, force_terminal=bool(system), color_system=system, no_color=False)
    draw(drawing, console, theme=theme)
    coloured = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).split("\n")[:-1]
    assert all(visible(line) == line for line in coloured)
    expected = (
        ["".join(span.text for span in line) for line in drawing.lines]
        if system in ("truecolor", "256")
        else plain_text(drawing).split("\n")[:-1]
    )
    assert coloured == expected


@given(
    table=tables(st.floats(0, 1)),
    width=st.integers(1, 120),
    style=st.sampled_from(["auto", "grid", "compact", "values"]),
)
def test_every_row_of_a_map_marks_its_largest_weight_once(table, width, style):
    rows, columns, weights = table
    drawing = draw_matrix(rows, columns, weights, width=width, style=style)
    if drawing.mode == "list" or not len(columns):
        return
    maps = [line for line in drawing.lines if any(span.shade is not None for span in line)]
    parts = len(maps) // max(1, len(rows))
    for row, row_weights in enumerate(weights):
        marked = [
            span.shade
            for part in range(parts)
            for span in maps[part * len(rows) + row]
            if span.strong
        ]
        assert marked == ([1.0] if row_weights.max() > 0 else [])


@given(alignments())
def test_merging_keeps_the_sum_of_every_row_and_of_all_weights(alignment):
    merged = merge_pieces(alignment)
    if alignment.source:
        np.testing.assert_allclose(merged.weights.sum(axis=1), 1, rtol=0, atol=1e-9)
        assert coverage(merged).sum() == pytest.approx(len(merged.target), abs=1e-9)


@given(alignments())
def test_merging_only_the_source_keeps_the_sum_of_all_weights(alignment):
    apart = tuple(f"▁{index}" for index in range(len(alignment.target)))
    merged = merge_pieces(Alignment(alignment.source, apart, alignment.weights))
    assert merged.target == tuple(str(index) for index in range(len(apart)))
    assert coverage(merged).sum() == pytest.approx(coverage(alignment).sum(), abs=1e-9)


@given(alignments(), st.none() | st.floats(0, 1))
def test_pharaoh_lines_read_back_as_the_links(alignment, threshold):
    links = word_links(alignment, threshold=threshold)
    assert parse_pharaoh(pharaoh(alignment, threshold=threshold)) == links
    assert all(i < len(alignment.source) and j < len(alignment.target) for i, j in links)
