"""Other pieces for the same sentence in every epoch: subword regularisation (Kudo, 2018) with a
unigram model, BPE-dropout (Provilkov et al., 2020) with merges.

The store keeps ids and no text, so the text is what the ids spell. A sentence whose text does not
give its ids back, such as one with bytes that are no character, keeps the pieces it has.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from data.token_store import Indices, IntArray, Side, TokenizedSplit, TokenStore
from data.tokenization import Tokenizer


@dataclass(frozen=True)
class SubwordSampling:
    """Draws pieces; what is drawn is a function of (seed, epoch, side, pair) and nothing else."""

    tokenizers: dict[Side, Tokenizer]
    amounts: dict[Side, float]  # alpha of a unigram model, share of BPE merges left out; 0 is none
    seed: int

    def redrawn(self, split: TokenizedSplit, pairs: Indices, *, epoch: int) -> TokenizedSplit:
        """Some pairs of a split as a split of their own, in memory, with the pieces of an epoch."""
        sources = self._side("source", *split.sentences(2 * pairs), pairs, epoch)
        targets = self._side("target", *split.sentences(2 * pairs + 1), pairs, epoch)
        sentences = [side for pair in zip(sources, targets, strict=True) for side in pair]
        offsets = np.cumsum([0, *map(len, sentences)])
        return TokenizedSplit(np.concatenate(sentences), offsets, split.lines[pairs])

    def _side(
        self, side: Side, ids: IntArray, lengths: Indices, pairs: Indices, epoch: int
    ) -> list[IntArray]:
        """The sentences of one side, from ids end to end."""
        stored = np.split(ids, np.cumsum(lengths)[:-1])
        if not self.amounts[side]:
            return stored
        tags = set(self.tokenizers[side].tags.values())
        fronts = [int(int(sentence[0]) in tags) for sentence in stored]  # 1 for a tag that stays
        texts = self.tokenizers[side].decode_all(stored)  # which leaves tags out
        again = self.tokenizers[side].encode_all(texts)
        return [
            np.concatenate([kept[:front], self._drawn(text, side, pair, epoch)])
            if np.array_equal(encoded, kept[front:])
            else kept
            for text, encoded, kept, front, pair in zip(
                texts, again, stored, fronts, pairs.tolist(), strict=True
            )
        ]

    def _drawn(self, text: str, side: Side, pair: int, epoch: int) -> IntArray:
        stream = f"pieces:{side}:{self.seed}:{epoch}:{pair}"
        digest = hashlib.blake2b(stream.encode(), digest_size=4).digest()
        seed = int.from_bytes(digest, "big") >> 1  # 32 ones mean any seed to SentencePiece
        return self.tokenizers[side].sample(text, amount=self.amounts[side], seed=seed)


def subword_sampling(
    store: TokenStore, *, source: float, target: float, seed: int
) -> SubwordSampling | None:
    """Sampling with the pieces of a store; None where neither side asks for it."""
    if not source and not target:
        return None
    return SubwordSampling(
        tokenizers={"source": store.tokenizer("source"), "target": store.tokenizer("target")},
        amounts={"source": source, "target": target},
        seed=seed,
    )
