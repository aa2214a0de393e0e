"""Weights of a noisy channel, chosen by the quality of the candidates that they rank first."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

REVERSE_WEIGHTS = tuple(step / 10 for step in range(16))  # 0 to 1.5
LENGTH_REWARDS = tuple(step / 10 for step in range(-5, 21))  # -0.5 to 2


@dataclass(frozen=True, slots=True)
class Features:
    """The features by which a candidate y of a source x is ranked."""

    text: str
    forward: float  # log P(y|x)
    reverse: float  # log P(x|y)
    pieces: int

    def score(self, reverse_weight: float, length_reward: float) -> float:
        """The log-linear model of Yee et al. (2019), equation 5, without a language model, and with
        a reward of each piece in place of a division by the length."""
        return self.forward + reverse_weight * self.reverse + length_reward * self.pieces


@dataclass(frozen=True, slots=True)
class TunedWeights:
    """The weights with the highest chrF, and the chrF of the first candidates, 0 to 100."""

    reverse_weight: float
    length_reward: float
    chrf: float
    chrf_before: float


def tuned_weights(
    candidates: Sequence[Sequence[Features]], references: Sequence[str]
) -> TunedWeights:
    """The weights of a grid whose best candidates have the highest chrF as a corpus.

    candidates: of each sentence at least one, the first one the translation without rescoring. Of
    equally good weights the smallest are chosen.
    """
    import numpy as np
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF()
    statistics = [
        metric._extract_corpus_statistics([each.text.rstrip() for each in own], [[text] * len(own)])
        for own, text in zip(candidates, references, strict=True)
    ]

    def chrf(chosen: Sequence[int]) -> float:
        own = [rows[index] for rows, index in zip(statistics, chosen, strict=True)]
        return float(metric._compute_f_score(np.array(own).sum(0).tolist()))

    widest = max(map(len, candidates))
    table = np.full((3, len(candidates), widest), -np.inf)  # forward, reverse, pieces
    table[1:] = 0.0
    for row, own in enumerate(candidates):
        for column, each in enumerate(own):
            table[:, row, column] = each.forward, each.reverse, each.pieces
    found = []
    for reverse_weight, length_reward in product(REVERSE_WEIGHTS, LENGTH_REWARDS):
        scores = table[0] + reverse_weight * table[1] + length_reward * table[2]
        size = reverse_weight + abs(length_reward)
        best = chrf(scores.argmax(axis=1).tolist())
        found.append((best, -size, reverse_weight, length_reward))
    best, _, reverse_weight, length_reward = max(found)
    before = chrf([0] * len(candidates))
    return TunedWeights(reverse_weight, length_reward, best, before)
