"""The penalties that turn a hypothesis's log-probability into the score that it is ranked by."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

LengthNormalization = Literal["wu", "average", "none"]
_LEAST_COVERED = 1e-6  # attention that a source position has at least, so that its logarithm exists


def check_alpha(alpha: float) -> None:
    """Raise ValueError for a negative or non-finite exponent, where the bound below fails."""
    if not 0.0 <= alpha < float("inf"):
        raise ValueError(f"length_penalty is {alpha}; it must be finite and not below 0")


def length_divisor(
    length: int, *, alpha: float, normalization: LengthNormalization = "wu"
) -> float:
    """lp(y), by which the log-probability of a hypothesis of |y| = `length` ids is divided.

    wu: ((5 + |y|) / 6) ** alpha, Wu et al. (2016), equation 14. average: |y| ** alpha, with alpha
    1 the mean of a piece. none: 1. `length` counts EOS. The score of a hypothesis is
    log P(y | x) / lp(y) + cp(x; y), cp the coverage penalty of the same equation.

    This also bounds the score of every completion of an unfinished hypothesis. Let p <= 0 be its
    log-probability and L its maximum length. A completion y has log P(y) <= p, since each id adds
    at most 0, and 0 < lp(y) <= lp(L), since alpha >= 0 and |y| <= L. A number that is not positive
    rises when its divisor grows, so log P(y) / lp(y) <= p / lp(y) <= p / lp(L). Division rounds
    monotonically, so the bound also holds in floating point; cp, never positive, keeps it.
    """
    if normalization == "none":
        return 1.0
    if normalization == "average":
        return float(max(length, 1) ** alpha)
    return float(((5.0 + length) / 6.0) ** alpha)


@dataclass(frozen=True, slots=True)
class LengthDivisors:
    """The divisor of a hypothesis's log-probability, by its number of ids."""

    alpha: float
    normalization: LengthNormalization

    def of(self, length: int) -> float:
        return length_divisor(length, alpha=self.alpha, normalization=self.normalization)


def coverage_penalty(attended: Tensor, positions: Tensor, *, beta: float) -> Tensor:
    """cp(x; y) = beta * sum_i log(min(sum_j p_ij, 1)), Wu et al. (2016), equation 14.

    attended [..., S'] is the weight sum_j p_ij that each source position has had in all steps;
    positions [..., S'] are 1 for a position that may be attended to, else 0 (or the share of a
    model of an ensemble). A position with less than a millionth counts as with that. -> [...]
    """
    covered = attended.double().clamp(min=_LEAST_COVERED, max=1.0)
    return beta * (positions * covered.log()).sum(-1)


def check_coverage(beta: float, positions: Tensor | None) -> None:
    """Raise ValueError for a weight that is negative or infinite, or positive without attention."""
    if not 0.0 <= beta < float("inf"):
        raise ValueError(f"coverage_penalty is {beta}; it must be finite and not below 0")
    if beta and positions is None:
        raise ValueError("a coverage penalty needs attention: this model has none")


@dataclass(frozen=True, slots=True)
class RunningCoverage:
    """The attention that every source position has had in each unfinished hypothesis."""

    weight: float
    positions: Tensor | None  # [B, S']; None: there is no penalty
    attended: Tensor | None  # [B, K, S']

    @classmethod
    def start(cls, positions: Tensor | None, *, weight: float) -> "RunningCoverage":
        if positions is None or not weight:
            return cls(0.0, None, None)
        positions = positions.double().cpu()
        return cls(weight, positions, torch.zeros_like(positions).unsqueeze(1))

    def attend(self, weights: Tensor | None) -> "RunningCoverage":
        """Add the attention of one more step. weights [B * K, S']"""
        if self.attended is None:
            return self
        assert weights is not None
        added = weights.double().cpu().reshape(self.attended.shape)
        return replace(self, attended=self.attended + added)

    def penalties(self) -> Tensor | None:
        """The terms to add to the score of each row if it ends here. [B * K]"""
        if self.attended is None or self.positions is None:
            return None
        positions = self.positions.unsqueeze(1)  # [B, 1, S']
        return coverage_penalty(self.attended, positions, beta=self.weight).flatten()

    def select(self, rows: Tensor, left: Tensor) -> "RunningCoverage":
        """The rows [B' * K'] of the next step, of the sentences that are left [B] bool."""
        if self.attended is None or self.positions is None:
            return self
        positions = self.positions[left]
        attended = self.attended.flatten(0, 1)[rows]
        return replace(
            self,
            positions=positions,
            attended=attended.reshape(len(positions), -1, positions.shape[1]),
        )
