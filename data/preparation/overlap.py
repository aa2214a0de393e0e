"""Pairs of the validation set that are training pairs, too."""

from collections import Counter
from collections.abc import Iterable

from data.corpora import Corpus, CorpusFiles


def count_overlap(valid: CorpusFiles, corpora: Iterable[Corpus]) -> int:
    """Pairs of the validation set, blank ones aside, both lines of which are a training pair."""
    held_out = Counter(pair for pair in valid.raw_pairs() if all(side.strip() for side in pair))
    training = (pair for corpus in corpora for pair in corpus.files.raw_pairs())
    return sum(held_out[pair] for pair in {pair for pair in training if pair in held_out})
