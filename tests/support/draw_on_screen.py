"""Draws on the terminal that it runs in, and writes where the cursor was after each span.

python draw_on_screen.py RESULT.json WIDTH
"""

import json
import os
import re
import sys
import termios
import tty
from itertools import accumulate
from pathlib import Path

import numpy as np

from seq2seq.evaluation.alignment import Alignment
from seq2seq.rendering.drawing import Spans, Style, glyphs
from seq2seq.rendering.labels import cell_width
from seq2seq.rendering.text import draw_alignment

SENTENCES = {
    "Der Kapitän grüßt zwei Männer .": "The captain greets two men .",
    "两 个 年轻 的 男人 在 户外": "東京 タワー 두 젊은 남자",
    "رجل يجلس على كرسي": "الرجل on a كرسي",
    "लड़का किताब पढ़ता है": "श्वेत men बाहर",
    "ผู้ชาย สอง คน อยู่ ข้างนอก": "two men ข้างนอก",
    "family 👨‍👩‍👧‍👦 loves 🇩🇪 ❤️ 😀": "家 👍🏽 liebt 😀",
    "a\x1b]0;x\x07 \u202eevil \x9b2J": "x\ny \u200f \u0301z",
}
STYLES: tuple[Style, ...] = ("grid", "compact", "half", "values", "list")


def cursor() -> tuple[int, int]:
    """Row and column, both from 1, as the terminal reports them."""
    os.write(1, b"\x1b[6n")
    answer = b""
    while not answer.endswith(b"R"):
        answer += os.read(0, 1)
    match = re.search(rb"\[(\d+);(\d+)R$", answer)
    assert match, answer
    return int(match[1]), int(match[2])


def printed(line: Spans) -> dict[str, object]:
    """Print a line at the top of the screen; for each span the column that follows it."""
    os.write(1, b"\x1b[2J\x1b[H")
    spans = []
    texts = accumulate((glyphs(span) for span in line), lambda before, text: before + text)
    for span, text in zip(line, texts, strict=True):
        os.write(1, glyphs(span).encode())
        column = cursor()[1]
        spans.append(
            {
                "text": glyphs(span),
                "is_cell": span.shade is not None,
                "column": column,
                "expected": cell_width(text) + 1,
            }
        )
    return {"spans": spans, "rows": cursor()[0] - 1}


def main(result: Path, width: int) -> None:
    before = termios.tcgetattr(0)
    tty.setraw(0)
    lines = []
    for source, target in SENTENCES.items():
        columns, rows = source.split(" "), target.split(" ")
        weights = np.eye(len(rows), len(columns)) * 0.9 + 0.1 / len(columns)
        alignment = Alignment(tuple(columns), tuple(rows), weights)
        for style in STYLES:
            drawing = draw_alignment(alignment, width=width, style=style, summarised=True)
            lines += [printed(line) for line in drawing.lines]
    termios.tcsetattr(0, termios.TCSANOW, before)
    partial = result.with_suffix(".partial")
    partial.write_text(json.dumps(lines), encoding="utf-8")
    partial.rename(result)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
