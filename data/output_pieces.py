"""Output pieces: those of the target vocabulary that a model may write.

Of a joint vocabulary about half never occur in a target. All that a model could learn of them is
never to write them, so its output layer leaves them out. Text that training never had can still
be spelled: in shorter pieces, and in bytes where no piece has a character.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.tokenization import WORD_START, PieceIds, Tokenizer, WordNumbers
from seq2seq.batch import EOS
from seq2seq.system.files import sha256_of

OUTPUT_IDS = "output.ids"
_DTYPE = np.dtype("<i4")


def output_ids(tokenizer: Tokenizer, occurring: npt.NDArray[np.bool_]) -> PieceIds:
    """The ids that a model may write, ascending. occurring [V], in training targets -> [V']

    Besides those that occur they are EOS, every byte and the space: what spells any text.
    """
    found = occurring.copy()
    found[[EOS, *tokenizer.byte_ids]] = True
    if (space := tokenizer.vocabulary().ids.get(WORD_START)) is not None:
        found[space] = True
    return found.nonzero()[0].astype(np.int32)


class OutputTokenizer(Tokenizer):
    """Encodes text with output pieces alone, so that a model can give it a probability.

    Any other piece is respelled: in the fewest output pieces, of equally few those with the longest
    last one; bytes stand for a character that no output piece has. Decoding gives the same text.
    """

    def __init__(
        self, model: bytes, output_ids: PieceIds, *, name: str = "the SentencePiece model"
    ) -> None:
        super().__init__(model, name=name)
        self._vocabulary = self.vocabulary()
        self._output_ids = frozenset(output_ids.tolist())
        self._ids = {p: i for p, i in self._vocabulary.ids.items() if i in self._output_ids}
        self._respell_cached = lru_cache(None)(self._respell)

    def encode(self, text: str) -> list[int]:
        """Output ids without BOS and EOS."""
        return self._in_output_pieces(super().encode(text))

    def encode_all(self, texts: Sequence[str]) -> list[PieceIds]:
        """The output ids of many texts, faster than one by one."""
        found = super().encode_all(texts)
        return [np.array(self._in_output_pieces(ids.tolist()), np.int32) for ids in found]

    def encode_with_words(self, texts: Sequence[str]) -> list[tuple[PieceIds, WordNumbers]]:
        """The output ids of texts, and the number of the word between spaces that each spells."""
        respelled = []
        for ids, words in super().encode_with_words(texts):
            parts = [self._in_output_pieces([id_]) for id_ in ids.tolist()]
            repeated = np.repeat(words, [len(part) for part in parts])
            respelled.append((np.array([*chain(*parts)], np.int32), repeated))
        return respelled

    def _in_output_pieces(self, ids: list[int]) -> list[int]:
        return [
            new
            for old in ids
            for new in ((old,) if old in self._output_ids else self._respell_cached(old))
        ]

    def _respell(self, old: int) -> tuple[int, ...]:
        """Output ids that together spell a piece."""
        piece = self._vocabulary.spelling(old)
        fewest: list[tuple[int, ...]] = [()]  # that spell the first 0, 1, 2, ... characters
        for end in range(1, len(piece) + 1):
            in_bytes = (self.byte_ids[byte] for byte in piece[end - 1].encode())
            spellings = [
                (*fewest[begin], self._ids[piece[begin:end]])
                for begin in range(end)
                if piece[begin:end] in self._ids
            ]
            fewest.append(min([*spellings, (*fewest[end - 1], *in_bytes)], key=len))
        return fewest[-1]


def write_output_ids(folder: Path, ids: PieceIds) -> dict[str, int | str]:
    """Write them into a store; returns their count and hash, as meta.json has them."""
    path = folder / OUTPUT_IDS
    path.write_bytes(ids.astype(_DTYPE).tobytes())
    return {"count": len(ids), "sha256": sha256_of(path)}


def read_output_ids(folder: Path) -> PieceIds:
    """The output ids of a store or run. [V']"""
    return np.frombuffer((folder / OUTPUT_IDS).read_bytes(), _DTYPE)
