"""Sampling: the distribution that ids are drawn from, and what a sample depends on."""

import math

import pytest
import torch
from searching import forced, translate
from tables import BOS, EOS, PAD, TableModel
from tiny import LUONG, tiny_model

from seq2seq.batch import EOS as MODEL_EOS
from seq2seq.config import SearchConfig
from seq2seq.search.sampling import uniform_numbers

SOURCES = [[5, 6, 7], [8], [9, 10, 4, 5, 6, 7], [8], [4, 4]]
PROBABILITIES = [0.1, 0.0, 0.2, 0.1, 0.2, 0.4]  # of BOS, EOS, PAD, and three pieces
PIECES = (3, 4, 5)
DRAWS = 6000


def shares(**options) -> dict[int, float]:
    """How often each id is drawn, by numbers that are evenly spread."""
    model = TableModel(lambda sentence, prefix: [math.log(p + 1e-30) for p in PROBABILITIES])
    uniforms = ((torch.arange(DRAWS, dtype=torch.float64) + 0.5) / DRAWS).unsqueeze(1)
    found = model.samples([0] * DRAWS, uniforms, max_lengths=[1] * DRAWS, **options)
    ids = [each.ids[0] for each in found]
    assert not {BOS, EOS, PAD} & {*ids}
    return {piece: ids.count(piece) / DRAWS for piece in PIECES}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1 / 7, 2 / 7, 4 / 7]),  # .1, .2, .4 of what may be written
        # squared: 1, 4, 16
        ({"temperature": 0.5}, [1 / 21, 4 / 21, 16 / 21]),
        ({"top_k": 2}, [0, 1 / 3, 2 / 3]),
        ({"top_k": 1}, [0, 0, 1]),
        ({"top_k": 9}, [1 / 7, 2 / 7, 4 / 7]),
        ({"top_p": 0.57}, [0, 0, 1]),  # 4/7 is .571
        ({"top_p": 0.58}, [0, 1 / 3, 2 / 3]),
        ({"top_p": 0.99}, [1 / 7, 2 / 7, 4 / 7]),
        # of two, 1/3 and 2/3, the likelier one has .6
        ({"top_k": 2, "top_p": 0.6}, [0, 0, 1]),
        # at temperature 1/2 the likeliest alone has .76
        ({"temperature": 0.5, "top_p": 0.7}, [0, 0, 1]),
    ],
)
def test_ids_are_drawn_with_their_probability(options, expected):
    assert list(shares(**options).values()) == pytest.approx(expected, abs=2 / DRAWS)


def test_probabilities_that_are_reported_are_the_models_own():
    model = TableModel(lambda sentence, prefix: [math.log(p + 1e-30) for p in PROBABILITIES])
    uniforms = torch.tensor([[0.99]], dtype=torch.float64)
    (found,) = model.samples([0], uniforms, max_lengths=[1], temperature=0.1, top_k=1)
    assert found.ids == (5,) and math.exp(found.log_probability) == pytest.approx(0.4)


def ending_model(**changes):
    model = tiny_model(LUONG[4], **changes)
    with torch.no_grad():
        model.output.vocabulary.bias[MODEL_EOS] += 1.0
    return model


def drawn(model, sources, n=3, **settings):
    config = SearchConfig(sample=True, **settings)
    return [[h.ids for h in found] for found in translate(model, sources, config, n_best=n)]


def test_a_sample_depends_on_seed_source_and_number_alone():
    model = ending_model()
    expected = drawn(model, SOURCES)
    assert drawn(model, SOURCES, batch_sentences=1) == expected
    assert drawn(model, SOURCES[::-1]) == expected[::-1]
    assert [each[:2] for each in expected] == drawn(model, SOURCES, n=2)
    assert expected[1] == expected[3]  # the same source
    assert drawn(model, SOURCES, seed=2) != expected
    assert len({ids for found in expected for ids in found}) > 3


def test_the_numbers_of_a_sample_do_not_depend_on_how_many_there_are():
    few = uniform_numbers(1, [5, 6], samples=2, length=7)
    many = uniform_numbers(1, [5, 6], samples=4, length=50)
    assert torch.equal(few, many[:2, :7])
    assert not torch.equal(few[0], few[1])
    assert not torch.equal(few, uniform_numbers(2, [5, 6], samples=2, length=7))


@pytest.mark.parametrize("settings", [{"top_k": 1}, {"temperature": 1e-4}, {"top_p": 1e-9}])
def test_drawing_the_likeliest_is_greedy_search(settings):
    model = ending_model()
    greedy = translate(model, SOURCES, SearchConfig(beam=1))
    assert drawn(model, SOURCES, n=1, **settings) == [[best.ids] for (best,) in greedy]


def test_a_sample_has_the_probability_and_attention_of_forced_decoding():
    model = ending_model()
    config = SearchConfig(sample=True, length_penalty=0.6)
    for source, found in zip(SOURCES, translate(model, SOURCES, config, n_best=3), strict=True):
        for each in found:
            if each.ids[-1] == MODEL_EOS:
                again = forced(model, source, each.ids[:-1])
                assert each.log_probability == pytest.approx(again.log_probability, abs=1e-9)
                torch.testing.assert_close(each.weights, again.weights)
                divisor = ((5 + len(each.ids)) / 6) ** 0.6
                assert each.score == pytest.approx(each.log_probability / divisor)
