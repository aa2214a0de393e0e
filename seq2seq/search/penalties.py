"""The length penalty, which turns a hypothesis's log-probability into the score it is ranked by."""


def check_alpha(alpha: float) -> None:
    """Raise ValueError for a negative or non-finite exponent, where the bound below fails."""
    if not 0.0 <= alpha < float("inf"):
        raise ValueError(f"length_penalty is {alpha}; it must be finite and not below 0")


def length_divisor(length: int, *, alpha: float) -> float:
    """lp(y) = ((5 + |y|) / 6) ** alpha, Wu et al. (2016), equation 14; 1 for alpha 0.

    `length` counts EOS. The score of a hypothesis is log P(y | x) / lp(y); the coverage term of
    the same equation is not applied.

    This also bounds the score of every completion of an unfinished hypothesis. Let p <= 0 be its
    log-probability and L its maximum length. A completion y has log P(y) <= p, since each id adds
    at most 0, and 0 < lp(y) <= lp(L), since alpha >= 0 and |y| <= L. A number that is not positive
    rises when its divisor grows, so log P(y) / lp(y) <= p / lp(y) <= p / lp(L). Division rounds
    monotonically, so the bound also holds in floating point. (A coverage term, never positive,
    would keep it.)
    """
    return float(((5.0 + length) / 6.0) ** alpha)
