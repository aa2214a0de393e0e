"""Text as it may be shown: what could drive a terminal or hide in it gets a visible stand-in."""

import json
import unicodedata
from typing import Any

_STAND_INS = {"\n": "↵", "\r": "␍", "\t": "␉", "\u2028": "↵", "\u2029": "↵"}
# Directions and joins that reorder or hide what follows on a screen.
_INVISIBLE = (
    frozenset("\u200e\u200f\u061c\ufeff\u200b")
    | {chr(code) for code in range(0x202A, 0x202F)}
    | {chr(code) for code in range(0x2066, 0x206A)}
)


def visible(text: str) -> str:
    """Replace every character that could drive a terminal by one that shows it.

    Control characters (C0 as ␀..␟, C1 as \\x80..\\x9f), line separators and bidirectional controls.
    """
    if text.isprintable():
        return text
    return "".join(_stand_in(character) for character in text)


def json_line(value: Any) -> str:
    """One JSON document and its line end; nothing in it can drive a terminal."""
    text = json.dumps(value, ensure_ascii=False)
    if not text.isprintable():
        text = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
    return text + "\n"


def _stand_in(character: str) -> str:
    if character in _STAND_INS:
        return _STAND_INS[character]
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if character in _INVISIBLE or unicodedata.category(character) in ("Cc", "Cs"):
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return character
