"""Words of a text: counted so that scripts with and without spaces can be compared, and which
pieces spell which word."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

CHARACTERS_PER_WORD = {
    "CJK": 2, "HIRAGANA": 2, "KATAKANA": 2,
    "THAI": 5, "LAO": 5, "KHMER": 5, "MYANMAR": 5,
}  # fmt: skip
"""Characters that stand for one English word, of the scripts without spaces. Parallel corpora have
1.5 (emoji names, interface text) in Chinese, 2.1 and 2.6 in Japanese, and 5.6 in Thai."""


def count_words(lines: Iterable[str]) -> int:
    """Words of a text; see `words_of`."""
    tokens, characters = 0, Counter[str]()
    for line in lines:
        words = line.split()
        tokens += len(words)
        characters.update("".join(words))
    return words_of(tokens, characters)


def words_of(tokens: int, characters: Counter[str]) -> int:
    """Words of a text that has so many tokens between spaces and these characters, spaces aside.

    The characters of scripts without spaces count as a fraction of a word each, and the tokens only
    by their share of other characters.
    """
    fractions = {c: 1 / length for c in characters if (length := _characters_per_word(c))}
    unspaced = sum(characters[c] for c in fractions)
    spaced_share = 1 - unspaced / max(characters.total(), 1)
    return round(tokens * spaced_share + sum(n * characters[c] for c, n in fractions.items()))


def word_numbers(text: str, spans: Sequence[tuple[int, int]]) -> list[int]:
    """The number of the word between spaces, from 0, that each piece of a text spells.

    spans: the characters [begin, end) of each piece. A piece may have a space before its word in
    its span, or be one of several pieces of one character, all but the last with an empty span.
    """
    word_of, word, inside = list[int](), -1, False  # a space has the number of the word after it
    for character in text:
        if character.isspace():
            inside = False
        elif not inside:
            word, inside = word + 1, True
        word_of.append(word if inside else word + 1)
    last = len(text) - 1
    return [min(word_of[min(max(end - 1, begin), last)], word) for begin, end in spans]


@cache
def _characters_per_word(character: str) -> int | None:
    """None for a script with spaces; the first word of a character's name is its script."""
    script = re.split("[ -]", unicodedata.name(character, ""), maxsplit=1)[0]
    return CHARACTERS_PER_WORD.get(script)
