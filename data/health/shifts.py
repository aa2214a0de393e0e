"""Where two files stop running side by side: a lost line shows long before anyone reads it.

Each line leaves three small traces: its length, its last mark, and a 64-bit sketch of its numbers
and word beginnings (names, numbers and cognates survive translation). For source line i and target
line i + k the traces give a log-likelihood ratio, "translations of each other" against "any two
lines of this corpus", and the offsets k along the corpus are the states of a Markov chain: the best
path (Viterbi) changes k where a line was lost, and pays for every change. Gale and Church (1993)
aligned sentences by lengths in this way; the ratios here are learnt from the corpus itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

REACH = 8  # lines; offsets tried to either side
LONGEST = 65_535  # characters; longer lines count as this long
STEPS = 20_000  # of the Viterbi search; longer corpora are searched in blocks of lines
LOST = -0.3  # nats a line while no offset fits; free translations are above it, strangers below
PROOF = 0.15  # nats a line; related sides give 0.5 and more
ROUNDS = 3  # of learning the ratios and finding the path

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
    """What is remembered of each line of one file; one element a line."""

    characters: NDArray[np.uint16]
    ending: NDArray[np.uint8]  # class of the last mark, BLANK for a blank line
    sketch: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.characters)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Source lines `first` to `last` (1-based) face the target lines `offset` further on."""

    first: int
    last: int
    offset: int | None  # lines; None where no offset fits


def trace_lines(lines: Sequence[str]) -> LineTraces:
    return LineTraces(
        np.fromiter(map(len, lines), np.int64, len(lines)).clip(max=LONGEST).astype(np.uint16),
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
    """The corpus as stretches of one offset each; a healthy corpus is one stretch of offset 0."""
    lines, surplus = len(source), len(target) - len(source)
    if not lines or not len(target):
        return ()
    offsets = sorted({*range(-REACH, REACH + 1), surplus})
    block = -(-lines // STEPS)  # lines a step
    # A change must convince; but with unequal counts one is certain, and only its place is asked.
    likely: set[int] = {0, surplus} if surplus else set()
    if abs(surplus) <= REACH // 2:  # lost singly, perhaps
        likely |= set(range(min(0, surplus), max(0, surplus)))
    cost = [float(np.log(lines)) + (1.0 if k in likely else 10.0) for k in offsets]
    cost.append((1 if surplus else 2) * (float(np.log(lines)) + 10.0))  # into "no offset fits"
    ratios = _Ratios(source, target)
    steps = -(-lines // block)
    scores = np.stack([ratios.block_scores(k, block) for k in offsets])  # [K, steps]
    path = np.full(steps, int(scores.sum(axis=1).argmax()))
    for _ in range(ROUNDS):
        ratios.learn([offsets[state] if state < len(offsets) else None for state in path], block)
        scores = np.stack([ratios.block_scores(k, block) for k in offsets])
        found = _best_path(scores, start=offsets.index(0), cost=np.array(cost), lost=LOST * block)
        if np.array_equal(found, path):
            break
        path = found
    if not surplus and not _convincing(path, scores, lines):
        path = np.full(steps, offsets.index(0))
    return _refined(path, offsets, block, ratios)


def length_correlation(source: LineTraces, target: LineTraces) -> float | None:
    """Rank correlation of line lengths, -1 to 1; None where one side hardly varies."""
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
    """Log-likelihood ratios of line pairs, in nats, with their learnt parameters."""

    # Before a corpus has spoken: what is true of most, worth this many lines of evidence.
    PRIOR_LINES = 30.0
    PRIOR_CORRELATION = 0.7
    PRIOR_SHARED = (-0.3, 0.2, 0.7, 1.3, 2.0, 2.5)  # by bins of sketch bits shared beyond chance
    CAP = 4.0  # nats; no single line proves more

    def __init__(self, source: LineTraces, target: LineTraces) -> None:
        self.source, self.target = source, target
        self.source_scores = _normal_scores(source.characters)
        self.target_scores = _normal_scores(target.characters)
        self.source_bits = np.bitwise_count(source.sketch)
        self.target_bits = np.bitwise_count(target.sketch)
        self.correlation = self.PRIOR_CORRELATION
        left = np.bincount(source.ending, minlength=_CLASSES) / len(source)
        right = np.bincount(target.ending, minlength=_CLASSES) / len(target)
        self.chance_endings = np.outer(left, right) + 1e-6
        far = np.arange(len(source))
        unrelated = self._shared(far, (far + 7919) % len(target))
        counts = np.bincount(unrelated, minlength=len(self.PRIOR_SHARED)) + 1.0
        self.chance_shared: NDArray[np.float64] = counts / counts.sum()
        same = np.eye(_CLASSES, dtype=bool)
        self.prior_endings = np.where(same, 0.5, -0.5)
        self.prior_endings[BLANK, :] = self.prior_endings[:, BLANK] = -3.0
        self.prior_endings[BLANK, BLANK] = 1.0
        self.prior_shared = np.array(self.PRIOR_SHARED)
        self.endings = self.prior_endings
        self.shared = self.prior_shared

    def learn(self, offsets: Sequence[int | None], block: int) -> None:
        """Take the pairs on the path as translations and count how they agree."""
        known = np.array([k is not None for k in offsets]).repeat(block)[: len(self.source)]
        ahead = np.array([k or 0 for k in offsets]).repeat(block)[: len(self.source)]
        left = np.arange(len(self.source))
        right = left + ahead
        real = known & (right >= 0) & (right < len(self.target))
        left, right = left[real], right[real]
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
        self.endings = self._ratio(endings, self.chance_endings, self.prior_endings)
        shared = np.bincount(self._shared(left, right), minlength=len(self.PRIOR_SHARED))
        self.shared = self._ratio(shared, self.chance_shared, self.prior_shared)

    def scores(self, offset: int, first: int, last: int) -> Floats:
        """For source lines first to last - 1 and their targets `offset` on; 0 beyond the end."""
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
        whole = self.scores(offset, 0, len(self.source))
        return np.add.reduceat(whole, np.arange(0, len(whole), block))

    def _shared(
        self, left: slice | NDArray[np.int64], right: slice | NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Sketch bits in common beyond chance, in bins."""
        shared = np.bitwise_count(self.source.sketch[left] & self.target.sketch[right])
        chance = self.source_bits[left] * self.target_bits[right].astype(np.float32) / 64
        bins: NDArray[np.int64] = np.floor((shared - chance) * 2 + 1).astype(np.int64)
        return np.clip(bins, 0, len(self.PRIOR_SHARED) - 1, out=bins)

    def _ratio(
        self, seen: NDArray[np.int64], chance: NDArray[np.float64], prior: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        expected = chance * np.exp(prior)
        expected *= self.PRIOR_LINES / expected.sum()
        share = (seen + expected) / (seen.sum() + self.PRIOR_LINES)
        ratio: NDArray[np.float64] = np.log(share / (chance / chance.sum()))
        return np.clip(ratio, -self.CAP, self.CAP, out=ratio)


def _convincing(path: NDArray[np.int64], scores: Floats, lines: int) -> bool:
    """Whether the sides are related at all; else the ratios have only learnt what chance did."""
    known = np.flatnonzero(path < len(scores))
    return float(scores[path[known], known].sum()) > PROOF * lines + 30.0


def _best_path(
    scores: Floats, *, start: int, cost: NDArray[np.float64], lost: float
) -> NDArray[np.int64]:
    """Viterbi over offsets and, last, the state "no offset fits"."""
    states, steps = scores.shape[0] + 1, scores.shape[1]
    columns = np.vstack([scores, np.full((1, steps), lost, np.float32)]).T.astype(np.float64)
    best = -cost  # of the best path that ends in each state
    best[start] = 0.0
    came_from = np.empty((steps, states), np.int64)
    stay = np.arange(states)
    for step in range(steps):
        if step:
            top = int(best.argmax())
            jump = best[top] - cost
            moved = jump > best
            came_from[step] = np.where(moved, top, stay)
            best = np.where(moved, jump, best)
        best = best + columns[step]
    path = np.empty(steps, np.int64)
    path[-1] = int(best.argmax())
    for step in range(steps - 1, 0, -1):
        path[step - 1] = came_from[step, path[step]]
    return path


def _refined(
    path: NDArray[np.int64], offsets: Sequence[int], block: int, ratios: _Ratios
) -> tuple[Stretch, ...]:
    """Move each change from the edge of a block to its likeliest line."""
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
        return np.full(high - low, LOST, np.float32)
    return ratios.scores(offsets[state], low, high)


def _normal_scores(lengths: NDArray[np.uint16]) -> Floats:
    """Each length's rank as a standard normal quantile, so that outliers weigh no more."""
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
_GOLDEN = np.uint32(0x9E3779B1)  # multiplicative hashing


def _sketches(lines: Sequence[str]) -> NDArray[np.uint64]:
    """One bit of 64 for each number and for the first 4 bytes of each word of 4 or more."""
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
    for place in (1, 2, 3):
        at = starts + place
        whole &= ~apart[at] & (digit[at] == number)
        code = code | np.where(whole, folded[at], 0) << np.uint32(8 * place)
    kept = whole | number
    bits = np.uint64(1) << ((code[kept] * _GOLDEN) >> np.uint32(26)).astype(np.uint64)
    ends = np.flatnonzero(text == 0x0A)
    found = np.zeros(len(lines), np.uint64)
    np.bitwise_or.at(found, np.searchsorted(ends, starts[kept]), bits)
    return found
