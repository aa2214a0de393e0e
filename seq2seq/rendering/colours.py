"""How strongly weights are shaded, and in which colours."""

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

GAMMA = 0.6
"""Makes small weights visible: a shade is (weight / largest) ** GAMMA."""

# From weight 0 to the largest: one hue (245 degrees in OKLCH) in even steps of lightness. Every
# cell has a background, also at weight 0, so a drawing is right even where a dark terminal is taken
# for a light one.
DARK = ("#0b1c2a", "#0b3553", "#104f7b", "#156ba6", "#3089cb", "#56a7e9", "#86c6fb", "#c2e2ff")
LIGHT = ("#f1f8fd", "#c6dcef", "#99c1e3", "#6ba6d7", "#368ac9", "#116eac", "#075485", "#013b60")
_BLACK_FROM = 0.179  # relative luminance from which black has more contrast than white

Channels: TypeAlias = tuple[int, int, int]


def shades(weights: ArrayLike) -> NDArray[np.float64]:
    """(weight / the row's largest) ** GAMMA, rounded to hundredths: 0 to 1. [..., S]

    Weights that are not finite or below 0 count as 0.
    """
    values = np.asarray(weights, np.float64)
    finite = np.where(np.isfinite(values), np.maximum(values, 0.0), 0.0)
    largest = finite.max(axis=-1, initial=0.0, keepdims=True)
    shares = np.divide(finite, largest, out=np.zeros(finite.shape), where=largest > 0)
    found: NDArray[np.float64] = np.round(shares**GAMMA, 2)
    return found


def text_colour(background: Channels) -> str:
    """Black or white, whichever has more contrast: at least 4.58 to 1 (WCAG 2, success 1.4.3)."""
    return "#000000" if luminance(background) > _BLACK_FROM else "#ffffff"


def luminance(colour: Channels) -> float:
    """Relative luminance of WCAG 2, from 0 to 1. colour: red, green, blue, 0 to 255"""
    red, green, blue = (
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
        for share in (channel / 255 for channel in colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
