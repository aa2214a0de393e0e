"""Find where two files stop being aligned line by line, as after a missing line.

Each line has three small traces: its length, its final punctuation, and a 64-bit sketch of its
numbers and word beginnings (names, numbers and cognates survive translation). For source line i and
target line i + k the traces give a log-likelihood ratio, "translations of each other" against "any
two lines of this corpus", and the offsets k along the corpus are the states of a Markov chain: the
best path (Viterbi) changes k where a line is missing, at a cost for each change. Gale and Church
(1993) aligned sentences by lengths in this way; the ratios here are learnt from the corpus itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

MAX_OFFSET = 8  # lines, in either direction
MAX_CHARACTERS = 65_535  # longer lines count as this long
MAX_STEPS = 20_000  # of the Viterbi search; longer corpora are searched in blocks of lines
NO_OFFSET_SCORE = -0.3  # nats a line; free translations score higher, unrelated lines lower
LEAST_EVIDENCE = 0.15  # nats a line, for any offset but 0; related sides give 0.5 and more
ROUNDS = 3  # of estimating the ratios and finding the path

BLANK = 0
_MARKS = {
    mark: number
    for number, marks in enumerate(
        (".。．।։۔", "?？؟;", "!！", ":：", ";；؛", ",，、،", "…", ")）]」』】", "\"'”’“»«›‹"),
        start=1,
    )
    for mark in marks
}
_OTHER, _CLASSES = 10, 11

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LineTraces:
    """Length, ending and sketch of the lines of one file; one element a line."""

    characters: NDArray[np.uint16]
    ending: NDArray[np.uint8]  # class of the final punctuation, BLANK for a blank line
    sketch: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.characters)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Source lines `first` to `last` (from 1) are aligned with target lines `offset` later."""

    first: int
    last: int
    offset: int | None  # lines; None where no offset matches


def trace_lines(lines: Sequence[str]) -> LineTraces:
    """The traces of consecutive lines of one file."""
    return LineTraces(
        np.fromiter(map(len, lines), np.int64, len(lines))
        .clip(max=MAX_CHARACTERS)
        .astype(np.uint16),
        np.fromiter(map(_ending, lines), np.uint8, len(lines)),
        _sketches(lines),
    )


def join_traces(parts: Sequence[LineTraces]) -> LineTraces:
    if not parts:
        return trace_lines([])
    return LineTraces(
        np.concatenate([part.characters for part in parts]),
        np.concatenate([part.ending for part in parts]),
        np.concatenate([part.sketch for part in parts]),
    )


def find_stretches(source: LineTraces, target: LineTraces) -> tuple[Stretch, ...]:
    """Split the corpus into stretches of one offset each; a healthy one is one stretch of 0."""
    lines, surplus = len(source), len(target) - len(source)
    if not lines or not len(target):
        return ()
    offsets = sorted({*range(-MAX_OFFSET, MAX_OFFSET + 1), surplus})
    block = -(-lines // MAX_STEPS)  # lines a step
    # A change of offset needs evidence, except one that unequal line counts prove.
    likely: set[int] = {0, surplus} if surplus else set()
    if abs(surplus) <= MAX_OFFSET // 2:  # perhaps one line missing at a time
        likely |= set(range(min(0, surplus), max(0, surplus)))
    cost = [float(np.log(lines)) + (1.0 if k in likely else 10.0) for k in offsets]
    cost.append((1 if surplus else 2) * (float(np.log(lines)) + 10.0))  # to the state of no offset
    ratios = _Ratios(source, target)
    steps = -(-lines // block)
    scores = np.stack([ratios.block_scores(k, block) for k in offsets])  # [K, steps]
    path = np.full(steps, int(scores.sum(axis=1).argmax()))
    for _ in range(ROUNDS):
        ratios.estimate([offsets[state] if state < len(offsets) else None for state in path], block)
        scores = np.stack([ratios.block_scores(k, block) for k in offsets])
        found = _best_path(
            scores, start=offsets.index(0), cost=np.array(cost), no_offset=NO_OFFSET_SCORE * block
        )
        if np.array_equal(found, path):
            break
        path = found
    if not surplus and not _convincing(path, scores, lines):
        path = np.full(steps, offsets.index(0))
    return _refine(path, offsets, block, ratios)


def length_correlation(source: LineTraces, target: LineTraces) -> float | None:
    """Rank correlation of line lengths, -1 to 1; None where the lengths of a side hardly vary."""
    lines = min(len(source), len(target))
    left = source.characters[:lines].astype(np.float64)
    right = target.characters[:lines].astype(np.float64)
    if lines < 3 or left.std() < 1 or right.std() < 1:
        return None
    ranked = np.corrcoef(
        _normal_scores(source.characters[:lines]), _normal_scores(target.characters[:lines])
    )
    return float(ranked[0, 1])


class _Ratios:
    """Log-likelihood ratios of line pairs, in nats, with parameters estimated from the corpus."""

    # The prior: true of most corpora, and with the weight of this many lines.
    PRIOR_LINES = 30.0
    PRIOR_CORRELATION = 0.7
    PRIOR_SHARED = (
        -0.3,
        0.2,
        0.7,
        1.3,
        2.0,
        2.5,
    )  # by bins of shared sketch bits
    CAP = 4.0  # nats, of a single line

    def __init__(self, source: LineTraces, target: LineTraces) -> None:
        self.source, self.target = source, target
        self.source_scores = _normal_scores(source.characters)
        self.target_scores = _normal_scores(target.characters)
        self.source_bits = np.bitwise_count(source.sketch)
        self.target_bits = np.bitwise_count(target.sketch)
        self.correlation = self.PRIOR_CORRELATION
        left = np.bincount(source.ending, minlength=_CLASSES) / len(source)
        right = np.bincount(target.ending, minlength=_CLASSES) / len(target)
        self.unrelated_endings = np.outer(left, right) + 1e-6
        lines = np.arange(len(source))
        shared = self._shared(
            lines, (lines + len(target) // 2) % len(target)
        )  # with lines far away
        counts = np.bincount(shared, minlength=len(self.PRIOR_SHARED)) + 1.0
        self.unrelated_shared: NDArray[np.float64] = counts / counts.sum()
        same = np.eye(_CLASSES, dtype=bool)
        self.prior_endings = np.where(same, 0.5, -0.5)
        self.prior_endings[BLANK, :] = self.prior_endings[:, BLANK] = -3.0
        self.prior_endings[BLANK, BLANK] = 1.0
        self.prior_shared = np.array(self.PRIOR_SHARED)
        self.endings = self.prior_endings
        self.shared = self.prior_shared

    def estimate(self, offsets: Sequence[int | None], block: int) -> None:
        """Estimate the parameters from the pairs on a path, as if they were all translations."""
        known = np.array([k is not None for k in offsets]).repeat(block)[: len(self.source)]
        ahead = np.array([k or 0 for k in offsets]).repeat(block)[: len(self.source)]
        left = np.arange(len(self.source))
        right = left + ahead
        inside = known & (right >= 0) & (right < len(self.target))
        left, right = left[inside], right[inside]
        product = self.source_scores[left] @ self.target_scores[right]
        squares = np.sqrt(
            np.square(self.source_scores[left]).sum() * np.square(self.target_scores[right]).sum()
        )
        correlation = float(product / squares) if squares > 0 else 0.0
        weight = len(left) / (len(left) + self.PRIOR_LINES)
        self.correlation = min(
            max(weight * correlation + (1 - weight) * self.PRIOR_CORRELATION, 0.0), 0.97
        )
        endings = np.bincount(
            self.source.ending[left].astype(np.int64) * _CLASSES + self.target.ending[right],
            minlength=_CLASSES**2,
        ).reshape(_CLASSES, _CLASSES)
        self.endings = self._ratio(endings, self.unrelated_endings, self.prior_endings)
        shared = np.bincount(self._shared(left, right), minlength=len(self.PRIOR_SHARED))
        self.shared = self._ratio(shared, self.unrelated_shared, self.prior_shared)

    def scores(self, offset: int, first: int, last: int) -> Floats:
        """The ratios of source lines first to last - 1 with the targets `offset` later; else 0."""
        found = np.zeros(last - first, np.float32)
        low = max(first, -offset)
        high = min(last, len(self.target) - offset)
        if low >= high:
            return found
        left, right = slice(low, high), slice(low + offset, high + offset)
        a, b, r = self.source_scores[left], self.target_scores[right], self.correlation
        rest = 1 - r * r
        total = -0.5 * np.log(rest) - (r * r * (a * a + b * b) - 2 * r * a * b) / (2 * rest)
        np.clip(total, -self.CAP, self.CAP, out=total)
        total += self.endings[self.source.ending[left], self.target.ending[right]]
        total += self.shared[self._shared(left, right)]
        np.clip(total, -self.CAP, self.CAP, out=total)
        found[low - first : high - first] = total
        return found

    def block_scores(self, offset: int, block: int) -> Floats:
        """The ratios at one offset, summed over blocks of lines. [steps]"""
        whole = self.scores(offset, 0, len(self.source))
        return np.add.reduceat(whole, np.arange(0, len(whole), block))

    def _shared(
        self, left: slice | NDArray[np.int64], right: slice | NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Bins of the number of common sketch bits, less the expectation for unrelated lines."""
        shared = np.bitwise_count(self.source.sketch[left] & self.target.sketch[right])
        expected = self.source_bits[left] * self.target_bits[right].astype(np.float32) / 64
        bins: NDArray[np.int64] = np.floor((shared - expected) * 2 + 1).astype(np.int64)
        return np.clip(bins, 0, len(self.PRIOR_SHARED) - 1, out=bins)

    def _ratio(
        self, counts: NDArray[np.int64], unrelated: NDArray[np.float64], prior: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        expected = unrelated * np.exp(prior)
        expected *= self.PRIOR_LINES / expected.sum()
        share = (counts + expected) / (counts.sum() + self.PRIOR_LINES)
        ratio: NDArray[np.float64] = np.log(share / (unrelated / unrelated.sum()))
        return np.clip(ratio, -self.CAP, self.CAP, out=ratio)


def _convincing(path: NDArray[np.int64], scores: Floats, lines: int) -> bool:
    """Whether the sides are related at all: ratios estimated from noise give low scores."""
    known = np.flatnonzero(path < len(scores))
    return float(scores[path[known], known].sum()) > LEAST_EVIDENCE * lines + 30.0


def _best_path(
    scores: Floats, *, start: int, cost: NDArray[np.float64], no_offset: float
) -> NDArray[np.int64]:
    """Viterbi over the offsets and, as the last state, no offset."""
    states, steps = scores.shape[0] + 1, scores.shape[1]
    columns = np.vstack([scores, np.full((1, steps), no_offset, np.float32)]).T.astype(np.float64)
    best = -cost  # of the best path that ends in each state
    best[start] = 0.0
    came_from = np.empty((steps, states), np.int64)
    stay = np.arange(states)
    for step in range(steps):
        if step:
            top = int(best.argmax())
            jump = best[top] - cost
            jumps = jump > best
            came_from[step] = np.where(jumps, top, stay)
            best = np.where(jumps, jump, best)
        best = best + columns[step]
    path = np.empty(steps, np.int64)
    path[-1] = int(best.argmax())
    for step in range(steps - 1, 0, -1):
        path[step - 1] = came_from[step, path[step]]
    return path


def _refine(
    path: NDArray[np.int64], offsets: Sequence[int], block: int, ratios: _Ratios
) -> tuple[Stretch, ...]:
    """The stretches of a path, each change at its likeliest line near the block's edge."""
    lines = len(ratios.source)
    changes = (np.flatnonzero(np.diff(path)) + 1).tolist()
    edges, values = [0], [int(path[0])]
    for step in changes:
        before, after = int(path[step - 1]), int(path[step])
        edge = step * block
        if block > 1:
            low, high = max(edges[-1] + 1, edge - 2 * block), min(lines, edge + 2 * block)
            gain = _line_scores(ratios, offsets, before, low, high)
            gain = gain - _line_scores(ratios, offsets, after, low, high)
            edge = low + int(np.argmax(np.concatenate([[0.0], np.cumsum(gain)])))
        edges.append(min(edge, lines - 1))
        values.append(after)
    ends = [*edges[1:], lines]
    return tuple(
        Stretch(first + 1, last, offsets[state] if state < len(offsets) else None)
        for first, last, state in zip(edges, ends, values, strict=True)
    )


def _line_scores(
    ratios: _Ratios, offsets: Sequence[int], state: int, low: int, high: int
) -> Floats:
    if state == len(offsets):
        return np.full(high - low, NO_OFFSET_SCORE, np.float32)
    return ratios.scores(offsets[state], low, high)


def _normal_scores(lengths: NDArray[np.uint16]) -> Floats:
    """Each length's rank as a standard normal quantile, so that outliers have no extra weight."""
    counts = np.bincount(lengths)
    present = np.flatnonzero(counts)
    middle = (np.cumsum(counts)[present] - counts[present] / 2) / len(lengths)  # mid-ranks, 0 to 1
    normal = NormalDist()
    table = np.zeros(len(counts), np.float32)
    table[present] = [normal.inv_cdf(share) for share in middle.tolist()]
    return table[lengths]


def _ending(line: str) -> int:
    bare = line.rstrip()
    return _MARKS.get(bare[-1], _OTHER) if bare else BLANK


# Bytes that end a word: spaces, control characters and ASCII punctuation.
_APART = np.array(
    [chr(b) in " _" or b < 0x20 or (b < 0x80 and not chr(b).isalnum()) for b in range(256)]
)
_DIGIT = np.array([0x30 <= b <= 0x39 for b in range(256)])
_LOWER = np.array([b | 0x20 if 0x41 <= b <= 0x5A else b for b in range(256)], np.uint8)
_GOLDEN = np.uint32(0x9E3779B1)  # for multiplicative hashing


def _sketches(lines: Sequence[str]) -> NDArray[np.uint64]:
    """A set of 64 bits a line: one bit for each number, and for the first 4 bytes of each word of
    4 or more bytes."""
    if not lines:
        return np.zeros(0, np.uint64)
    # "\n" cannot be inside a line; surrogates cannot be inside decoded text
    text = np.frombuffer("\n".join(lines).encode() + b"\n\n\n\n", np.uint8)
    apart, digit = _APART[text], _DIGIT[text]
    starts_here = ~apart
    starts_here[1:] &= apart[:-1] | (digit[1:] != digit[:-1])
    starts = np.flatnonzero(starts_here)
    folded = _LOWER[text].astype(np.uint32)
    number = digit[starts]
    code, whole = folded[starts], np.ones(len(starts), bool)
    for index in (1, 2, 3):
        at = starts + index
        whole &= ~apart[at] & (digit[at] == number)
        code = code | np.where(whole, folded[at], 0) << np.uint32(8 * index)
    kept = whole | number
    bits = np.uint64(1) << ((code[kept] * _GOLDEN) >> np.uint32(26)).astype(np.uint64)
    ends = np.flatnonzero(text == 0x0A)
    found = np.zeros(len(lines), np.uint64)
    np.bitwise_or.at(found, np.searchsorted(ends, starts[kept]), bits)
    return found
