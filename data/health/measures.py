"""Copies and lengths, from what is remembered of both sides."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.health.report import Distribution, Histogram
from data.health.shifts import BLANK
from data.health.side import EXAMPLES, Side

BARS = 24  # of a histogram


@dataclass(frozen=True, slots=True)
class Copies:
    duplicates: int
    most: int  # copies of the commonest pair
    commonest: int  # its first line
    ambiguous: int
    ambiguous_lines: tuple[int, ...]  # lines of one ambiguous source
    identical: NDArray[np.int64]  # line numbers


def find_copies(left: Side, right: Side, pairs: int) -> Copies:
    """Equal lines by equal hashes; among ten million lines, one false match in 400,000 corpora."""
    filled = np.flatnonzero(_filled(left, right, pairs))
    sources = left.hashes()[:pairs][filled].view(np.uint64)
    targets = right.hashes()[:pairs][filled].view(np.uint64)
    identical = filled[sources == targets] + 1
    if not len(filled):
        return Copies(0, 0, 0, 0, (), identical)
    both = sources * np.uint64(0x9E3779B97F4A7C15) + targets  # wraps
    _, firsts, counts = np.unique(both, return_index=True, return_counts=True)
    # the earliest of the commonest
    top = np.flatnonzero(counts == counts.max())
    commonest = int(firsts[top].min())
    distinct, choices = np.unique(sources[firsts], return_counts=True)
    several = distinct[choices > 1]
    lines: tuple[int, ...] = ()
    if len(several):
        richest = distinct[choices.argmax()]
        own = np.sort(firsts[sources[firsts] == richest])[:EXAMPLES]
        lines = tuple((filled[own] + 1).tolist())
    return Copies(
        duplicates=len(filled) - len(counts),
        most=int(counts.max()),
        commonest=int(filled[commonest]) + 1,
        ambiguous=len(several),
        ambiguous_lines=lines,
        identical=identical,
    )


def length_distributions(
    *sides: tuple[NDArray[np.uint16], int],
) -> list[Distribution | None]:
    """Lengths of the lines that are not blank, on one scale for all sides."""
    filled = [lengths[lengths > 0] for lengths, _ in sides]
    reach = max(
        (float(np.percentile(lengths, 99)) for lengths in filled if len(lengths)), default=0
    )
    step = max(1, -(-int(reach) // (BARS - 1)))
    edges = np.arange(BARS) * step
    return [
        _distribution(lengths, edges, greatest=longest)
        for lengths, (_, longest) in zip(filled, sides, strict=True)
    ]


def length_ratio(left: Side, right: Side, pairs: int) -> Distribution | None:
    """Target characters per source character, of pairs with text on both sides."""
    filled = _filled(left, right, pairs)
    sources = left.traces().characters[:pairs][filled]
    targets = right.traces().characters[:pairs][filled]
    ratios: NDArray[np.float32] = np.divide(targets, sources, dtype=np.float32)
    edges = np.exp2(np.linspace(-2, 2, BARS + 1)[:-1])  # a quarter to four times, in equal ratios
    return _distribution(ratios, edges)


def _filled(left: Side, right: Side, pairs: int) -> NDArray[np.bool_]:
    """Which pairs have text on both sides."""
    endings = left.traces().ending[:pairs], right.traces().ending[:pairs]
    filled: NDArray[np.bool_] = (endings[0] != BLANK) & (endings[1] != BLANK)
    return filled


def _distribution(
    values: NDArray[np.uint16] | NDArray[np.float32],
    edges: NDArray[Any],
    *,
    greatest: float | None = None,
) -> Distribution | None:
    if not len(values):
        return None
    bars = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 1)
    least, low, middle, high, higher, most = np.percentile(
        values, [0, 5, 50, 95, 99, 100], method="lower"
    ).tolist()
    return Distribution(
        least=least,
        percentile_5=low,
        median=middle,
        percentile_95=high,
        percentile_99=higher,
        greatest=most if greatest is None else greatest,
        histogram=Histogram(
            tuple(edges.tolist()), tuple(np.bincount(bars, minlength=len(edges)).tolist())
        ),
    )
