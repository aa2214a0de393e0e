"""Repeated pairs and distributions of lengths, computed from the scans of both sides."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.health.report import Distribution, Histogram
from data.health.shifts import BLANK
from data.health.side_scan import EXAMPLES, SideScan

BARS = 24  # of a histogram


@dataclass(frozen=True, slots=True)
class Copies:
    """Repeated, ambiguous and untranslated pairs."""

    duplicates: int  # beyond the first
    most: int  # copies of the commonest pair
    commonest: int  # its first line
    ambiguous: int
    ambiguous_lines: tuple[int, ...]  # lines of one ambiguous source
    identical: NDArray[np.int64]  # line numbers of pairs whose sides are equal


def find_copies(left: SideScan, right: SideScan, pairs: int) -> Copies:
    """Compares lines by hash: a false match in one of 400,000 corpora of ten million lines."""
    filled = np.flatnonzero(_filled(left, right, pairs))
    sources = left.hashes()[:pairs][filled].view(np.uint64)
    targets = right.hashes()[:pairs][filled].view(np.uint64)
    identical = filled[sources == targets] + 1
    if not len(filled):
        return Copies(0, 0, 0, 0, (), identical)
    both = sources * np.uint64(0x9E3779B97F4A7C15) + targets  # wraps
    _, firsts, counts = np.unique(both, return_index=True, return_counts=True)
    top = np.flatnonzero(counts == counts.max())
    commonest = int(firsts[top].min())  # the earliest of equals
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
    """Distributions of the lengths of nonblank lines, with equal histogram edges for all sides.

    Each side is its line lengths and the greatest of them, which the lengths may be clipped below.
    """
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


def length_ratio(left: SideScan, right: SideScan, pairs: int) -> Distribution | None:
    """Target characters per source character, of the pairs with text on both sides."""
    filled = _filled(left, right, pairs)
    sources = left.traces().characters[:pairs][filled]
    targets = right.traces().characters[:pairs][filled]
    ratios: NDArray[np.float32] = np.divide(targets, sources, dtype=np.float32)
    edges = np.exp2(np.linspace(-2, 2, BARS + 1)[:-1])  # 1/4 to 4, evenly on a log scale
    return _distribution(ratios, edges)


def _filled(left: SideScan, right: SideScan, pairs: int) -> NDArray[np.bool_]:
    """Whether each pair has text on both sides. [pairs]"""
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
