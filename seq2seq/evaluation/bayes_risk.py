"""Minimum Bayes risk: the translation that is most like all the others, by a metric of quality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from seq2seq.evaluation.quality import bleu_metric

Utility = Literal["chrf", "bleu"]


def expected_utilities(
    hypotheses: Sequence[str],
    weights: Sequence[float],
    *,
    utility: Utility = "chrf",
    target_language: str | None = None,
) -> list[float]:
    """The mean utility of each hypothesis, 0 to 100, with all hypotheses as its references.

    u(h) = sum_r w_r u(h, r) / sum_r w_r, Kumar & Byrne (2004), equation 2, for a gain in place of a
    loss; with samples of equal weight as in Eikema & Aziz (2020), section 5. u(h, r) is
    sacreBLEU's chrF of a sentence, or its BLEU, whose order is that of the hypothesis at most.
    """
    total: dict[str, float] = {}
    for text, weight in zip(hypotheses, weights, strict=True):
        total[text] = total.get(text, 0.0) + weight
    compare = _chrf(list(total)) if utility == "chrf" else _bleu(target_language)
    mass = sum(total.values())
    means = {
        text: sum(weight * compare(text, other) for other, weight in total.items()) / mass
        for text in total
    }
    return [means[text] for text in hypotheses]


def sentence_utility(
    hypothesis: str, reference: str, *, utility: Utility, target_language: str | None = None
) -> float:
    """sacreBLEU's chrF or BLEU of a sentence, 0 to 100, as in `expected_utilities`."""
    compare = _chrf([hypothesis, reference]) if utility == "chrf" else _bleu(target_language)
    return compare(hypothesis, reference)


def _chrf(texts: Sequence[str]) -> Callable[[str, str], float]:
    """chrF of two of these texts, whose n-grams are counted once."""
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF()
    counted = [metric._extract_reference_info([text.rstrip()])["ref_ngrams"][0] for text in texts]
    ngrams = dict(zip(texts, counted, strict=True))

    def compare(hypothesis: str, reference: str) -> float:
        statistics: list[int] = []
        for own, other in zip(ngrams[hypothesis], ngrams[reference], strict=True):
            statistics += metric._get_match_statistics(own, other)
        return float(metric._compute_f_score(statistics))

    return compare


def _bleu(target_language: str | None) -> Callable[[str, str], float]:
    metric, _ = bleu_metric(target_language, None, lowercase=False)
    metric.effective_order = True
    return lambda hypothesis, reference: float(
        metric.sentence_score(hypothesis.rstrip(), [reference.rstrip()]).score
    )
