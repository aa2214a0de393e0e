"""Search among few ids: as a model does that gives no probability to any other."""

import copy

import pytest
import torch
from tiny import CONDITIONAL, LUONG, PLAIN, tiny_model

from seq2seq.batch import EOS
from seq2seq.config import SearchConfig
from seq2seq.kernels.products import PackedProducts, has_int8_products
from seq2seq.search.inference import Ensemble, SingleModel
from seq2seq.search.shortlist import Shortlist
from seq2seq.search.translation import translate_ids

SOURCES = [[5, 6, 7], [8], [9, 10, 4, 5, 6, 7], [8], [4, 4]]
LIKELY = [[-1, -1]] * 4 + [[4, 9], [5, -1], [10, 4], [6, 7], [-1, -1], [8, 5], [9, 6]]
SHORTLIST = Shortlist(torch.tensor(LIKELY), torch.tensor([EOS, 7]))
OUTPUT_IDS = [0, 2, 3, 4, 5, 7, 8, 9, 10]


def allowed_ids(source):
    return {EOS, 7} | {each for piece in source for each in LIKELY[piece] if each >= 0}


def without(model, source):
    """The model with practically no probability for ids that are not allowed."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for number in range(model.output.vocabulary.out_features):
            if number not in allowed_ids(source):
                model.output.vocabulary.bias[number] = -1e9
    return model


@pytest.mark.parametrize("output_ids", [None, OUTPUT_IDS], ids=["all", "some"])
@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize(
    ("kind", "lexicon"), [(PLAIN[0], 0), (LUONG[4], 0), (LUONG[4], 3), (CONDITIONAL[2], 0)], ids=str
)
def test_only_listed_ids_are_written_and_share_the_probability(kind, lexicon, beam, output_ids):
    model = tiny_model(kind, output_ids=output_ids, lexicon=lexicon)
    with torch.no_grad():
        model.output.vocabulary.bias[EOS] += 1.0
    config = SearchConfig(beam=beam, max_length_factor=0.5)
    found = translate_ids(SingleModel(model, shortlist=SHORTLIST), SOURCES, config)
    for source, (best, *_) in zip(SOURCES, found, strict=True):
        assert {*best.ids} <= allowed_ids(source)
        ((expected, *_),) = translate_ids(SingleModel(without(model, source)), [source], config)
        assert best.ids == expected.ids
        assert best.log_probability == pytest.approx(expected.log_probability, abs=1e-9)
        if expected.weights is not None:
            torch.testing.assert_close(best.weights, expected.weights)


@pytest.mark.parametrize("combination", ["linear", "log_linear"])
def test_an_ensemble_has_the_shortlist_of_its_members(combination):
    models = [tiny_model(LUONG[4], seed=seed) for seed in (0, 2)]
    config = SearchConfig(beam=3, max_length_factor=0.5)
    members = tuple(SingleModel(model, shortlist=SHORTLIST) for model in models)
    found = translate_ids(Ensemble(members, combination=combination), SOURCES, config)
    for source, (best, *_) in zip(SOURCES, found, strict=True):
        alone = tuple(SingleModel(without(model, source)) for model in models)
        ensemble = Ensemble(alone, combination=combination)
        ((expected, *_),) = translate_ids(ensemble, [source], config)
        assert best.ids == expected.ids
        assert best.log_probability == pytest.approx(expected.log_probability, abs=1e-9)


@pytest.mark.skipif(not has_int8_products(), reason="no int8")
def test_reduced_products_keep_no_weight_of_a_shortlist(monkeypatch):
    model, reduced = tiny_model(LUONG[4], dtype=torch.float32), PackedProducts("int8")
    single, config = SingleModel(model, shortlist=SHORTLIST), SearchConfig(beam=2)
    sizes = []
    for _ in range(2):
        with reduced.active():
            found = translate_ids(single, SOURCES, config)
        sizes.append(len(reduced._weights))
    assert sizes[0] == sizes[1] > 2
    for source, (best, *_) in zip(SOURCES, found, strict=True):
        assert {*best.ids} <= allowed_ids(source)
