"""Translate sentences with a trained run and draw their attention as one SVG picture.

    seq2seq corpus get emoji corpus --source-language en --target-language es
    seq2seq preprocess corpus/train.en corpus/train.es store --vocabulary-size 1000 \
        --valid-source corpus/valid.en --valid-target corpus/valid.es
    seq2seq train store run --recipe tiny --attention bahdanau --score additive --threads 1 \
        --set training.updates=2000 --set training.precision=float32
    python scripts/draw_alignment_svg.py run docs/alignments.svg \
        "person in motorized wheelchair facing right medium-dark skin tone" \
        "men wrestling medium-light skin tone dark skin tone"

Panels stand side by side: source words as columns, translated words as rows. The picture has its
own background for light and for dark pages, no script and nothing that is loaded from elsewhere.
"""

import argparse
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from cli.runs.translator import Translator
from seq2seq.evaluation.alignment import END_MARK, Alignment, merge_pieces

CELL, GAP = 30, 3  # pixels: a cell with its gap, and the gap
LETTER = 7.6  # average width of a letter, in pixels
SLOPE = 0.71  # sine and cosine of the column labels' 45 degrees
MARGIN = 24
SMALLEST = 0.01  # lighter cells would not be seen
LEGEND_STEP = 72  # pixels from one cell of the legend to the next
STYLE = """
  .card { fill: #ffffff }
  .word { fill: #1f2328; font: 14px system-ui, -apple-system, "Segoe UI", Helvetica, sans-serif }
  .empty { fill: #f1f4f7 }
  .weight { fill: #1f6feb }
  @media (prefers-color-scheme: dark) {
    .card { fill: #161b22 }
    .word { fill: #e6edf3 }
    .empty { fill: #21262d }
    .weight { fill: #58a6ff }
  }
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a run directory, trained with attention")
    parser.add_argument("output", type=Path, help="the SVG file to write")
    parser.add_argument("sentence", nargs="+", help="a source sentence; a panel for each")
    options = parser.parse_args(arguments)
    translator = Translator.load(options.run, device="cpu", threads=1)
    translator.require_attention()
    alignments = []
    for translation in translator.translate(options.sentence):
        alignment = translation.candidates[0].alignment
        assert alignment is not None
        alignments.append(without_end(merge_pieces(alignment)))
    options.output.write_text(picture(alignments), encoding="utf-8")


def without_end(alignment: Alignment) -> Alignment:
    """An alignment without the row and the column of the end of the sentence."""
    rows = len(alignment.target) - (alignment.target[-1] == END_MARK)
    columns = len(alignment.source) - (alignment.source[-1] == END_MARK)
    return Alignment(
        alignment.source[:columns], alignment.target[:rows], alignment.weights[:rows, :columns]
    )


def picture(alignments: Sequence[Alignment]) -> str:
    """One SVG document with a panel for each alignment, side by side and aligned at the top."""
    above = max(_label_width(alignment.source) for alignment in alignments) * SLOPE + CELL / 2
    panels, x = [], float(MARGIN)
    for alignment in alignments:
        x += _label_width(alignment.target)
        panels.append(_panel(alignment, x, MARGIN + above))
        x += CELL * len(alignment.source) + _overhang(alignment) + MARGIN
    below = MARGIN + above + CELL * max(len(alignment.target) for alignment in alignments)
    height = round(below + CELL + 1.5 * MARGIN)
    width = round(x)
    described = "; ".join(
        f"{' '.join(alignment.source)} = {' '.join(alignment.target)}" for alignment in alignments
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img">',
            "<title>Attention weights between source and translation</title>",
            f"<desc>{escape(described)}</desc>",
            f"<style>{STYLE}</style>",
            f'<rect class="card" width="{width}" height="{height}" rx="8"/>',
            *panels,
            _legend(width - MARGIN, below + MARGIN / 2),
            "</svg>\n",
        ]
    )


def _legend(right: float, top: float) -> str:
    """Cells of some weights with their numbers, ending at `right`."""
    shown = (0.0, 0.25, 0.5, 0.75, 1.0)
    left = right - LEGEND_STEP * len(shown)
    elements = [
        f'<text class="word" x="{left - 8:.1f}" y="{top + CELL / 2 + 4:.1f}" '
        'text-anchor="end">weight</text>'
    ]
    for index, weight in enumerate(shown):
        x = left + LEGEND_STEP * index
        elements += [
            _cell(x, top, weight),
            f'<text class="word" x="{x + CELL + 3:.1f}" y="{top + CELL / 2 + 4:.1f}">'
            f"{weight:g}</text>",
        ]
    return "\n".join(elements)


def _cell(x: float, y: float, weight: float) -> str:
    frame = f'x="{x:.1f}" y="{y:.1f}" width="{CELL - GAP}" height="{CELL - GAP}" rx="4"'
    filled = f'<rect class="weight" {frame} fill-opacity="{weight:.2f}"/>'
    return f'<rect class="empty" {frame}/>' + (filled if weight >= SMALLEST else "")


def _panel(alignment: Alignment, left: float, top: float) -> str:
    """Labels and cells; `left` and `top` are the corner of the first cell."""
    elements = []
    for column, word in enumerate(alignment.source):
        x, y = left + CELL * (column + 0.5) + 3, top - 8
        elements.append(
            f'<text class="word" transform="translate({x:.1f} {y:.1f}) rotate(-45)">'
            f"{escape(word)}</text>"
        )
    for row, word in enumerate(alignment.target):
        y = top + CELL * row
        elements.append(
            f'<text class="word" x="{left - 8:.1f}" y="{y + CELL / 2 + 4:.1f}" '
            f'text-anchor="end">{escape(word)}</text>'
        )
        for column, weight in enumerate(alignment.weights[row].tolist()):
            elements.append(_cell(left + CELL * column, y, weight))
    return "\n".join(elements)


def _label_width(words: Sequence[str]) -> float:
    return LETTER * max(map(len, words)) + 8


def _overhang(alignment: Alignment) -> float:
    """How far a sloping column label reaches beyond the last column."""
    ends = [
        CELL * (column + 0.5 - len(alignment.source)) + LETTER * len(word) * SLOPE
        for column, word in enumerate(alignment.source)
    ]
    return float(max(0.0, np.max(ends)))


if __name__ == "__main__":
    main()
