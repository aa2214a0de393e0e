"""Findings about a corpus that is not enough for what is asked of it, from numbers alone."""

import numpy as np
import numpy.typing as npt

from data.health.changed_text import changed_validation_text
from data.health.report import Finding
from data.token_store import TokenizedSplit, TokenStore
from data.words import count_words
from seq2seq.system.figures import counted, percent, plural

FEWEST_PAIRS = 500
FEW_PAIRS = 2000
FEWEST_VALIDATION_SENTENCES = 200
FEWEST_VALIDATION_WORDS = 2000
MANY_LONG_SOURCES = 0.01  # of the validation set
_PAIRS_FOR_LANGUAGE = 2000  # enough to know which side is in which language
_SURE_OF_LANGUAGE = 0.1  # nats a piece by which the sides of two languages differ at least

_MORE_PAIRS = (
    "add pairs, or start from a model of more text of these languages (--pieces-of, --start-from)"
)


def store_findings(store: TokenStore) -> list[Finding]:
    """Warnings about a store, before a model is trained on it."""
    train, valid = store.split("train"), store.split("valid")
    longest = int(train.source_lengths.max())
    longer = int(np.count_nonzero(valid.source_lengths > longest))
    texts = store.valid_text("source"), store.valid_text("target")
    found = [
        *changed_validation_text(*texts),
        swapped_validation(store),
        few_pairs(len(train)),
        training_pairs_in_validation(store.meta.get("overlap", 0), len(valid)),
        small_validation(len(valid), count_words(texts[1])),
        long_sources_in_validation(longer, len(valid), longest),
    ]
    return [finding for finding in found if finding is not None]


def few_pairs(pairs: int) -> Finding | None:
    """pairs: that are left to train on"""
    if not pairs or pairs >= FEW_PAIRS:
        return None
    outlook = (
        "too few to train a useful translator on"
        if pairs < FEWEST_PAIRS
        else "enough to translate sentences like them, too few for others"
    )
    return Finding("few-pairs", "note", f"{counted(pairs, 'pair')}: {outlook}", pairs, _MORE_PAIRS)


def training_pairs_in_validation(overlap: int, pairs: int) -> Finding | None:
    """overlap: the pairs of the validation set, of all its `pairs`, that are training pairs"""
    if not overlap:
        return None
    return Finding(
        "overlap",
        "warning",
        f"{counted(overlap, 'pair')} of the validation set ({percent(overlap / pairs)}) "
        f"{plural(overlap, 'is a training pair', 'are training pairs')}: its scores are too good",
        overlap,
        "remove them from the training text, or validate with other text",
    )


def swapped_validation(store: TokenStore) -> Finding | None:
    """Whether the validation source is in the target language, and the other way round.

    Each side is scored by the frequencies of pieces on either side of the first training pairs;
    where both are one language, either may fit better by a little.
    """
    if not store.joint:
        return None
    size = store.meta["target_vocabulary"]
    train, valid = (_counts(store.split(name), size) for name in ("train", "valid"))
    log_shares = [np.log((side + 1) / (side.sum() + size)) for side in train]
    as_given = valid[0] @ log_shares[0] + valid[1] @ log_shares[1]
    as_swapped = valid[0] @ log_shares[1] + valid[1] @ log_shares[0]
    if as_swapped - as_given < _SURE_OF_LANGUAGE * (valid[0].sum() + valid[1].sum()):
        return None
    return Finding(
        "swapped-validation",
        "warning",
        "the sides of the validation set seem to be swapped: its sources are like the training "
        "targets, its targets like the training sources",
        len(store.split("valid")),
        "swap --valid-source and --valid-target",
    )


def _counts(split: TokenizedSplit, size: int) -> list[npt.NDArray[np.int64]]:
    """How often each piece occurs in the first sources, and in the first targets. [V] each"""
    pairs = range(min(len(split), _PAIRS_FOR_LANGUAGE))
    return [
        np.bincount(np.concatenate([side(pair) for pair in pairs]), minlength=size)
        for side in (split.source, split.target)
    ]


def small_validation(pairs: int, words: int) -> Finding | None:
    """pairs, words: of the validation set, the words on its target side"""
    if pairs >= FEWEST_VALIDATION_SENTENCES and words >= FEWEST_VALIDATION_WORDS:
        return None
    return Finding(
        "small-validation",
        "warning",
        f"the validation set has {counted(pairs, 'sentence')} of {counted(words, 'word')}: too "
        "little to tell which of two checkpoints is better",
        pairs,
        f"take {FEWEST_VALIDATION_SENTENCES} sentences and {FEWEST_VALIDATION_WORDS:,} words or "
        "more, if need be out of the training text",
    )


def long_sources_in_validation(longer: int, pairs: int, longest: int) -> Finding | None:
    """longer: the validation sources, of all `pairs`, with more pieces than the longest training
    source has"""
    if not longer or longer < MANY_LONG_SOURCES * pairs:
        return None
    return Finding(
        "long-validation-sources",
        "warning",
        f"{counted(longer, 'source')} of the validation set ({percent(longer / pairs)}) "
        f"{plural(longer, 'is', 'are')} longer than any training source ({longest:,} pieces): "
        "such sentences are translated badly",
        longer,
        "train on longer text, or translate sentence by sentence; data.max_words and "
        "data.max_pieces limit the training pairs",
    )


def part_of_an_epoch(epochs: float, minutes: float | None) -> Finding | None:
    """epochs: that will be trained; minutes: the limit, or None where it is that of the updates"""
    if epochs >= 1:
        return None
    limit = "the updates" if minutes is None else f"at this speed {minutes:g} minutes"
    more = "more updates (training.updates)" if minutes is None else "more --minutes"
    return Finding(
        "part-of-an-epoch",
        "warning",
        f"{limit} are {epochs:.2g} epochs: some training pairs will never be used",
        0,
        f"give {more}, or train a smaller model or on fewer pairs",
    )
