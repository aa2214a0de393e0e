"""Scores of given pairs beside those of the search, of forced decoding, and of other batches."""

import math

import pytest
import torch
from searching import forced, translate
from tiny import ATTENTIVE, BAHDANAU, CONDITIONAL, EVERY_KIND, LUONG, tiny_model

from seq2seq.batch import EOS
from seq2seq.config import SearchConfig
from seq2seq.search import scoring
from seq2seq.search.inference import SingleModel
from seq2seq.search.scoring import force_ids, score_ids
from seq2seq.search.translation import force

SOURCES = [[5, 6, 7], [8], [9, 10, 4, 5, 6, 7], [8], [4, 4], [6, 5]]
TARGETS = [[4], [9, 9, 9, 9], [], [5, 10], [7, 8, 4], [6]]


@pytest.mark.parametrize("kind", EVERY_KIND, ids=str)
def test_what_the_search_found_has_the_score_that_it_reported(kind):
    model = tiny_model(kind, seed=3)
    with torch.no_grad():
        model.output.vocabulary.bias[EOS] += 2.0
    found = translate(model, SOURCES, SearchConfig(beam=4), n_best=4)
    pairs = [
        (source, hypothesis)
        for source, hypotheses in zip(SOURCES, found, strict=True)
        for hypothesis in hypotheses
        if hypothesis.ids[-1] == EOS
    ]
    assert len(pairs) > 10
    scores = score_ids(
        SingleModel(model), [source for source, _ in pairs], [each.ids[:-1] for _, each in pairs]
    )
    for (_, hypothesis), score in zip(pairs, scores, strict=True):
        assert len(score) == len(hypothesis.ids)
        assert math.fsum(score) == pytest.approx(hypothesis.log_probability, abs=1e-12)


@pytest.mark.parametrize("output_ids", [None, (0, 2, 3, 4, 5, 7, 8, 9, 10)], ids=["all", "some"])
@pytest.mark.parametrize("options", [{}, {"encoder": "pyramid", "layers": 2}], ids=str)
def test_batches_change_neither_the_order_nor_the_scores(options, output_ids, monkeypatch):
    model = tiny_model(LUONG[4], output_ids=output_ids, **options)
    targets = [[t for t in target if t != 6] for target in TARGETS]
    expected = []
    for source, target in zip(SOURCES, targets, strict=True):
        (alone,) = score_ids(SingleModel(model), [source], [target])
        assert math.fsum(alone) == pytest.approx(forced(model, source, target).log_probability)
        expected.append(alone)
    for batch_tokens, logits in ((1, 1), (25, 40), (10_000, 10_000)):
        monkeypatch.setattr(scoring, "_MAX_LOGITS", logits)
        found = score_ids(SingleModel(model), SOURCES, targets, batch_tokens=batch_tokens)
        assert [len(each) for each in found] == [len(target) + 1 for target in targets]
        for score, alone in zip(found, expected, strict=True):
            assert score == pytest.approx(alone, abs=1e-12)


@pytest.mark.parametrize(
    "options", [{}, {"encoder": "pyramid", "layers": 2}, {"heads": 2}], ids=str
)
@pytest.mark.parametrize("kind", [EVERY_KIND[0], LUONG[4], BAHDANAU[3], CONDITIONAL[2]], ids=str)
def test_weights_in_batches_are_those_of_each_pair_alone(kind, options):
    if kind.attention == "none" and "heads" in options:
        pytest.skip("no attention has no heads")
    if "layers" in options and kind.attention == "conditional":
        options = options | {"query_layer": "bottom"}
    single = SingleModel(
        tiny_model(kind, encoder_size=4, **options), head=1 if "heads" in options else None, tags=1
    )
    expected = [force(single, *pair) for pair in zip(SOURCES, TARGETS, strict=True)]
    for batch_tokens in (1, 25, 10_000):
        found = force_ids(single, SOURCES, TARGETS, batch_tokens=batch_tokens)
        for batched, alone in zip(found, expected, strict=True):
            assert batched.ids == alone.ids
            assert batched.log_probability == pytest.approx(alone.log_probability, abs=1e-12)
            if alone.weights is None:
                assert batched.weights is None
            else:
                torch.testing.assert_close(batched.weights, alone.weights, atol=1e-12, rtol=0)


def test_batches_of_pairs_stay_within_the_budget():
    sources = [[5] * (1 + i % 7) for i in range(60)]
    targets = [[5] * (i % 11) for i in range(60)]
    batches = list(scoring._batches(sources, targets, 40))
    assert sorted(i for batch in batches for i in batch) == list(range(60))
    assert len(batches) < 30
    for batch in batches:
        width = max(len(sources[i]) for i in batch) + max(len(targets[i]) for i in batch) + 2
        assert len(batch) * width <= 40


def test_no_pairs_have_no_scores():
    assert score_ids(SingleModel(tiny_model(ATTENTIVE[0])), [], []) == []
