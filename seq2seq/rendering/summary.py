"""Figures below a drawing: entropy of the rows, coverage of the columns, confidence."""

import math
import textwrap

from seq2seq.evaluation.alignment import (
    END_MARK,
    Alignment,
    FloatArray,
    coverage,
    display_labels,
    row_entropy,
)
from seq2seq.rendering.drawing import Span, Spans, clip
from seq2seq.rendering.labels import cell_width, packed, printable
from seq2seq.system.figures import BLOCKS

LEAST_COVERAGE = 0.1
"""Source words whose weights sum to less are named."""


def summary(
    alignment: Alignment, *, width: int, probability: float | None = None
) -> tuple[Spans, ...]:
    """Lines of at most `width` cells; none for an alignment without words.

    Entropy (nats, a block from 0 to log S for each target word), coverage (a block from 0 to the
    largest, at least 1, for each source word), source words with little of it, and the probability
    of a target piece.
    """
    if not alignment.weights.size:
        return ()
    entropies, covered = row_entropy(alignment), coverage(alignment)
    source = [printable(label) for label in display_labels(alignment.source)]
    target = [printable(label) for label in display_labels(alignment.target)]
    least = [
        label
        for label, sum_ in zip(source, covered, strict=True)
        if sum_ < LEAST_COVERAGE and label != END_MARK
    ]
    highest = int(entropies.argmax())
    lines = [
        *_chart(
            "entropy",
            entropies / math.log(max(2, len(source))),
            [
                f"mean {entropies.mean():.2f} nats,",
                f"highest {entropies[highest]:.2f}: {target[highest]}",
            ],
            width,
        ),
        *_chart(
            "coverage",
            covered / max(1.0, covered.max()),
            [f"highest {covered.max():.2f}: {source[int(covered.argmax())]}"],
            width,
        ),
        *(packed([f"coverage under {LEAST_COVERAGE:g}:", *least], width) if least else []),
    ]
    if probability is not None:
        said = f"confidence {probability:.2f}: the mean probability of a target piece"
        lines += textwrap.wrap(said, width)
    return tuple(clip((Span(line, quiet=True),), width) for line in lines)


def _chart(name: str, shares: FloatArray, said: list[str], width: int) -> list[str]:
    """A block for each share from 0 to 1, on one line with what is said of them if that fits."""
    blocks = "".join(BLOCKS[round(7 * min(max(share, 0.0), 1.0))] for share in shares.tolist())
    line = f"{name:<8} {blocks}  {' '.join(said)}"
    if cell_width(line) <= width:
        return [line]
    parts = [blocks[first : first + width] for first in range(0, len(blocks), width)]
    return [*packed([f"{name}:", *said], width, between=" "), *parts]
