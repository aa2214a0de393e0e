"""Counts of clean training text, by which settings are chosen."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from data.corpus import SentencePair
from data.words import words_of


@dataclass(frozen=True, slots=True)
class CorpusStatistics:
    """Counts of the training text by which settings are chosen."""

    source_words: int  # of the whole corpus; see `data.words` for scripts without spaces
    target_words: int
    character_counts: tuple[int, ...]
    """How often each distinct character occurs on either side, the most frequent first."""
    altered_targets: float
    """Share of the targets whose words NFKC would change; changes of white space do not count."""

    def as_json(self) -> dict[str, Any]:
        """All but the counts of characters, of which it has the number."""
        return {
            "source_words": self.source_words,
            "target_words": self.target_words,
            "characters": len(self.character_counts),
            "altered_targets": self.altered_targets,
        }


def measure(pairs: Sequence[SentencePair], *, share: float = 1.0) -> CorpusStatistics:
    """Statistics of a corpus, of which `pairs` are a share; only its words are scaled up."""
    tokens, characters = [0, 0], (Counter[str](), Counter[str]())
    for pair in pairs:
        for side, line in enumerate(pair):
            words = line.split()
            tokens[side] += len(words)
            characters[side].update("".join(words))
    source, target = (
        round(words_of(*counts) / share) for counts in zip(tokens, characters, strict=True)
    )
    both = characters[0] + characters[1]
    counts = tuple(sorted(both.values(), reverse=True))
    altered = sum(_altered_by_nfkc(pair.target) for pair in pairs)
    return CorpusStatistics(source, target, counts, altered / max(len(pairs), 1))


def _altered_by_nfkc(line: str) -> bool:
    if unicodedata.is_normalized("NFKC", line):
        return False
    return unicodedata.normalize("NFKC", line).split() != line.split()
