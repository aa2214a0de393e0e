"""Settings of section `data` that `preprocess` chooses by the corpus, unless they are given.

Pure functions of the corpus' statistics: equal text gives equal settings. docs/training-data.md has
the reasons.
"""

from collections.abc import Collection
from itertools import accumulate
from math import floor, sqrt
from typing import Any

from data.config import DataConfig
from data.preparation.statistics import CorpusStatistics

CHOSEN_SETTINGS = ("vocabulary_size", "character_coverage", "normalization")

PIECES_PER_ROOT_OF_WORDS = 10
FEWEST_PIECES, MOST_PIECES = 500, 32_000
RESERVED_PIECES = 260  # 256 bytes and 4 special ids
FEWEST_OCCURRENCES = 3  # of a character with a piece of its own, and at least
RAREST = 1e-6  # this share of all characters
LOWEST_COVERAGE = 0.98  # SentencePiece takes no less
MANY_ALTERED = 0.01  # of the targets; 0 to 0.2 % of European text, 7 to 19 % of East Asian text


def choose_settings(
    statistics: CorpusStatistics, config: DataConfig, names: Collection[str]
) -> DataConfig:
    """The config with other values for the settings of these names, some of `CHOSEN_SETTINGS`."""
    counts = statistics.character_counts
    frequent = frequent_characters(counts)
    chosen: dict[str, Any] = {}
    if "vocabulary_size" in names:
        is_given = "character_coverage" not in names
        covered = covered_characters(counts, config.character_coverage) if is_given else frequent
        words = words_to_cut(statistics, joint=config.joint)
        chosen["vocabulary_size"] = vocabulary_size(words, covered)
    if "character_coverage" in names:
        size = chosen.get("vocabulary_size", config.vocabulary_size)
        chosen["character_coverage"] = character_coverage(counts, frequent, size)
    if "normalization" in names:
        altered = statistics.altered_targets >= MANY_ALTERED
        chosen["normalization"] = "identity" if altered else "nmt_nfkc"
    return DataConfig(**config.model_dump() | chosen)


def words_to_cut(statistics: CorpusStatistics, *, joint: bool) -> int:
    """The words that one model cuts into pieces; of separate models the one with more words."""
    words = statistics.source_words, statistics.target_words
    return sum(words) if joint else max(words)


def vocabulary_size(words: int, characters: int) -> int:
    """Pieces for a text of so many words, to two significant figures.

    Where the characters with a piece are many, there are as many other pieces as characters.
    """
    size = min(max(PIECES_PER_ROOT_OF_WORDS * sqrt(words), FEWEST_PIECES), MOST_PIECES)
    return int(float(f"{max(size, RESERVED_PIECES + 2 * characters):.2g}"))


def frequent_characters(counts: tuple[int, ...]) -> int:
    """The number of characters that occur often enough to learn an embedding of their own.

    There are never fewer than the lowest coverage needs.
    """
    fewest = max(FEWEST_OCCURRENCES, RAREST * sum(counts))
    frequent = sum(count >= fewest for count in counts)
    return max(frequent, covered_characters(counts, LOWEST_COVERAGE))


def covered_characters(counts: tuple[int, ...], coverage: float) -> int:
    """The number of the most frequent characters that reach a coverage."""
    wanted = coverage * sum(counts)
    return sum(before < wanted for before in accumulate(counts[:-1], initial=0)) if counts else 0


def character_coverage(counts: tuple[int, ...], frequent: int, size: int) -> float:
    """The share of all characters that the frequent ones have.

    They take at most half of a vocabulary of `size` pieces; the rest are written as bytes.
    """
    most = max((size - RESERVED_PIECES) // 2, 1)
    share = sum(counts[: min(frequent, most)]) / max(sum(counts), 1)
    return max(floor(share * 1e7) / 1e7, LOWEST_COVERAGE)
