"""Other pieces for the same sentence in every epoch: BPE-dropout (Provilkov et al., 2020) for
merges, subword regularisation (Kudo, 2018) for a unigram model.

SentencePiece has both, but its random generator starts differently in every process, whatever the
seed (seen with 0.2.3), so that a resumed run would differ. Here SentencePiece gives pieces and
scores only, and the sampling is ours. No piece crosses a space: words are split one by one, and
intermediate results of a word are cached.
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

CACHE_SIZE = 100_000  # words, each with its skipped merges: some tens of megabytes
LONGEST_CACHED = 12  # pieces; longer words, such as sentences without spaces, hardly recur
WordIds = tuple[int, ...]


class PieceSampler(Protocol):
    """Draws other pieces for the words of a sentence."""

    def draw(self, words: Iterable[WordIds], rng: random.Random) -> list[int]: ...


class BpeDropout:
    """BPE in which each merge is skipped with some probability (Provilkov et al., 2020)."""

    def __init__(self, vocabulary: Vocabulary, dropout: float) -> None:
        self._vocabulary = vocabulary
        self._log_kept = math.log1p(-dropout) if dropout < 1 else -math.inf
        self._merge_cached = lru_cache(CACHE_SIZE)(self._merge)

    def draw(self, words: Iterable[WordIds], rng: random.Random) -> list[int]:
        """Merges are numbered word after word; the gaps between skipped ones are drawn."""
        drawn: list[int] = []
        skipped_next = self._gap(rng)  # number of the next skipped merge, from this word's first
        for word in words:
            if len(word) > LONGEST_CACHED:
                drawn += self._draw_long(word, rng)
                continue
            skipped: tuple[int, ...] = ()
            pieces, merges = self._merge_cached(word, skipped)
            while skipped_next < merges:
                skipped = (*skipped, skipped_next)
                pieces, merges = self._merge_cached(word, skipped)
                skipped_next += 1 + self._gap(rng)
            skipped_next -= merges
            drawn += pieces
        return drawn

    def _draw_long(self, word: WordIds, rng: random.Random) -> WordIds:
        """All skipped merges are drawn first, and the word is merged once."""
        characters = sum(len(self._vocabulary.spelling(number)) for number in word)
        skipped, merge = set[int](), self._gap(rng)
        while merge < 3 * characters:  # a merge makes two new pairs of neighbours at most
            skipped.add(merge)
            merge += 1 + self._gap(rng)
        return self._merge(word, skipped)[0]

    def _gap(self, rng: random.Random) -> int:
        """The number of merges before the next skipped one: a geometric distribution."""
        gap = math.log(1 - rng.random()) / self._log_kept
        return int(min(gap, 1e9))

    def _merge(self, word: WordIds, skipped: Collection[int]) -> tuple[WordIds, int]:
        """The pieces when some merges, counted from 0, are skipped; and the number of merges.

        Of all neighbours that form a piece the pair with the best score comes first, and the
        leftmost of equals.
        """
        parts = self._vocabulary.characters(word)
        if parts is None:
            return word, 0
        after = list(range(1, len(parts) + 1))  # neighbours as a linked list
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
        merges = 0
        while agenda:
            _, left, right, merged = heapq.heappop(agenda)
            if not parts[left] or parts[left] + parts[right] != merged or after[left] != right:
                continue  # one of the two has been merged since
            merges += 1
            if merges - 1 in skipped:
                continue
            parts[left], parts[right] = merged, ""
            after[left] = after[right]
            if after[right] < len(parts):
                before[after[right]] = left
            propose(before[left], left)
            propose(left, after[left])
        return tuple(self._vocabulary.ids[part] for part in parts if part), merges


class _Edges(NamedTuple):
    """The pieces that may end at one position of a word."""

    begins: list[int]
    ids: list[int]
    shares: list[float]  # cumulative probabilities, up to a factor


class UnigramSampling:
    """Draws a segmentation of a word with probability ~ P(pieces)^alpha (Kudo, 2018, section 3.3,
    with all segmentations as candidates): forward filtering, backward sampling."""

    def __init__(self, vocabulary: Vocabulary, alpha: float) -> None:
        self._vocabulary, self._alpha = vocabulary, alpha
        self._lattice_of = lru_cache(CACHE_SIZE)(self._lattice)

    def draw(self, words: Iterable[WordIds], rng: random.Random) -> list[int]:
        return [piece for word in words for piece in self._draw_word(word, rng)]

    def _draw_word(self, word: WordIds, rng: random.Random) -> WordIds:
        lattice = self._lattice_of(word) if len(word) <= LONGEST_CACHED else self._lattice(word)
        if not lattice:
            return word
        drawn: list[int] = []
        end = len(lattice)
        while end > 0:
            edges = lattice[end - 1]
            chosen = bisect(edges.shares, rng.random() * edges.shares[-1])
            drawn.append(edges.ids[chosen])
            end = edges.begins[chosen]
        return tuple(reversed(drawn))

    def _lattice(self, word: WordIds) -> list[_Edges]:
        """The edges that end after each character; none for a word that cannot be split anew."""
        characters = self._vocabulary.characters(word)
        if characters is None:
            return []
        text = "".join(characters)
        reached = [0.0]  # log of the sum over all segmentations up to each position
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
    """Draws pieces for pairs, as a function of (seed, epoch, side, pair) alone."""

    vocabularies: dict[Side, Vocabulary]
    samplers: dict[Side, PieceSampler]  # of the sides that are sampled
    seed: int

    def resample(self, split: TokenizedSplit, pairs: Indices, *, epoch: int) -> TokenizedSplit:
        """Some pairs of a split as a split in memory, with the pieces drawn for an epoch."""
        sources = self._resample_side("source", *split.sentences(2 * pairs), pairs, epoch)
        targets = self._resample_side("target", *split.sentences(2 * pairs + 1), pairs, epoch)
        sentences = [side for pair in zip(sources, targets, strict=True) for side in pair]
        ids = [id_ for sentence in sentences for id_ in sentence]
        offsets = np.cumsum([0, *map(len, sentences)])
        return TokenizedSplit(np.array(ids, split.ids.dtype), offsets, split.lines[pairs])

    def _resample_side(
        self, side: Side, ids: IntArray, lengths: Indices, pairs: Indices, epoch: int
    ) -> list[list[int]]:
        """The pieces of each sentence of one side; `ids` are those in the store, concatenated."""
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
    """Sampling that fits a store's piece model; None where both amounts are 0.

    source, target: the share of BPE merges to skip, or alpha of a unigram model; 0 is no sampling
    """
    sampler = BpeDropout if store.config.piece_model == "bpe" else UnigramSampling
    amounts: dict[Side, float] = {"source": source, "target": target}
    vocabularies = {
        side: store.tokenizer(side).vocabulary() for side, amount in amounts.items() if amount
    }
    samplers: dict[Side, PieceSampler] = {
        side: sampler(each, amounts[side]) for side, each in vocabularies.items()
    }
    return SubwordSampling(vocabularies, samplers, seed) if samplers else None
