"""Search with a model: order, lengths, n-best, weights over the source, and forced decoding."""

import math

import pytest
import torch
from searching import forced, translate
from tiny import ATTENTIVE, BAHDANAU, CONDITIONAL, LUONG, PLAIN, Kind, tensors_of, tiny_model

from seq2seq.batch import BOS, EOS, PAD, UNK, pad_sources
from seq2seq.config import SearchConfig
from seq2seq.search import translation
from seq2seq.search.inference import ModelState

SOURCES = [[5, 6, 7], [8], [9, 10, 4, 5, 6, 7], [8], [4, 4]]
GREEDY = SearchConfig(beam=1)


def model_that_writes(*favoured: int, by: float = 30.0, kind: Kind = LUONG[4]):
    """A model that gives these ids the largest logits, the first one the largest of all."""
    model = tiny_model(kind)
    with torch.no_grad():
        for rank, each in enumerate(favoured):
            model.output.vocabulary.bias[each] = by - rank
    return model


def test_results_come_in_the_order_of_the_sources():
    model = tiny_model(LUONG[4])
    together = translate(model, SOURCES, SearchConfig(batch_sentences=2))
    for source, (ours,) in zip(SOURCES, together, strict=True):
        ((alone,),) = translate(model, [source], SearchConfig())
        assert ours.ids == alone.ids
    assert together[1][0].ids == together[3][0].ids  # the same source twice


@pytest.mark.parametrize("kind", [PLAIN[1], LUONG[4], BAHDANAU[3], CONDITIONAL[2]], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_batch_size_and_order_change_neither_translations_nor_scores(kind, dtype):
    model = tiny_model(kind, dtype=dtype)
    with torch.no_grad():
        model.output.vocabulary.bias[EOS] += 1.0
    for settings in ({"beam": 1}, {"beam": 4, "coverage_penalty": 0.2 * (kind != PLAIN[1])}):
        expected = translate(model, SOURCES, SearchConfig(**settings))
        for size in (1, 2, 3):
            config = SearchConfig(batch_sentences=size, **settings)
            found = translate(model, SOURCES[::-1], config)[::-1]
            for (ours,), (theirs,) in zip(found, expected, strict=True):
                assert ours.ids == theirs.ids
                assert ours.score == pytest.approx(theirs.score, abs=1e-6)


def test_batches_have_a_limit_of_sentences_and_of_tokens():
    sources = [[5] * length for length in (9, 1, 4, 2, 30, 2, 3, 4)]
    by_length = sorted(range(8), key=lambda i: len(sources[i]))
    batches = [
        [len(sources[i]) for i in batch]
        for batch in translation._batches(sources, by_length, size=3, tokens=11)
    ]
    assert batches == [[1, 2, 2], [3, 4], [4], [9], [30]]
    model, limited = tiny_model(LUONG[4]), SearchConfig(batch_tokens=6)
    for (ours,), (theirs,) in zip(
        translate(model, SOURCES, limited), translate(model, SOURCES, SearchConfig()), strict=True
    ):
        assert ours.ids == theirs.ids


def test_no_sources_have_no_translations():
    assert translate(tiny_model(LUONG[4]), [], SearchConfig()) == []


@pytest.mark.parametrize("beam", [1, 4])
def test_a_translation_that_never_ends_is_cut(beam):
    config = SearchConfig(beam=beam, max_length_factor=2.0)
    for source, (best, *_) in zip(
        SOURCES, translate(model_that_writes(7), SOURCES, config), strict=True
    ):
        assert best.ids == (7,) * (2 * len(source) + 20)


@pytest.mark.parametrize("settings", [{"beam": 1}, {"beam": 4}, {"sample": True}], ids=str)
def test_lengths_beside_the_source_count_no_tags(settings):
    longest = SearchConfig(max_length_factor=2.0, **settings)
    ((cut,),) = translate(model_that_writes(7), [[5, 6, 7]], longest, tags=1)
    assert len(cut.ids) == 2 * 2 + 20
    shortest = SearchConfig(min_length_factor=3.0, **settings)
    ((ended,),) = translate(model_that_writes(EOS, 7), [[5, 6, 7]], shortest, tags=1)
    assert len(ended.ids) == 3 * 2 + 1  # and EOS


@pytest.mark.parametrize("beam", [1, 4])
def test_padding_unknown_and_begin_are_never_written(beam):
    model = model_that_writes(PAD, UNK, BOS, 7, 8)
    for best, *_ in translate(model, SOURCES, SearchConfig(beam=beam)):
        assert not {PAD, UNK, BOS} & set(best.ids)


@pytest.mark.parametrize("beam", [1, 3])
def test_a_translation_may_be_empty(beam):
    for best, *_ in translate(model_that_writes(EOS), SOURCES, SearchConfig(beam=beam)):
        assert best.ids == (EOS,)


@pytest.mark.parametrize("kind", [PLAIN[0], LUONG[4], BAHDANAU[3], CONDITIONAL[2]], ids=str)
def test_the_n_best_are_different_and_ordered(kind):
    model = model_that_writes(EOS, 5, by=2.0, kind=kind)
    for hypotheses in translate(model, SOURCES, SearchConfig(beam=4), n_best=4):
        assert len({each.ids for each in hypotheses}) == len(hypotheses) == 4
        scores = [each.score for each in hypotheses]
        assert scores == sorted(scores, reverse=True)


def test_more_hypotheses_than_the_beam_widen_it():
    (hypotheses,) = translate(model_that_writes(EOS, 5, by=2.0), [[5]], GREEDY, n_best=3)
    assert len(hypotheses) == 3


def test_a_search_that_stops_early_finds_as_many_as_are_asked_for():
    model = model_that_writes(EOS, 5, by=2.0)
    (hypotheses,) = translate(model, [[5]], SearchConfig(beam=4, stop_after=1), n_best=4)
    assert len(hypotheses) == 4


def test_samples_and_long_lists_have_about_as_many_rows_as_a_beam(monkeypatch):
    rows = []

    def search(_inference, batch, _numbers, _config, n_best, *_rules):
        rows.append(len(batch) * n_best)
        return [[] for _ in batch]

    monkeypatch.setattr(translation, "_translate_batch", search)
    for settings in ({"sample": True}, {}):
        for n_best in (6, 50, 400):
            config = SearchConfig(beam=5, batch_sentences=64, **settings)
            translate(tiny_model(LUONG[4]), [[5]] * 70, config, n_best=n_best)
    assert sum(rows) == 2 * 70 * (6 + 50 + 400) and max(rows) <= 400


@pytest.mark.parametrize("kind", ATTENTIVE, ids=str)
@pytest.mark.parametrize("beam", [1, 3])
def test_every_id_of_a_hypothesis_has_a_row_of_weights_over_the_source_and_eos(kind, beam):
    model = model_that_writes(EOS, 5, by=2.0, kind=kind)
    config = SearchConfig(beam=beam, batch_sentences=5)
    for source, (best, *_) in zip(SOURCES, translate(model, SOURCES, config), strict=True):
        assert best.weights.shape == (len(best.ids), len(source) + 1)
        assert best.weights.sum(-1).tolist() == pytest.approx([1.0] * len(best.ids))


@pytest.mark.parametrize("beam", [1, 3])
def test_the_weights_can_be_those_of_one_head(beam):
    model = tiny_model(LUONG[4], heads=2)
    with torch.no_grad():
        model.output.vocabulary.bias[EOS] += 2.0
    config = SearchConfig(beam=beam)
    both, *apart = (translate(model, SOURCES, config, head=head) for head in (None, 0, 1))
    for (mean,), (first,), (second,) in zip(both, *apart, strict=True):
        assert mean.ids == first.ids == second.ids and mean.score == first.score == second.score
        torch.testing.assert_close((first.weights + second.weights) / 2, mean.weights)
        assert not torch.allclose(first.weights, second.weights)
    for head, found in enumerate(apart):
        for source, (best,) in zip(SOURCES, found, strict=True):
            if best.ids[-1] == EOS:
                again = forced(model, source, best.ids[:-1], head=head)
                torch.testing.assert_close(again.weights, best.weights)


def test_the_weight_of_a_pyramids_state_is_divided_among_its_pieces():
    model = tiny_model(LUONG[4], encoder="pyramid", layers=3)
    for source in ([5, 6, 7, 8, 9], [5, 6, 7], [5]):  # with EOS 6 = 4 + 2, 4, and 2 pieces
        count = len(source) + 1
        with torch.no_grad():
            bound = model.decoder.bind(model.encode(pad_sources([source])))
            step = bound.step(torch.tensor([BOS]), bound.start())
        states = step.weights[0].mean(0).tolist()
        sizes = [4] * (count // 4) + [count % 4] * (count % 4 > 0)
        pieces = [
            share / size for share, size in zip(states, sizes, strict=True) for _ in range(size)
        ]
        assert forced(model, source, []).weights[0].tolist() == pytest.approx(pieces)
        assert sum(pieces) == pytest.approx(1.0)


@pytest.mark.parametrize("options", [{}, {"encoder": "pyramid", "layers": 2}], ids=str)
def test_the_weights_of_tags_are_added_to_those_of_eos(options):
    model = tiny_model(LUONG[4], **options)
    source = [5, 6, 7, 8]  # two tags and two words
    whole, words = forced(model, source, [9]).weights, forced(model, source, [9], tags=2).weights
    expected = torch.stack([whole[:, 2], whole[:, 3], whole[:, [0, 1, 4]].sum(1)], dim=1)
    torch.testing.assert_close(words, expected)
    short = SearchConfig(beam=1, max_length=8)
    ((best,),) = translate(model, [source], short, tags=2)
    ((other,),) = translate(model, [source], short)
    assert best.ids == other.ids and best.weights.shape == (len(best.ids), 3)


def test_a_model_without_attention_has_no_weights():
    model = tiny_model(PLAIN[0])
    assert translate(model, [[5]], GREEDY)[0][0].weights is None
    assert forced(model, [5], [6]).weights is None


def test_dropout_is_off_in_search_and_forcing():
    model = tiny_model(LUONG[4], dropout=0.5, embedding_dropout=0.5).train()
    first = translate(model, SOURCES, SearchConfig())
    assert first == translate(model.train(), SOURCES, SearchConfig())
    model.train()
    assert forced(model, [5], [6]) == forced(model.train(), [5], [6])


def test_the_score_is_the_log_probability_under_the_penalty():
    model = model_that_writes(EOS, 5, by=2.0)
    for alpha in (0.0, 0.6, 2.0):
        config = SearchConfig(beam=3, length_penalty=alpha)
        for (best,) in translate(model, SOURCES, config):
            divisor = ((5 + len(best.ids)) / 6) ** alpha
            assert best.score == pytest.approx(best.log_probability / divisor)


def test_the_probabilities_of_all_targets_sum_to_one():
    """All targets of up to one id, and all that begin with two ids."""
    model = tiny_model(BAHDANAU[3])
    ids = range(model.output.vocabulary.out_features)
    total = math.exp(forced(model, [5, 6], []).log_probability)
    total += sum(
        math.exp(forced(model, [5, 6], [each]).log_probability) for each in ids if each != EOS
    )
    assert 0 < total < 1
    with torch.no_grad():
        bound = model.decoder.bind(model.encode(pad_sources([[5, 6]])))
        step = bound.step(torch.tensor([BOS]), bound.start())
        first = model.logits(step.readout).softmax(-1)[0]
        rest = 0.0
        for each in ids:
            if each != EOS:
                after = bound.step(torch.tensor([each]), step.state)
                rest += first[each] * (1 - model.logits(after.readout).softmax(-1)[0, EOS])
    assert total + float(rest) == pytest.approx(1.0)


def test_selecting_rows_and_sentences_selects_them_of_state_and_source():
    model = tiny_model(LUONG[4])
    with torch.no_grad():
        bound = model.decoder.bind(model.encode(pad_sources([[5, 6], [7]])))
        state = ModelState(bound.start(), bound, model.output.bind())
    assert state.select(torch.tensor([0, 0, 1, 1]), None).bound is bound  # nothing is repeated
    selected = state.select(torch.tensor([1, 1]), torch.tensor([1]))
    ours, theirs = (
        [*tensors_of(each.decoder), *tensors_of(each.bound.memory)] for each in (state, selected)
    )
    # the state: hidden, cell, feedback, step index; the memory: values, mask, summary, the final
    # hidden state and cell, projected keys and values
    assert len(ours) == len(theirs) == 4 + 7
    for before, after in zip(ours[:4], theirs[:4], strict=True):
        assert torch.equal(after, before[[1, 1]])
    for before, after in zip(ours[4:], theirs[4:], strict=True):
        assert torch.equal(after, before[[1]])
