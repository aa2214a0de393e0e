"""Statistics of attention over a corpus, and how doubtful each of its sentences is."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from seq2seq.evaluation.alignment import END_MARK, END_OF_SENTENCE, Alignment, FloatArray

Counts = NDArray[np.int64]

MOST_LINKS = 5
"""Source words with so many target words or more are counted together."""
FARTHEST_JUMP = 5
"""Jumps so far or farther are counted together."""
UNATTENDED = 0.1
"""A source word is unattended where its weights sum to less."""


@dataclass(frozen=True, slots=True)
class SentenceAttention:
    """The attention a_ts of a translation of T target and S source words, ends included.

    The penalties are those of Rikters et al. (2017), "Visualizing Neural Machine Translation
    Attention and Confidence", without their sign: 0 is best.
    """

    target_words: int  # T
    source_words: int  # S
    coverage_deviation: float
    """1/S sum over s of log(1 + (1 - sum over t of a_ts)^2)."""
    absentmindedness_out: float
    """1/T sum over t and s of -a_ts log a_ts: the mean entropy of a target word, in nats."""
    absentmindedness_in: float
    """1/S sum over s of the entropy, in nats, of the weights that source word s has at all target
    words, scaled to a sum of 1."""
    steps: int  # target words after another one, the ends of both sentences left out
    steps_in_order: int  # those whose largest weight is not to the left of that of the one before
    fertilities: Counts  # [MOST_LINKS + 1] source words with 0, 1, ... largest weights
    jumps: Counts  # [2 FARTHEST_JUMP + 1] steps by how far to the right they go
    unattended: int  # source words, the end left out
    agreement: float | None  # of heads, 0 to 1; None with one head

    @property
    def doubt(self) -> float:
        """The sum of the three penalties."""
        return self.coverage_deviation + self.absentmindedness_out + self.absentmindedness_in

    @property
    def confidence(self) -> float:
        """exp(-0.05 doubt^2), 0 to 1: Rikters (2018), "Debugging Neural Machine Translations"."""
        return float(np.exp(-0.05 * self.doubt**2))


@dataclass(frozen=True, slots=True)
class CorpusAttention:
    """Means and counts over all sentences; means are over words, not over sentences."""

    sentences: int
    target_words: int
    source_words: int
    entropy: float  # nats, of a target word's weights: `absentmindedness_out`
    coverage_deviation: float  # of a source word
    absentmindedness_in: float  # nats, of a source word
    monotonicity: float  # share of steps in order
    unattended: float  # share of source words
    fertilities: Counts
    jumps: Counts
    agreement: float | None  # mean over target words


def sentence_attention(
    alignment: Alignment, heads: Sequence[FloatArray] = ()
) -> SentenceAttention | None:
    """The statistics of one translation's attention; None where a side has no label.

    heads: the weights [T, S] of each head
    """
    weights = np.asarray(alignment.weights, np.float64)
    if not weights.size:
        return None
    target, source = weights.shape
    covered = weights.sum(axis=0)  # [S]
    by_source = np.divide(weights, covered, out=np.zeros_like(weights), where=covered > 0)
    inner = weights[: _words(alignment.target), : _words(alignment.source)]
    best = inner.argmax(axis=1) if inner.size else np.zeros(0, np.int64)
    moves = np.diff(best)
    links = np.bincount(best, minlength=inner.shape[1])
    return SentenceAttention(
        target_words=target,
        source_words=source,
        coverage_deviation=float(np.log1p((1 - covered) ** 2).mean()),
        absentmindedness_out=float(_entropy(weights).sum() / target),
        absentmindedness_in=float(_entropy(by_source).sum() / source),
        steps=len(moves),
        steps_in_order=int((moves >= 0).sum()),
        fertilities=np.bincount(np.minimum(links, MOST_LINKS), minlength=MOST_LINKS + 1),
        jumps=np.bincount(
            np.clip(moves, -FARTHEST_JUMP, FARTHEST_JUMP) + FARTHEST_JUMP,
            minlength=2 * FARTHEST_JUMP + 1,
        ),
        unattended=int((covered[: inner.shape[1]] < UNATTENDED).sum()),
        agreement=head_agreement(heads),
    )


def head_agreement(heads: Sequence[FloatArray]) -> float | None:
    """How much two heads attend alike: the mean over target words and pairs of heads of the sum
    over s of min(a_s, b_s), which is 1 for equal weights. None for fewer than two heads."""
    overlaps = [np.minimum(a, b).sum(axis=1).mean() for a, b in combinations(heads, 2)]
    return float(np.mean(overlaps)) if overlaps else None


def corpus_attention(sentences: Sequence[SentenceAttention]) -> CorpusAttention:
    """Sums over the sentences before any division; there must be one at least."""
    target = sum(each.target_words for each in sentences)
    source = sum(each.source_words for each in sentences)
    steps = sum(each.steps for each in sentences)
    inner_source = sum(int(each.fertilities.sum()) for each in sentences)
    agreements = [
        (each.agreement, each.target_words) for each in sentences if each.agreement is not None
    ]
    return CorpusAttention(
        sentences=len(sentences),
        target_words=target,
        source_words=source,
        entropy=sum(each.absentmindedness_out * each.target_words for each in sentences) / target,
        coverage_deviation=sum(e.coverage_deviation * e.source_words for e in sentences) / source,
        absentmindedness_in=sum(e.absentmindedness_in * e.source_words for e in sentences) / source,
        monotonicity=sum(each.steps_in_order for each in sentences) / steps if steps else 1.0,
        unattended=sum(each.unattended for each in sentences) / max(inner_source, 1),
        fertilities=np.sum([each.fertilities for each in sentences], axis=0),
        jumps=np.sum([each.jumps for each in sentences], axis=0),
        agreement=sum(value * words for value, words in agreements)
        / sum(words for _, words in agreements)
        if agreements
        else None,
    )


def _entropy(weights: FloatArray) -> FloatArray:
    """-a log a of each weight, in nats; 0 log 0 is 0."""
    logs = np.log(weights, where=weights > 0, out=np.zeros_like(weights))
    entropy: FloatArray = -weights * logs
    return entropy


def _words(labels: tuple[str, ...]) -> int:
    """The number of labels before the end of the sentence."""
    return len(labels) - (labels[-1:] in ((END_OF_SENTENCE,), (END_MARK,)))
