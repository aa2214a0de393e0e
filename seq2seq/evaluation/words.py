"""Words of translations beside those of references: by frequency, repeated, dropped, different."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

FREQUENCY_BOUNDS = (1, 2, 3, 4, 5, 10, 100, 1000)
"""The first frequency of each bucket but the first, as in compare-mt (Neubig et al., 2019)."""
TOP_WORDS = 10

Change = Literal["same", "missing", "added"]


class FrequencyBucket(NamedTuple):
    """How well words of a frequency are translated, as compare-mt counts it: in a sentence a word
    matches as often as it is in both texts."""

    low: int
    high: int | None  # None: any number
    matches: int
    in_references: int
    in_hypotheses: int

    @property
    def label(self) -> str:
        if self.high is None:
            return f"{self.low:,}+"
        return f"{self.low:,}" if self.low == self.high else f"{self.low:,}–{self.high:,}"

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall, 0 to 1."""
        total = self.in_references + self.in_hypotheses
        return 2 * self.matches / total if total else 0.0


class WordFaults(NamedTuple):
    """Words that translations have too often or lack."""

    words: int  # of the hypotheses
    repeated: int  # of them: again in the same sentence, and more often than in the reference
    reference_words: int
    dropped: int  # of them: not in the hypothesis as often as in the reference
    most_repeated: tuple[tuple[str, int], ...]
    most_dropped: tuple[tuple[str, int], ...]

    @property
    def repeated_share(self) -> float:
        return self.repeated / max(self.words, 1)

    @property
    def dropped_share(self) -> float:
        return self.dropped / max(self.reference_words, 1)


def by_frequency(
    hypotheses: Sequence[str],
    references: Sequence[str],
    frequencies: Mapping[str, int],
    bounds: Sequence[int] = FREQUENCY_BOUNDS,
) -> list[FrequencyBucket]:
    """One bucket for each range of frequencies that a word of either text has.

    frequencies: how often a word is in the training text; a word that is not has 0
    """
    edges = [0, *bounds]
    counts = [[0, 0, 0] for _ in edges]  # matches, in references, in hypotheses

    def bucket(word: str) -> int:
        count = frequencies.get(word, 0)
        return sum(count >= bound for bound in bounds)

    for hypothesis, reference in zip(hypotheses, references, strict=True):
        theirs, ours = Counter(reference.split()), Counter(hypothesis.split())
        for word, count in theirs.items():
            found = counts[bucket(word)]
            found[0] += min(count, ours[word])
            found[1] += count
        for word, count in ours.items():
            counts[bucket(word)][2] += count
    highs = [edge - 1 for edge in edges[1:]]
    ends: list[int | None] = [*highs, None]
    return [
        FrequencyBucket(low, high, *figures)
        for low, high, figures in zip(edges, ends, counts, strict=True)
        if any(figures)
    ]


def word_faults(hypotheses: Sequence[str], references: Sequence[str]) -> WordFaults:
    """Repeated and dropped words of all sentences."""
    repeated, dropped = Counter[str](), Counter[str]()
    words = reference_words = 0
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        ours, theirs = Counter(hypothesis.split()), Counter(reference.split())
        words += ours.total()
        reference_words += theirs.total()
        for word, count in ours.items():
            if (excess := count - max(theirs[word], 1)) > 0:
                repeated[word] += excess
        dropped.update(theirs - ours)
    return WordFaults(
        words,
        repeated.total(),
        reference_words,
        dropped.total(),
        tuple(repeated.most_common(TOP_WORDS)),
        tuple(dropped.most_common(TOP_WORDS)),
    )


def word_changes(reference: str, hypothesis: str) -> Iterator[tuple[Change, str]]:
    """The words of both texts in order: those of both, those that are missing, those added."""
    ours, theirs = hypothesis.split(), reference.split()
    for tag, i, j, k, m in SequenceMatcher(None, theirs, ours, autojunk=False).get_opcodes():
        if tag == "equal":
            yield "same", " ".join(theirs[i:j])
            continue
        if theirs[i:j]:
            yield "missing", " ".join(theirs[i:j])
        if ours[k:m]:
            yield "added", " ".join(ours[k:m])


def sentence_chrf(hypotheses: Sequence[str], references: Sequence[str]) -> list[float]:
    """chrF of each sentence, 0 to 100 (Popovic, 2015), by sacreBLEU."""
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF()
    return [
        float(metric.sentence_score(hypothesis, [reference]).score)
        for hypothesis, reference in zip(hypotheses, references, strict=True)
    ]
