"""Drawings compared with kept ones, for every script, width and type of terminal.

The files under `drawings/` hold what this program drew; that columns line up on a real screen is
checked in tests/journeys/test_real_screen.py. After an intended change, write them again and read
the diff:

    python tests/golden/test_alignment_drawings.py
"""

import io
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from cli.terminal.drawing import draw
from seq2seq.evaluation.alignment import Alignment
from seq2seq.rendering.drawing import Style
from seq2seq.rendering.text import CAUTION, draw_alignment

DRAWINGS = Path(__file__).parent / "drawings"
WIDTHS = (20, 40, 80, 200)
CAPTURED: list[tuple[str | None, Style]] = [
    *((None, style) for style in ("auto", "values", "half", "list")),
    *((system, style) for system in ("standard", "256", "truecolor") for style in ("auto", "half")),
]
SENTENCES = {
    "latin": (
        "Der Donaudampfschifffahrtskapitän grüßt zwei junge Männer , die im Freien stehen .",
        "The Danube steamship captain greets two young men standing outdoors .",
    ),
    "cjk": ("两 个 年轻 的 男人 在 户外", "東京 タワー 두 젊은 남자"),
    "arabic": ("رجل يجلس على كرسي", "الرجل on a كرسي"),
    "devanagari": ("लड़का किताब पढ़ता है", "श्वेत men बाहर"),
    "thai": ("ผู้ชาย สอง คน อยู่ ข้างนอก", "two men ข้างนอก"),
    "emoji": ("family 👨‍👩‍👧‍👦 loves 🇩🇪 ❤️ 😀", "家 👍🏽 liebt 😀"),
    "control": ("a\x1b]0;x\x07 \u202eevil \x9b2J", "x\ny \u200f \u0301z"),
}


def sentence(name: str) -> Alignment:
    """A soft diagonal, every weight a quarter of the one nearer to it."""
    source, target = ((*side.split(" "), "</s>") for side in SENTENCES[name])
    centres = np.round(np.arange(len(target)) * (len(source) - 1) / (len(target) - 1))
    weights = 0.25 ** np.abs(np.arange(len(source)) - centres[:, np.newaxis])
    return Alignment(source, target, weights / weights.sum(axis=1, keepdims=True))


def captures(name: str) -> str:
    """Every style of one sentence; widths that give the same drawing share one capture."""
    parts = []
    for system, style in CAPTURED:
        drawn = [(width, _drawn(name, width, system, style)) for width in WIDTHS]
        for text, alike in groupby(drawn, key=lambda pair: pair[1]):
            widths = ", ".join(str(width) for width, _ in alike)
            parts.append(f"== {system or 'no colours'}, {style}, {widths} columns\n{text}")
    return "\n".join(parts)


def _drawn(name: str, width: int, system: str | None, style: Style) -> str:
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, force_terminal=bool(system), color_system=system, no_color=False
    )
    plain = system is None
    drawing = draw_alignment(
        sentence(name),
        width=width,
        style=style,
        summarised=plain and style == "auto",
        probability=0.9,
        note=CAUTION if plain and name == "latin" else None,
    )
    draw(drawing, console)
    return stream.getvalue().replace("\x1b", "␛")


@pytest.mark.parametrize("name", SENTENCES)
def test_drawings_are_as_captured(name, monkeypatch):
    monkeypatch.delenv("COLORFGBG", raising=False)
    captured = (DRAWINGS / f"{name}.txt").read_bytes().decode("utf-8")
    assert captures(name) == captured


if __name__ == "__main__":
    DRAWINGS.mkdir(exist_ok=True)
    for name in SENTENCES:
        (DRAWINGS / f"{name}.txt").write_bytes(captures(name).encode("utf-8"))
