"""The error rate of word links against those that people drew, with its uncertainty."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seq2seq.evaluation.alignment import FloatArray, Link

BOOTSTRAP_SAMPLES = 1000
BOOTSTRAP_SEED = 12345
MEASURES = ("aer", "precision", "recall", "f1")


class LinkCounts(NamedTuple):
    """Links A of a model, sure links S and possible links P of people, summed over sentences."""

    links: int  # |A|
    sure: int  # |S|
    possible: int  # |P|, the sure ones included
    sure_hits: int  # |A & S|
    possible_hits: int  # |A & P|


class Interval(NamedTuple):
    """The middle 95 % of the values in bootstrap samples."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class AlignmentQuality:
    """Links compared with those of people; all measures from 0 to 1.

    A lower error rate is better, and so are higher precision, recall and F1.
    """

    counts: LinkCounts
    sentences: int
    aer: float
    precision: float
    recall: float
    f1: float  # the harmonic mean of precision and recall
    intervals: dict[str, Interval]  # by the names of `MEASURES`; empty without a bootstrap


def alignment_error_rate(
    links: Sequence[Set[Link]],
    sure: Sequence[Set[Link]],
    possible: Sequence[Set[Link]],
    *,
    bootstrap_samples: int = 0,
) -> AlignmentQuality:
    """Compare links A, one set for each sentence, with people's sure links S and possible links P.

    precision = |A & P| / |A|, recall = |A & S| / |S|,
    AER = 1 - (|A & S| + |A & P|) / (|A| + |S|), Och and Ney (2003), section 5.

    A sure link counts as possible too. Counts are summed over the corpus before any division; with
    nothing to count, precision and recall are 1 and AER is 0. The bootstrap draws sentences with
    replacement (Koehn, 2004), always with the same seed.
    """
    counts = np.array(
        [_count(*sentence) for sentence in zip(links, sure, possible, strict=True)], np.int64
    ).reshape(-1, 5)  # [n, 5]
    total = counts.sum(axis=0)
    aer, precision, recall, f1 = _rates(total).tolist()
    intervals: dict[str, Interval] = {}
    if bootstrap_samples and len(counts):
        drawn = np.random.Generator(np.random.PCG64(BOOTSTRAP_SEED)).multinomial(
            len(counts), np.full(len(counts), 1 / len(counts)), size=bootstrap_samples
        )  # [samples, n] how often each sentence is drawn
        low, high = np.quantile(_rates(drawn @ counts), [0.025, 0.975], axis=0).tolist()
        intervals = dict(zip(MEASURES, map(Interval, low, high), strict=True))
    totals = LinkCounts(*total.tolist())
    return AlignmentQuality(totals, len(counts), aer, precision, recall, f1, intervals)


def _count(found: Set[Link], sure: Set[Link], possible: Set[Link]) -> LinkCounts:
    possible = sure | possible
    return LinkCounts(
        len(found), len(sure), len(possible), len(found & sure), len(found & possible)
    )


def _rates(counts: NDArray[np.int64]) -> FloatArray:
    """Counts [..., 5] -> AER, precision, recall and F1, [..., 4]"""
    links, sure, _, sure_hits, possible_hits = np.moveaxis(counts.astype(np.float64), -1, 0)

    def ratio(part: FloatArray, whole: FloatArray, empty: float) -> FloatArray:
        filled = np.full(np.shape(whole), empty)
        np.divide(part, whole, out=filled, where=whole > 0)
        return filled

    aer = 1 - ratio(sure_hits + possible_hits, links + sure, 1.0)
    precision, recall = ratio(possible_hits, links, 1.0), ratio(sure_hits, sure, 1.0)
    f1 = ratio(2 * precision * recall, precision + recall, 0.0)
    rates: FloatArray = np.stack([aer, precision, recall, f1], axis=-1)
    return rates
