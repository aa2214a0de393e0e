"""The posterior of links: each source piece's share of what a model with a lexicon writes."""

import numpy as np
import pytest
import torch
from tiny import LUONG, drawn_entries, padded, tiny_model

from seq2seq.batch import PAD
from seq2seq.decoders.lexicon import EPSILON
from seq2seq.evaluation.alignment import Alignment, posterior


def test_the_probability_of_a_piece_is_shared_out_among_the_source_pieces():
    source, target = [5, 6, 7, 9], [8, 9, 4]
    model = tiny_model(LUONG[4], lexicon=4, dtype=torch.float64)
    entries = drawn_entries(11, 4)
    batch = padded([(source, target)])
    with torch.no_grad():
        readouts, weights, bias = model.unroll(batch)
        own = model.logits(readouts)[0].exp()  # [T, V'], as without a lexicon
        expected = model.logits(readouts, bias)[0].softmax(-1)
    ids, labels = batch.source.ids[0].tolist(), batch.labels[0].tolist()
    attention = weights[0].mean(0)  # [T, S]

    def translates(x: int, y: int) -> float:
        of_x = zip(entries.ids[x].tolist(), entries.probabilities[x].tolist(), strict=True)
        return sum(p for id_, p in of_x if id_ == y != PAD)

    columns = model.output.columns[torch.tensor(labels)]
    likelihoods = model.lexicon.link_likelihoods(torch.tensor(ids), columns).numpy()
    names = tuple(map(str, ids)), tuple(map(str, labels))
    found = posterior(Alignment(*names, attention.numpy()), likelihoods).weights
    for step in range(len(labels)):
        joint = torch.tensor(
            [
                [
                    float(attention[step, s] * own[step, column])
                    * (1 + translates(x, int(y)) / EPSILON)
                    for column, y in enumerate(model.output.ids)
                ]
                for s, x in enumerate(ids)
            ]
        )  # [S, V'], not normalised
        shares = (joint / joint.sum())[:, columns[step]]
        assert float(shares.sum()) == pytest.approx(float(expected[step, columns[step]]))
        np.testing.assert_allclose(found[step], shares / shares.sum(), rtol=1e-6)


def test_a_row_without_weight_stays_empty():
    weights = np.array([[0.0, 0.0], [0.25, 0.75]])
    found = posterior(Alignment(("a", "b"), ("c", "d"), weights), np.array([[1.0, 2], [3, 1]]))
    np.testing.assert_allclose(found.weights, [[0, 0], [0.5, 0.5]])
