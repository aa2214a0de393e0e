"""The best continuations of a step, beside a stable sort of all of them."""

import pytest
import torch

from seq2seq.search import continuations
from seq2seq.search.continuations import best_continuations

CASES = [(70, 3), (640, 5), (700, 5), (1500, 11), (1536, 2)]


@pytest.mark.parametrize(("columns", "count"), CASES)
@pytest.mark.parametrize("spread", [2.0, 1000.0])
def test_the_best_are_those_of_a_stable_sort(monkeypatch, columns, count, spread):
    monkeypatch.setattr(continuations, "_MANY", 0)
    generator = torch.Generator().manual_seed(columns)
    logits = (spread * torch.randn(40, columns, generator=generator)).round()  # with many ties
    allowed = torch.rand(40, columns, generator=generator) < 0.8
    allowed[3] = False
    allowed[3, 69] = True
    ids = torch.arange(columns) * 2
    few_hidden = torch.ones(1, columns, dtype=torch.bool)
    few_hidden[0, logits[0].argmax()] = False
    for mask in (None, allowed, allowed[:1], few_hidden):
        found = best_continuations(logits, count=count, forbidden=[4, 5], ids=ids, allowed=mask)
        expected = logits.double().log_softmax(1)
        expected[:, 2] = float("-inf")
        if mask is not None:
            expected = expected.masked_fill(~mask, float("-inf"))
        values, order = expected.sort(dim=1, descending=True, stable=True)
        some = found.log_probabilities > float("-inf")
        ours = [
            list(zip(i[m].tolist(), p[m].tolist(), strict=True))[:count]
            for i, p, m in zip(found.ids, found.log_probabilities, some, strict=True)
        ]
        for row, pairs in enumerate(ours):
            assert [each for each, _ in pairs] == (2 * order[row, : len(pairs)]).tolist()
            assert [p for _, p in pairs] == pytest.approx(values[row, : len(pairs)], abs=1e-4)
            assert len(pairs) == min(count, int((values[row] > float("-inf")).sum()))
