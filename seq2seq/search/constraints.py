"""Which ids may follow an unfinished hypothesis, besides what the model finds likely.

A constraint hides ids before the best are chosen; log-probabilities stay the model's own, since the
log-sum-exp is over all ids.
"""

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

_MOST_MASKS = 4096  # that a constraint on words keeps, of V' bytes each
_FIRST_PRIVATE = 0xE000  # the first of Unicode's characters for private use


class Prefixes(NamedTuple):
    """The unfinished hypotheses of a step, all of t ids."""

    ids: Tensor  # [R, t] int64 on the CPU, without BOS
    sentences: Tensor  # [R] int64 on the CPU, which of the searched sentences each belongs to

    @classmethod
    def start(cls, sentences: Tensor) -> "Prefixes":
        """The empty hypotheses of these sentences. [R]"""
        return cls(torch.zeros(len(sentences), 0, dtype=torch.int64), sentences)

    def advance(self, rows: Tensor, ids: Tensor) -> "Prefixes":
        """The hypotheses after a step; rows, ids [R']: which one each continues, and its new id."""
        written = torch.cat([self.ids[rows], ids.unsqueeze(1)], dim=1)
        return Prefixes(written, self.sentences[rows])


class Constraint(Protocol):
    """A rule on which ids may follow a hypothesis; one that nothing may follow is cut there."""

    def allowed(self, prefixes: Prefixes, ids: Tensor) -> Tensor | None:
        """Which of the output ids [V'] may follow each prefix: [R, V'] bool, or [1, V'] where they
        are the same for all; None: all ids."""
        ...


def all_allowed(
    constraints: Iterable[Constraint], prefixes: Prefixes, ids: Tensor
) -> Tensor | None:
    """The ids that all constraints allow: [R, V'] or [1, V'] bool, True = may be written; None: all
    ids."""
    mask: Tensor | None = None
    for each in constraints:
        allowed = each.allowed(prefixes, ids)
        if allowed is not None:
            mask = allowed if mask is None else mask & allowed
    return mask


@dataclass(frozen=True)
class MinimumLength:
    """EOS is written only after so many other ids."""

    lengths: Sequence[int]  # of each sentence
    eos: int

    def allowed(self, prefixes: Prefixes, ids: Tensor) -> Tensor | None:
        length = prefixes.ids.shape[1]
        if length >= max(self.lengths):
            return None
        too_short = torch.tensor(self.lengths)[prefixes.sentences] > length  # [R]
        if bool(too_short.all()):
            return (ids != self.eos).unsqueeze(0)  # [1, V']
        return ~(too_short.unsqueeze(1) & (ids == self.eos))


@dataclass(frozen=True)
class MaximumLength:
    """After so many ids there is nothing but EOS."""

    length: int
    eos: int

    def allowed(self, prefixes: Prefixes, ids: Tensor) -> Tensor | None:
        return None if prefixes.ids.shape[1] < self.length else (ids == self.eos).unsqueeze(0)


@dataclass(frozen=True)
class NoRepeatedNgram:
    """No `size` ids in a row are written twice (Paulus et al., 2018, section 2.5, for trigrams)."""

    size: int

    def allowed(self, prefixes: Prefixes, ids: Tensor) -> Tensor | None:
        rows, length = prefixes.ids.shape
        if length < self.size:
            return None
        ngrams = prefixes.ids.unfold(1, self.size, 1)  # [R, t - n + 1, n]
        last = prefixes.ids[:, length - self.size + 1 :].unsqueeze(1)  # [R, 1, n - 1]
        begun = (ngrams[:, :, :-1] == last).all(dim=2)  # [R, t - n + 1] those that might recur
        row, which = begun.nonzero(as_tuple=True)
        allowed = torch.ones(rows, len(ids), dtype=torch.bool)
        columns = torch.searchsorted(ids, ngrams[row, which, -1].contiguous())
        allowed[row, columns] = False
        return allowed


class ForcedText(NamedTuple):
    """How a translation begins: ids, and after them a text that its pieces may spell in any way.

    The end of a prefix need not be the end of a piece: "Hu" may go on as the piece "Hund". Where
    the text is a mere space, the translation may also end there.
    """

    ids: tuple[int, ...]
    text: bytes = b""  # UTF-8


@dataclass(frozen=True)
class ForcedPrefix:
    """Every translation begins with a given text; `others` hold from there on."""

    prefixes: Sequence[ForcedText | None]  # of each sentence; None: it has none
    spellings: Sequence[bytes]  # of each id of the vocabulary
    eos: int
    others: tuple[Constraint, ...] = ()
    _masks: dict[bytes, Tensor] = field(default_factory=dict)  # by what is left of a text
    _columns: dict[bytes, list[tuple[int, int]]] = field(default_factory=dict)
    """The columns of the logits and their ids, by the first byte of their spelling."""

    def allowed(self, prefixes: Prefixes, ids: Tensor) -> Tensor | None:
        rows = list(zip(prefixes.sentences.tolist(), prefixes.ids.tolist(), strict=True))
        masks = [self._mask(sentence, written, ids) for sentence, written in rows]
        rest = all_allowed(self.others, prefixes, ids)
        if not any(mask is not None for mask in masks):
            return rest
        free = torch.ones(len(masks), len(ids), dtype=torch.bool) if rest is None else rest
        forced = [
            own if mask is None else mask | (own & (ids == self.eos) & self._may_end(*row))
            for mask, own, row in zip(masks, free.expand(len(masks), -1), rows, strict=True)
        ]
        return torch.stack(forced)

    def _may_end(self, sentence: int, written: list[int]) -> bool:
        """Whether nothing is missing but a mere space."""
        prefix = self.prefixes[sentence]
        return prefix is not None and prefix.text == b" " and len(written) == len(prefix.ids)

    def _mask(self, sentence: int, written: list[int], ids: Tensor) -> Tensor | None:
        """The ids that may follow while the prefix is not complete [V'], then None."""
        prefix = self.prefixes[sentence]
        if prefix is None:
            return None
        if len(written) < len(prefix.ids):
            return ids == prefix.ids[len(written)]
        done = b"".join(self.spellings[number] for number in written[len(prefix.ids) :])
        if len(done) >= len(prefix.text):
            return None
        return self._spelling(prefix.text[len(done) :], ids)

    def _spelling(self, rest: bytes, ids: Tensor) -> Tensor:
        """The ids that go on with a text: to its end, beyond, or to where others can go on. [V']"""
        if not self._columns:
            for column, number in enumerate(ids.tolist()):
                self._columns.setdefault(self.spellings[number][:1], []).append((column, number))
        for begin in reversed(range(len(rest))):  # what is left after a piece is known then
            left = rest[begin:]
            if left not in self._masks:
                fits = torch.zeros(len(ids), dtype=torch.bool)
                for column, number in self._columns.get(left[:1], ()):
                    fits[column] = self._continues(left, self.spellings[number])
                self._masks[left] = fits
        return self._masks[rest]

    def _continues(self, rest: bytes, text: bytes) -> bool:
        """Whether a piece with this spelling goes on with a text."""
        if not rest.startswith(text):
            return text.startswith(rest)
        return text == rest or bool(self._masks[rest[len(text) :]].any())


@dataclass(frozen=True)
class _Shape:
    """The words in a piece: runs of letters, digits and underscores (and of bytes)."""

    head: str  # the run that the piece begins with, which continues the word before it
    inner: tuple[str, ...]  # words that begin and end in it
    tail: str  # the run that it ends in, if that is not its head
    ends_word: bool  # whether it has anything else than a run: the word before it is over

    @classmethod
    def of(cls, text: str) -> "_Shape":
        runs = _runs(text)
        if len(runs) == 1:
            return cls(text, (), "", False)
        return cls(runs[0], tuple(run for run in runs[1:-1] if run), runs[-1], True)


class _WordConstraint(ABC):
    """A constraint that depends only on the word that is being written."""

    def __init__(self, spellings: Sequence[bytes], eos: int) -> None:
        self._texts, self._eos = [text_of([each]) for each in spellings], eos
        self._masks: dict[str, Tensor] = {}
        self._ids: Tensor | None = None
        self._preparing = Lock()  # the prompt searches for its suggestions in another thread
        self.shapes: list[_Shape] = []  # of each output id

    def allowed(self, prefixes: Prefixes, ids: Tensor) -> Tensor | None:
        with self._preparing:
            if self._ids is None or not torch.equal(ids, self._ids):
                self._ids, self._masks = ids, {}
                self.shapes = [
                    _Shape("", (), "", True) if i == self._eos else _Shape.of(self._texts[i])
                    for i in ids.tolist()
                ]
                self.prepare()
            return torch.stack([self._mask(self._word(row)) for row in prefixes.ids.tolist()])

    def prepare(self) -> None:  # noqa: B027  most constraints have nothing to prepare
        """Compute what depends on `shapes`; called whenever these have changed."""

    @abstractmethod
    def mask(self, word: str) -> Tensor:
        """The ids that may follow the word, which is "" between words. [V'] bool"""

    def _mask(self, word: str) -> Tensor:
        if word not in self._masks:
            if len(self._masks) == _MOST_MASKS:
                self._masks.clear()
            self._masks[word] = self.mask(word)
        return self._masks[word]

    def _word(self, ids: list[int]) -> str:
        """The run of letters that the text of the ids ends in."""
        text = ""
        for number in reversed(ids):
            text = self._texts[number] + text
            if len(runs := _runs(text)) > 1:
                return runs[-1]
        return text


class BannedWords(_WordConstraint):
    """No piece ends, and no piece goes beyond, a banned word as a whole.

    So a longer word that begins with one is written only where no piece ends with the banned word:
    that the model would go on with it is not known when the piece is chosen.
    """

    def __init__(self, words: Iterable[str], spellings: Sequence[bytes], eos: int) -> None:
        super().__init__(spellings, eos)
        self._words = frozenset(words)

    def prepare(self) -> None:
        self._without = torch.tensor(
            [not self._words & {*shape.inner, shape.tail} for shape in self.shapes]
        )
        self._by_head: dict[str, list[int]] = {}
        for column, shape in enumerate(self.shapes):
            self._by_head.setdefault(shape.head, []).append(column)

    def mask(self, word: str) -> Tensor:
        allowed = self._without.clone()
        for banned in self._words:
            if banned.startswith(word) and banned != word:
                allowed[self._by_head.get(banned.removeprefix(word), [])] = False
        return allowed


class Vocabulary(_WordConstraint):
    """Only these words are written; anything but letters, digits and underscores is free."""

    def __init__(self, words: Iterable[str], spellings: Sequence[bytes], eos: int) -> None:
        super().__init__(spellings, eos)
        self._words = frozenset((*words, ""))
        self._beginnings = {word[:end] for word in self._words for end in range(len(word) + 1)}

    def mask(self, word: str) -> Tensor:
        return torch.tensor([self._fits(word, shape) for shape in self.shapes])

    def _fits(self, word: str, shape: _Shape) -> bool:
        if not shape.ends_word:
            return word + shape.head in self._beginnings
        return (
            word + shape.head in self._words
            and self._words.issuperset(shape.inner)
            and shape.tail in self._beginnings
        )


def _runs(text: str) -> list[str]:
    """The strings between characters that are part of no word. "ab, c" -> ["ab", "", "c"]"""
    runs = [""]
    for character in text:
        if is_word_character(character):
            runs[-1] += character
        else:
            runs.append("")
    return runs


def words_of(text: str) -> list[str]:
    """The words of a text: runs of letters, digits, marks and underscores."""
    return [run for run in _runs(text) if run]


def is_word_character(character: str) -> bool:
    """Whether it is a letter, digit, mark or underscore; or a private one, in place of a byte."""
    category = unicodedata.category(character)
    return character == "_" or category[0] in "LNM" or category == "Co"


def text_of(spellings: Iterable[bytes]) -> str:
    """The text of some pieces; a byte of a character that has no piece is a private character."""
    return "".join(map(_decoded, spellings))


def _decoded(spelling: bytes) -> str:
    try:
        return spelling.decode()
    except UnicodeDecodeError:
        return "".join(chr(_FIRST_PRIVATE + byte) for byte in spelling)
