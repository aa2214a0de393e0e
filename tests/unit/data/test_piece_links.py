"""Links of pieces that are learnt from the pairs of a split: which are kept, and of what."""

import numpy as np
import pytest
from splits import split_of

from data import piece_links
from data.piece_links import PieceLinks

VOCABULARIES = {"source_vocabulary": 10, "target_vocabulary": 20}
PAIRS = [
    ([4, 5], [14, 15]), ([5, 4], [15, 14]), ([6, 4], [14, 16]), ([4], [14]), ([5], [15]),
    ([6, 4, 5], [14, 15, 16]), ([6, 5], [15, 16]), ([5, 4, 5], [15, 14, 15]),
] * 4  # fmt: skip
"""4 is 14, 5 is 15 and 6 is 16."""
TAG = 3


def test_no_piece_is_linked_to_a_tag_where_14_follows_from_nothing_else():
    split = split_of(*(([TAG, *source], [*target, 14]) for source, target in PAIRS))
    free = PieceLinks.learn(split, **VOCABULARIES)
    assert any(free.matrix(pair)[:, 0].any() for pair in range(len(split)))
    links = PieceLinks.learn(split, **VOCABULARIES, tags=[TAG])
    for pair in range(len(split)):
        matrix = links.matrix(pair)
        assert not matrix[:, 0].any() and matrix[:, 1:].any()


@pytest.mark.parametrize("together", [1, 5])
def test_a_pair_has_the_same_links_however_many_are_computed_together(monkeypatch, together):
    blank = ([], [14]), ([4], [])
    split = split_of(blank[0], *PAIRS, *blank)  # also at both ends
    at_once = PieceLinks.learn(split, **VOCABULARIES)
    monkeypatch.setattr(piece_links, "_LINKS", together)
    links = PieceLinks.learn(split, **VOCABULARIES)
    assert len(links.ends) == len(links.sizes) == len(split)
    for pair, (target, source) in enumerate(links.sizes):
        matrix = links.matrix(pair)
        assert matrix.shape == (target + 1, source + 1)
        assert matrix == pytest.approx(at_once.matrix(pair), abs=1e-6)
        assert matrix.any() == bool(target and source)
    assert {links.pieces.dtype, links.sizes.dtype} == {np.dtype(np.int32)}
