"""Ensembles: the formulas of their combinations, mixed models, and what cannot be combined."""

import math

import pytest
import torch
from tiny import BAHDANAU, CONDITIONAL, LUONG, PLAIN, tiny_model

from seq2seq.batch import EOS
from seq2seq.config import SearchConfig
from seq2seq.search.inference import Combination, Ensemble, SingleModel
from seq2seq.search.translation import force, translate_ids

SOURCES = [[5, 6, 7], [8], [9, 10, 4, 5, 6, 7], [4, 4]]
COMBINATIONS: tuple[Combination, ...] = ("linear", "log_linear")


def single(kind, *, seed: int = 0, **changes) -> SingleModel:
    model = tiny_model(kind, seed=seed, **changes)
    with torch.no_grad():
        model.output.vocabulary.bias[EOS] += 2.0
    return SingleModel(model)


MIXED = (
    single(PLAIN[0], seed=1),
    single(LUONG[4], seed=2),
    single(BAHDANAU[3], seed=3, encoder="pyramid", layers=2),
    single(CONDITIONAL[2], seed=4, encode_eos=False, heads=2),
)


@pytest.mark.parametrize("combination", COMBINATIONS)
@pytest.mark.parametrize("kind", [PLAIN[1], LUONG[4], BAHDANAU[3], CONDITIONAL[2]], ids=str)
def test_an_ensemble_of_a_model_with_itself_is_the_model(kind, combination):
    model = single(kind)
    twice = Ensemble((model, model), (2.0, 1.0), combination)
    for beam in (1, 3):
        config = SearchConfig(beam=beam)
        alone = translate_ids(model, SOURCES, config, n_best=beam)
        together = translate_ids(twice, SOURCES, config, n_best=beam)
        for one, other in zip(alone, together, strict=True):
            assert [h.ids for h in one] == [h.ids for h in other]
            assert [h.score for h in one] == pytest.approx([h.score for h in other], abs=1e-9)
            for ours, theirs in zip(one, other, strict=True):
                if ours.weights is not None:
                    torch.testing.assert_close(ours.weights, theirs.weights)


@pytest.mark.parametrize("weights", [(), (1.0, 2.0, 3.0, 4.0)])
@pytest.mark.parametrize("combination", COMBINATIONS)
def test_probabilities_are_combined_as_the_formula_says(combination, weights):
    source, target = [5, 6, 7], [8, 4]
    shares = [each / sum(weights) for each in weights] or [1 / 4] * 4
    tables = [each.unroll(source, target)[0].softmax(-1).tolist() for each in MIXED]
    total = 0.0
    for t, label in enumerate([*target, EOS]):
        if combination == "linear":
            mixed = [
                math.fsum(w * table[t][v] for w, table in zip(shares, tables, strict=True))
                for v in range(len(tables[0][t]))
            ]
        else:
            mixed = [
                math.prod(table[t][v] ** w for w, table in zip(shares, tables, strict=True))
                for v in range(len(tables[0][t]))
            ]
        total += math.log(mixed[label] / math.fsum(mixed))
    found = force(Ensemble(MIXED, weights, combination), source, target)
    assert found.log_probability == pytest.approx(total, abs=1e-9)


@pytest.mark.parametrize("combination", COMBINATIONS)
@pytest.mark.parametrize("beam", [1, 3])
def test_search_and_forced_decoding_of_mixed_models_agree(combination, beam):
    ensemble = Ensemble(MIXED, (), combination)
    for source, (best, *_) in zip(
        SOURCES, translate_ids(ensemble, SOURCES, SearchConfig(beam=beam)), strict=True
    ):
        if best.ids[-1] != EOS:
            continue
        again = force(ensemble, source, best.ids[:-1])
        assert again.log_probability == pytest.approx(best.log_probability, abs=1e-9)
        torch.testing.assert_close(again.weights, best.weights)


def test_the_attention_is_the_mean_of_the_members_that_attend():
    source, target = [5, 6, 7], [8, 4]
    each = [force(member, source, target).weights for member in MIXED]
    attending = [weights for weights in each if weights is not None]
    assert len(attending) == 3
    found = force(Ensemble(MIXED), source, target).weights
    torch.testing.assert_close(found, torch.stack(attending).mean(0))
    assert force(Ensemble(MIXED[:1] * 2), source, target).weights is None


def test_models_that_cannot_be_combined_are_refused():
    with pytest.raises(ValueError, match="other output ids"):
        Ensemble((single(LUONG[4]), single(LUONG[4], output_ids=[1, 3, 5, 6])))
    with pytest.raises(ValueError, match="for 2 models"):
        Ensemble(MIXED[:2], (1.0,))
    with pytest.raises(ValueError, match="for 2 models"):
        Ensemble(MIXED[:2], (1.0, 0.0))
