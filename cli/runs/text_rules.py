"""Rules of text for translations, in the pieces of a tokenizer: words, and how a line begins."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from data.corpus import read_lines
from data.inputs import can_be_read_once, display_name
from data.tokenization import Tokenizer
from seq2seq.batch import EOS
from seq2seq.config import SearchConfig
from seq2seq.errors import ConfigError
from seq2seq.search.constraints import (
    BannedWords,
    Constraint,
    ForcedText,
    Vocabulary,
    text_of,
    words_of,
)
from seq2seq.search.translation import TextRules


def text_rules(tokenizer: Tokenizer, search: SearchConfig) -> TextRules | None:
    """The rules of section `search` on words; None where it has none.

    Raises ConfigError for what is not one word, and CorpusError for a vocabulary that cannot be
    read.
    """
    if not (search.banned_words or search.required_words or search.vocabulary is not None):
        return None
    for text in search.required_words:
        if not text.strip():
            raise ConfigError(
                "search.required_words has a blank text", hint="give words that are to be written"
            )
    vocabulary = None
    if search.vocabulary is not None:
        lines = read_lines(_rereadable(Path(search.vocabulary)))
        vocabulary = frozenset(_words(tokenizer, lines))
    for word in search.banned_words:
        if len(words_of(_spelled(tokenizer, word))) != 1:
            raise ConfigError(
                f"search.banned_words has {word!r}, which is not one word",
                hint="a word is a run of letters and digits; several are banned one by one",
            )
    words: list[Constraint] = []
    if search.banned_words:
        banned = _words(tokenizer, search.banned_words)
        words.append(BannedWords(banned, tokenizer.spellings, EOS))
    if vocabulary is not None:
        words.append(Vocabulary(vocabulary, tokenizer.spellings, EOS))
    return TextRules(
        spellings=tokenizer.spellings,
        words=tuple(words),
        required=tuple(tuple(tokenizer.encode(text)) for text in search.required_words),
        any_piece=bool(search.required_words) or vocabulary is not None,
    )


def _rereadable(vocabulary: Path) -> Path:
    """Raises ConfigError for a file that can be read only once: other settings read it again."""
    if can_be_read_once(vocabulary):
        raise ConfigError(
            f"search.vocabulary is {display_name(vocabulary)}, which can be read only once",
            hint="write the words into a file, and name that",
        )
    return vocabulary


def forced_text(tokenizer: Tokenizer, prefix: str) -> ForcedText | None:
    """How a translation begins that is to begin with this text; None for a blank one.

    Its words have the pieces that the tokenizer gives them, but for the last one: where that ends
    need not be the end of a piece. After a space at the end the next piece begins a word.
    """
    ids = tokenizer.encode(prefix)
    if not ids:
        return None
    if prefix[-1:].isspace():
        return ForcedText(tuple(ids), b" ")
    spelled = [tokenizer.spellings[number] for number in ids]
    begins = [i for i, spelling in enumerate(spelled) if spelling.startswith(b" ")]
    last = begins[-1] if begins else 0
    return ForcedText(tuple(ids[:last]), b"".join(spelled[last:]))


def prefix_rules(
    rules: TextRules | None, tokenizer: Tokenizer, prefixes: Sequence[str]
) -> TextRules | None:
    """The rules with a prefix for each translation; "" for one that begins as it likes."""
    forced = [forced_text(tokenizer, prefix) for prefix in prefixes]
    if not any(forced):
        return rules
    return replace(rules or TextRules(spellings=tokenizer.spellings), prefixes=forced)


def _words(tokenizer: Tokenizer, lines: Iterable[str]) -> Iterable[str]:
    for line in lines:
        yield from words_of(_spelled(tokenizer, line))


def _spelled(tokenizer: Tokenizer, text: str) -> str:
    """The text as its pieces spell it: normalized, and with private characters for bytes."""
    return text_of(tokenizer.spellings[number] for number in tokenizer.encode(text))
