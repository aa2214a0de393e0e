"""BLEU and chrF by the length of the source, with bootstrap bands: the curve that made attention
famous (Bahdanau et al., 2015, figure 2)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from seq2seq.evaluation.quality import bleu_metric, comparable_lines

BOOTSTRAP_SAMPLES = 300
BOOTSTRAP_SEED = 12345
_WIDTHS = (1, 2, 5, 10, 20, 50)
_BINS = 8  # at most, that are made by themselves


class LengthBin(NamedTuple):
    """Sentences whose source has `low` to `high` words."""

    low: int
    high: int | None  # None: any number
    sentences: int

    @property
    def label(self) -> str:
        if self.high is None:
            return f"{self.low}+"
        return str(self.low) if self.low == self.high else f"{self.low}–{self.high}"


class BinScore(NamedTuple):
    """A score of the sentences of a bin, and the middle 95 % of it in bootstrap samples."""

    score: float
    low: float
    high: float


def source_words(lines: Sequence[str]) -> list[int]:
    """Words between spaces of each line."""
    return [len(line.split()) for line in lines]


def length_bins(lengths: Sequence[int], bounds: Sequence[int] | None = None) -> list[LengthBin]:
    """The bins that have sentences.

    bounds: the first length of each bin but the first, ascending; None: bins of an equal width,
        eight at most, of which the last has the longest twentieth too
    """
    if not lengths:
        return []
    if bounds is None:
        longest = float(np.quantile(lengths, 0.95))
        width = next((w for w in _WIDTHS if longest / w <= _BINS), _WIDTHS[-1])
        starts = range(1 + width, int(longest) + 1, width)
        bounds = list(starts)
    edges = [min(0, *lengths), *bounds]
    bins = []
    for index, low in enumerate(edges):
        high = edges[index + 1] - 1 if index + 1 < len(edges) else None
        inside = [n for n in lengths if n >= low and (high is None or n <= high)]
        if inside:
            bins.append(LengthBin(max(low, min(lengths)), high, len(inside)))
    return bins


def scores_by_length(
    hypotheses: Sequence[Sequence[str]],
    references: Sequence[str],
    lengths: Sequence[int],
    bins: Sequence[LengthBin],
    *,
    target_language: str | None = None,
    samples: int = BOOTSTRAP_SAMPLES,
) -> dict[str, list[BinScore]]:
    """BLEU and chrF of each bin, by "bleu" and "chrf".

    hypotheses: those of each seed, for the same references; their sentences are counted together
    lengths: source words of each sentence

    Sentences are drawn with replacement, with the translations of all seeds, always with one seed.
    """
    from sacrebleu.metrics.chrf import CHRF

    bleu, _ = bleu_metric(target_language, None, lowercase=False)
    found: dict[str, list[BinScore]] = {}
    for name, metric in (("bleu", bleu), ("chrf", CHRF())):
        statistics = np.zeros(0)  # [sentences, statistics], summed over seeds
        for each in hypotheses:
            lines, texts = comparable_lines(each, [references])
            own = np.array(metric._extract_corpus_statistics(lines, texts), np.float64)
            statistics = own + statistics if statistics.size else own
        found[name] = []
        for each_bin in bins:
            rows = statistics[[_is_in(n, each_bin) for n in lengths]]
            rng = np.random.default_rng(BOOTSTRAP_SEED)
            drawn = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=samples)
            scores = [metric._compute_score_from_stats(s.tolist()).score for s in drawn @ rows]
            low, high = np.quantile(scores, [0.025, 0.975])
            score = metric._compute_score_from_stats(rows.sum(axis=0).tolist()).score
            found[name].append(BinScore(float(score), float(low), float(high)))
    return found


def _is_in(length: int, each: LengthBin) -> bool:
    return length >= each.low and (each.high is None or length <= each.high)
