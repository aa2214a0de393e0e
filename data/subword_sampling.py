"""Other pieces for the same sentence in every epoch: BPE-dropout (Provilkov et al., 2020) with
merges, subword regularisation (Kudo, 2018) with a unigram model.

SentencePiece has both, but its chance begins elsewhere in every process, whatever seed it is given
(seen with 0.2.3), and a resumed run would be another run. So its pieces and scores are taken, and
the drawing is done here. No piece goes over a space: words are cut one by one, and what was worked
out for a word is kept for the next time.
"""

from __future__ import annotations

import heapq
import math
import random
from bisect import bisect
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple, Protocol

import numpy as np

from data.token_store import Indices, IntArray, Side, TokenizedSplit, TokenStore
from data.tokenization import Vocabulary
from seq2seq.system.streams import stream_seed

CACHED = 100_000  # words, each with what was left out: some tens of megabytes
LONG = 12  # pieces; longer words, such as sentences without spaces, hardly come again
Word = tuple[int, ...]  # ids


class PieceSampler(Protocol):
    """Cuts the words of a sentence in other ways than the one they came in."""

    def draw(self, words: Iterable[Word], chance: random.Random) -> list[int]: ...


class BpeDropout:
    """Merges as BPE does, but leaves each out with some probability (Provilkov et al., 2020)."""

    def __init__(self, vocabulary: Vocabulary, dropout: float) -> None:
        self._vocabulary = vocabulary
        self._log_kept = math.log1p(-dropout) if dropout < 1 else -math.inf
        self._merged = lru_cache(CACHED)(self._merge)

    def draw(self, words: Iterable[Word], chance: random.Random) -> list[int]:
        """Merges come up in turns, word after word, and every now and then one is left out."""
        drawn: list[int] = []
        turn = self._gap(chance)  # the next one that is left out, counted from this word's first
        for word in words:
            if len(word) > LONG:
                drawn += self._draw_long(word, chance)
                continue
            left_out: tuple[int, ...] = ()
            pieces, turns = self._merged(word, left_out)
            while turn < turns:
                left_out = (*left_out, turn)
                pieces, turns = self._merged(word, left_out)
                turn += 1 + self._gap(chance)
            turn -= turns
            drawn += pieces
        return drawn

    def _draw_long(self, word: Word, chance: random.Random) -> Word:
        """All that may be left out is drawn before, and the word is merged once."""
        characters = sum(len(self._vocabulary.spelling(number)) for number in word)
        left_out, turn = set[int](), self._gap(chance)
        while turn < 3 * characters:  # a merge makes two new pairs of neighbours at most
            left_out.add(turn)
            turn += 1 + self._gap(chance)
        return self._merge(word, left_out)[0]

    def _gap(self, chance: random.Random) -> int:
        """How many merges are done before one is left out: a geometric distribution."""
        gap = math.log(1 - chance.random()) / self._log_kept
        return int(min(gap, 1e9))

    def _merge(self, word: Word, left_out: Collection[int]) -> tuple[Word, int]:
        """The pieces when some turns, counted from 0, are left out; and how many there were.

        Of all neighbours that make a piece together the best-scored pair comes first, and the
        leftmost of equals.
        """
        parts = self._vocabulary.characters(word)
        if parts is None:
            return word, 0
        after = list(range(1, len(parts) + 1))  # what follows a part: neighbours as a linked list
        before = list(range(-1, len(parts) - 1))
        agenda: list[tuple[float, int, int, str]] = []

        def propose(left: int, right: int) -> None:
            if left >= 0 and right < len(parts):
                merged = parts[left] + parts[right]
                score = self._vocabulary.scores.get(merged)
                if score is not None:
                    heapq.heappush(agenda, (-score, left, right, merged))

        for left in range(len(parts) - 1):
            propose(left, left + 1)
        turns = 0
        while agenda:
            _, left, right, merged = heapq.heappop(agenda)
            if not parts[left] or parts[left] + parts[right] != merged or after[left] != right:
                continue  # one of the two is part of something else by now
            turns += 1
            if turns - 1 in left_out:
                continue
            parts[left], parts[right] = merged, ""
            after[left] = after[right]
            if after[right] < len(parts):
                before[after[right]] = left
            propose(before[left], left)
            propose(left, after[left])
        return tuple(self._vocabulary.ids[part] for part in parts if part), turns


class _Edges(NamedTuple):
    """The pieces that may end at one place of a word."""

    begins: list[int]
    ids: list[int]
    shares: list[float]  # cumulated: how probable each is, of all ways to get here


class UnigramSampling:
    """Draws from all ways to cut a word, each as probable as P(pieces)^alpha (Kudo, 2018,
    section 3.3, with all of them as candidates): forward filtering, backward sampling."""

    def __init__(self, vocabulary: Vocabulary, alpha: float) -> None:
        self._vocabulary, self._alpha = vocabulary, alpha
        self._lattice_of = lru_cache(CACHED)(self._lattice)

    def draw(self, words: Iterable[Word], chance: random.Random) -> list[int]:
        return [piece for word in words for piece in self._drawn(word, chance)]

    def _drawn(self, word: Word, chance: random.Random) -> Word:
        lattice = self._lattice_of(word) if len(word) <= LONG else self._lattice(word)
        if not lattice:
            return word
        drawn: list[int] = []
        end = len(lattice)
        while end > 0:
            edges = lattice[end - 1]
            chosen = bisect(edges.shares, chance.random() * edges.shares[-1])
            drawn.append(edges.ids[chosen])
            end = edges.begins[chosen]
        return tuple(reversed(drawn))

    def _lattice(self, word: Word) -> list[_Edges]:
        """The edges that end behind each character; none for a word that has to stay."""
        characters = self._vocabulary.characters(word)
        if characters is None:
            return []
        text = "".join(characters)
        reached = [0.0]  # log of the sum over all ways to cut what is before each place
        lattice = []
        for end in range(1, len(text) + 1):
            pieces = {b: text[b:end] for b in range(max(0, end - self._vocabulary.longest), end)}
            known = {b: p for b, p in pieces.items() if p in self._vocabulary.scores}
            logs = [reached[b] + self._alpha * self._vocabulary.scores[p] for b, p in known.items()]
            top = max(logs)
            shares = list(accumulate(math.exp(log - top) for log in logs))
            reached.append(top + math.log(shares[-1]))
            ids = [self._vocabulary.ids[piece] for piece in known.values()]
            lattice.append(_Edges(list(known), ids, shares))
        return lattice


@dataclass(frozen=True)
class SubwordSampling:
    """Draws pieces; what is drawn is a function of (seed, epoch, side, pair) and nothing else."""

    vocabularies: dict[Side, Vocabulary]
    samplers: dict[Side, PieceSampler]  # of the sides that are drawn
    seed: int

    def resample(self, split: TokenizedSplit, pairs: Indices, *, epoch: int) -> TokenizedSplit:
        """Some pairs of a split as a split of their own, in memory, with the pieces of an epoch."""
        sources = self._side("source", *split.sentences(2 * pairs), pairs, epoch)
        targets = self._side("target", *split.sentences(2 * pairs + 1), pairs, epoch)
        sentences = [side for pair in zip(sources, targets, strict=True) for side in pair]
        ids = [id_ for sentence in sentences for id_ in sentence]
        offsets = np.cumsum([0, *map(len, sentences)])
        return TokenizedSplit(np.array(ids, split.ids.dtype), offsets, split.lines[pairs])

    def _side(
        self, side: Side, ids: IntArray, lengths: Indices, pairs: Indices, epoch: int
    ) -> list[list[int]]:
        """The sentences of one side, from ids end to end."""
        stored = [part.tolist() for part in np.split(ids, np.cumsum(lengths)[:-1])]
        if side not in self.samplers:
            return stored
        return [
            self._draw(sentence, side, stream_seed("pieces", side, self.seed, epoch, pair))
            for sentence, pair in zip(stored, pairs.tolist(), strict=True)
        ]

    def _draw(self, sentence: list[int], side: Side, seed: int) -> list[int]:
        words = self.vocabularies[side].words(sentence)
        return self.samplers[side].draw(words, random.Random(seed))


def subword_sampling(
    store: TokenStore, *, source: float, target: float, seed: int
) -> SubwordSampling | None:
    """Sampling for a store's kind of pieces; None where neither side asks for it.

    An amount is the share of BPE merges left out, or alpha of a unigram model; 0 is none.
    """
    kind = BpeDropout if store.config.piece_model == "bpe" else UnigramSampling
    amounts: dict[Side, float] = {"source": source, "target": target}
    vocabularies = {
        side: store.tokenizer(side).vocabulary() for side, amount in amounts.items() if amount
    }
    samplers: dict[Side, PieceSampler] = {
        side: kind(each, amounts[side]) for side, each in vocabularies.items()
    }
    return SubwordSampling(vocabularies, samplers, seed) if samplers else None
