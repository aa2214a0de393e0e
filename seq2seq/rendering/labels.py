"""Labels as a terminal shows them: safe to print, measured in cells, shortened, packed in lines.

Terminals disagree on the width of joined and stacked scripts and on the order of right-to-left
ones: such labels are not plain. They are never written downwards, nor in front of anything that has
to line up.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from wcwidth import iter_graphemes, wcswidth

from seq2seq.system.visible import visible

_HEADER_HEIGHT = 14  # graphemes; a longer label written downwards is shortened


def cell_width(text: str) -> int:
    """Terminal cells that this text takes, after `visible`."""
    return len(text) if text.isascii() else max(0, wcswidth(text))


def shorten(text: str, width: int) -> str:
    """The text, or as much of its start as fits in `width` cells with "…" after it."""
    if cell_width(text) <= width:
        return text
    kept = ""
    for grapheme in iter_graphemes(text):
        if cell_width(f"{kept}{grapheme}…") > width:  # a joiner may merge with what follows
            break
        kept += grapheme
    return kept + "…" if width > 0 else ""


def left_justified(text: str, width: int) -> str:
    return text + " " * (width - cell_width(text))


def right_justified(text: str, width: int) -> str:
    return " " * (width - cell_width(text)) + text


def widest(labels: Iterable[str]) -> int:
    """Cells of the widest label; 0 without any."""
    return max(map(cell_width, labels), default=0)


def numbers(count: int) -> list[str]:
    """1 to `count`, as labels."""
    return [str(number) for number in range(1, count + 1)]


def printable(label: str) -> str:
    """A label safe to print: in composed form, without control characters, never blank."""
    text = unicodedata.normalize("NFC", visible(label))
    if not text.strip():
        return "␣"
    return f"◌{text}" if unicodedata.category(text[0])[0] == "M" else text


def packed(entries: Sequence[str], width: int, *, between: str = "   ") -> list[str]:
    """Entries side by side in lines of `width` cells, or one a line if any runs right to left."""
    if any(map(is_right_to_left, entries)):
        return list(entries)
    lines: list[str] = []
    for entry in entries:
        if lines and cell_width(f"{lines[-1]}{between}{entry}") <= width:
            lines[-1] += f"{between}{entry}"
        else:
            lines.append(entry)
    return lines


def written_downwards(labels: Sequence[str]) -> list[tuple[str, ...]]:
    """Lines of graphemes, one for each label, of labels that all end on the last line."""
    stacks = [list(iter_graphemes(label)) for label in labels]
    stacks = [
        stack if len(stack) <= _HEADER_HEIGHT else [*stack[: _HEADER_HEIGHT - 1], "…"]
        for stack in stacks
    ]
    upwards = zip_longest(*(reversed(stack) for stack in stacks), fillvalue="")
    return list(upwards)[::-1]


def graphemes_of(labels: Iterable[str]) -> Iterable[str]:
    """The grapheme clusters of all labels: characters, as a reader counts them."""
    return (grapheme for label in labels for grapheme in iter_graphemes(label))


def is_right_to_left(label: str) -> bool:
    """Whether any character of it runs from right to left."""
    return not label.isascii() and any(
        unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in label
    )


# Scripts whose characters are neither joined nor stacked nor written from right to left.
_PLAIN = (
    (0x0020, 0x058F),  # Latin, combining marks, Greek, Cyrillic, Armenian
    (0x10A0, 0x10FF),  # Georgian
    (0x13A0, 0x13FF),  # Cherokee
    (0x1C80, 0x1CBF),  # Cyrillic and Georgian extensions
    (0x1D00, 0x1FFF),  # phonetic, Latin and Greek extensions
    (0x2010, 0x2E7F),  # punctuation, letterlike and other symbols, more Latin and Cyrillic
    (0x2E80, 0xA4CF),  # CJK, Kana, Bopomofo, Yi
    (0xA640, 0xA69F),  # Cyrillic
    (0xA700, 0xA7FF),  # Latin
    (0xAB30, 0xAB6F),  # Latin
    (0xAC00, 0xD7A3),  # Hangul syllables
    (0xF900, 0xFAFF),  # CJK compatibility
    (0xFE30, 0xFE4F),  # CJK compatibility
    (0xFF01, 0xFFEE),  # fullwidth and halfwidth forms
    (0xFFFD, 0xFFFD),  # the replacement character
    (0x1D400, 0x1D7FF),  # mathematical letters
    (0x1F000, 0x1F1E5),  # symbols, up to the letters of flags
    (0x1F200, 0x1FAFF),  # emoji
    (0x20000, 0x3FFFF),  # CJK
)


def is_plain(label: str) -> bool:
    """Whether all terminals agree on the width of this label, and of its characters one by one."""
    return label.isascii() or all(map(_is_plain_grapheme, iter_graphemes(label)))


def _is_plain_grapheme(grapheme: str) -> bool:
    first, marks = grapheme[0], grapheme[1:]
    return (
        any(low <= ord(first) <= high for low, high in _PLAIN)
        and unicodedata.category(first) not in ("Mn", "Mc", "Me", "Cf", "Cn")
        and all("\u0300" <= mark <= "\u036f" for mark in marks)
    )
