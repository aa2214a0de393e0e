"""Normalizers: scores become weights that are not negative and sum to 1.

All take scores [..., S] and a boolean mask that broadcasts to them, True = may attend, and return
weights [..., S], exactly 0 where the mask is False. A wholly masked row gives zeros, never NaN,
and passes no gradient.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from seq2seq.attention.masks import masked_softmax

Normalizer = Callable[[Tensor, Tensor | None], Tensor]


def sparsemax(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """The nearest point of the simplex: p_i = max(0, z_i - tau).

    Martins & Astudillo (2016), Algorithm 1: with z sorted downwards, the support is the first k
    entries with 1 + k z_k > z_1 + ... + z_k, and tau makes the weights sum to 1.
    """
    if not scores.shape[-1]:
        return scores
    z, allowed = _shifted_scores(scores, mask, reach=1.0)
    ranked, ranks = _ranked(z)
    sums = ranked.cumsum(-1)
    support = (1 + ranks * ranked > sums).sum(-1, keepdim=True)  # k [..., 1]
    tau = (sums.gather(-1, support - 1) - 1) / support
    return ((z - tau).clamp(min=0) * allowed).to(scores.dtype)


def entmax15(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """1.5-entmax, between softmax and sparsemax: p_i = max(0, z_i / 2 - tau)^2.

    Peters, Niculae & Martins (2019), Algorithm 2: over the k largest z / 2, with mean m and sum
    of squared deviations d, tau(k) = m - sqrt((1 - d) / k); the support is the largest k whose
    tau lies below its smallest entry.
    """
    if not scores.shape[-1]:
        return scores
    z, allowed = _shifted_scores(scores, mask, reach=2.0)
    z = z / 2
    ranked, ranks = _ranked(z)
    mean = ranked.cumsum(-1) / ranks
    deviation = ranked.square().cumsum(-1) - ranks * mean.square()  # [..., S]
    taus = mean - _root((1 - deviation) / ranks)
    support = (taus <= ranked).sum(-1, keepdim=True)  # k [..., 1]
    tau = taus.gather(-1, support - 1)
    return ((z - tau).clamp(min=0).square() * allowed).to(scores.dtype)


NORMALIZERS: dict[str, Normalizer] = {
    "softmax": masked_softmax,
    "sparsemax": sparsemax,
    "entmax15": entmax15,
}


def _shifted_scores(scores: Tensor, mask: Tensor | None, *, reach: float) -> tuple[Tensor, Tensor]:
    """Scores minus the largest, in float32 at least, and which of them are allowed.

    Both functions give weight 0 to every score that is `reach` or more below the largest, so scores
    are clamped at twice that: no sum overflows. Forbidden scores are set to the same bound.
    """
    z = scores.to(torch.promote_types(scores.dtype, torch.float32))
    floor = torch.finfo(z.dtype).min
    if mask is not None:
        z = z.masked_fill(~mask, floor)
    allowed = z > floor
    z = (z - z.amax(-1, keepdim=True).detach()).clamp(min=-2 * reach)
    return z.masked_fill(~allowed, -2 * reach), allowed


def _ranked(z: Tensor) -> tuple[Tensor, Tensor]:
    """Entries sorted downwards [..., S], and their ranks 1..S."""
    ranks = torch.arange(1, z.shape[-1] + 1, device=z.device, dtype=z.dtype)
    return z.sort(-1, descending=True).values, ranks


def _root(x: Tensor) -> Tensor:
    """The square root of positive entries; 0 for the others, with gradient 0 (not infinity)."""
    positive = x > 0
    return torch.where(positive, x.where(positive, 1.0).sqrt(), 0.0)
