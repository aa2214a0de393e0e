"""Prints a drawing on a console: weights as shades of a colour, or as characters ░▒▓█."""

import os
from typing import Literal, TypeAlias

from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.style import Style
from rich.text import Text

from seq2seq.rendering.colours import DARK, LIGHT, text_colour
from seq2seq.rendering.drawing import Drawing, Span, glyphs

Theme: TypeAlias = Literal["auto", "dark", "light"]

# The nearest of the 256 colours to those of `seq2seq.rendering.colours`.
_DARK_256 = tuple(f"color({number})" for number in (233, 17, 24, 25, 32, 74, 117, 153))
_LIGHT_256 = tuple(f"color({number})" for number in (231, 189, 152, 110, 74, 31, 25, 24))
_LIGHT_BACKGROUNDS = ("7", "15")  # the last number in COLORFGBG


def draw(drawing: Drawing, console: Console, *, theme: Theme = "auto") -> None:
    """Print a drawing as it is laid out: never wrapped, cropped or read as markup."""
    console.print(renderable(drawing, theme=theme), soft_wrap=True)


def renderable(drawing: Drawing, *, theme: Theme = "auto") -> RenderableType:
    """The drawing for a live view or a table; the console that prints it decides on colours."""
    return _RenderableDrawing(drawing, theme)


def has_shades(console: Console) -> bool:
    """Whether the console has a colour for every shade: of 16 colours, three would differ."""
    return console.color_system in ("truecolor", "256") and not console.no_color


class _RenderableDrawing:
    def __init__(self, drawing: Drawing, theme: Theme) -> None:
        self.drawing, self.theme = drawing, theme

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        ramp = _ramp(console, self.theme) if has_shades(console) else None
        for line in self.drawing.lines:
            text = Text(no_wrap=True, overflow="ignore")
            for span in line:
                if ramp is None or span.shade is None:
                    style = Style(bold=span.strong or None, dim=span.quiet or None)
                    text.append(glyphs(span), style)
                else:
                    text.append(span.text, _shaded(span, ramp))
            if ramp is None:
                text.rstrip()
            yield text

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(self.drawing.width, self.drawing.width)


def _ramp(console: Console, theme: Theme) -> tuple[str, ...]:
    """The colours from weight 0 to the largest weight."""
    named = os.environ.get("COLORFGBG", "").rpartition(";")[2]
    light = named in _LIGHT_BACKGROUNDS if theme == "auto" else theme == "light"
    if console.color_system == "truecolor":
        return LIGHT if light else DARK
    return _LIGHT_256 if light else _DARK_256


def _shaded(span: Span, ramp: tuple[str, ...]) -> Style:
    assert span.shade is not None
    background = _colour(span.shade, ramp)
    if span.upper is not None:
        return Style(color=_colour(span.upper, ramp), bgcolor=background)
    red, green, blue = Color.parse(background).get_truecolor()
    return Style(
        color=text_colour((red, green, blue)), bgcolor=background, bold=span.strong or None
    )


def _colour(shade: float, ramp: tuple[str, ...]) -> str:
    return ramp[round(shade * (len(ramp) - 1))]
