"""Training splits of given ids, without a token store."""

from collections.abc import Sequence

import numpy as np

from data.token_store import TokenizedSplit


def split_of(*pairs: tuple[Sequence[int], Sequence[int]]) -> TokenizedSplit:
    """Pairs of source ids and target ids; their lines are 0, 1, ..."""
    sentences = [ids for pair in pairs for ids in pair]
    return TokenizedSplit(
        ids=np.array([each for ids in sentences for each in ids], dtype=np.int32),
        offsets=np.cumsum([0, *map(len, sentences)]),
        lines=np.arange(len(pairs)),
    )
