"""Text made safe to print: control and invisible characters get a visible replacement."""

import json
import unicodedata
from typing import Any

_REPLACEMENTS = {"\n": "↵", "\r": "␍", "\t": "␉", "\u2028": "↵", "\u2029": "↵"}
# Bidirectional controls and zero-width characters, which reorder or hide text on a screen.
_INVISIBLE = (
    frozenset("\u200e\u200f\u061c\ufeff\u200b")
    | {chr(code) for code in range(0x202A, 0x202F)}
    | {chr(code) for code in range(0x2066, 0x206A)}
)


def visible(text: str) -> str:
    """Replace every character that a terminal would act on, or not show, by a visible one.

    These are control characters (C0 becomes ␀..␟, C1 \\x80..\\x9f), line separators, bidirectional
    controls, zero-width characters and surrogates.
    """
    if text.isprintable():
        return text
    return "".join(_replacement(character) for character in text)


def json_line(value: Any) -> str:
    """A value as one line of JSON, unprintable characters escaped, with its line end."""
    text = json.dumps(value, ensure_ascii=False)
    if not text.isprintable():
        text = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
    return text + "\n"


def _replacement(character: str) -> str:
    if character in _REPLACEMENTS:
        return _REPLACEMENTS[character]
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if character in _INVISIBLE or unicodedata.category(character) in ("Cc", "Cs"):
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return character
