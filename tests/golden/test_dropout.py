"""Dropout and zoneout against their definitions, by the masks that were drawn."""

import pytest
import torch

from seq2seq.batch import EOS, pad_sources
from seq2seq.building import build_model
from seq2seq.config import ModelConfig
from seq2seq.kernels.dropout import Dropout, WordDropout
from seq2seq.recurrent.cells import CellNoise, CellState, GateWeights, LSTMCell
from seq2seq.recurrent.layers import LayerSpec, LSTMLayer
from seq2seq.recurrent.stack import RecurrentStack

ONES = torch.ones(40, 50, 20, dtype=torch.float64)


@pytest.mark.parametrize("p", [0.1, 0.3, 0.75])
def test_dropped_entries_are_zero_and_the_rest_is_scaled_up(p):
    dropped = Dropout(p).train()(ONES)
    # 40,000 draws: five standard deviations are under 0.0125
    assert (dropped == 0).double().mean().item() == pytest.approx(p, abs=0.0125)
    kept = dropped[dropped != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - p)), rtol=2e-5, atol=0)


def test_masks_have_no_pattern_in_the_draws_of_four():
    """Four entries come of one number: each must be dropped as often, and without the others."""
    dropped = (Dropout(0.5).train()(torch.ones(100_000, 4)) == 0).double()
    torch.testing.assert_close(dropped.mean(0), torch.full((4,), 0.5).double(), atol=0.01, rtol=0)
    correlation = torch.corrcoef(dropped.T) - torch.eye(4)
    assert correlation.abs().max() < 0.02


def test_variational_dropout_drops_the_same_at_every_position_of_a_sentence():
    dropped = Dropout(0.5, variational=True).train()(ONES)
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert not torch.equal(dropped[0], dropped[1])
    steps = Dropout(0.5, variational=True).train().for_steps()
    assert torch.equal(steps(ONES[0]), steps(ONES[0]))


def test_variational_dropout_between_layers_has_one_mask_for_all_steps():
    spec = LayerSpec(cell="gru", hidden_size=20)
    stack = RecurrentStack(spec, input_size=20, layers=2, dropout=0.5, variational=True).train()
    hidden, states = ONES[0].float(), [CellState(torch.zeros(50, 20), None)]
    unroll, other = stack.cells(), stack.cells()
    first, second, third = (
        cells.step_upper(hidden, states)[1] for cells in (unroll, unroll, other)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_ordinary_dropout_draws_anew_at_every_step():
    steps = Dropout(0.5).train().for_steps()
    assert not torch.equal(steps(ONES[0]), steps(ONES[0]))


def test_there_is_no_dropout_outside_training():
    for layer in (Dropout(0.5), Dropout(0.5, variational=True), WordDropout(0.5)):
        assert layer.eval()(ONES) is ONES
    assert Dropout(0.0).train()(ONES) is ONES


@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_a_probability_out_of_range_is_refused(p):
    with pytest.raises(ValueError, match="at least 0 and under 1"):
        Dropout(p)


def test_a_dropped_word_loses_its_whole_embedding_and_no_other_is_scaled():
    dropped = WordDropout(0.4).train()(ONES)
    whole = dropped.sum(-1)  # 20 or 0
    assert set(whole.unique().tolist()) == {0.0, 20.0}
    assert (whole == 0).double().mean().item() == pytest.approx(0.4, abs=0.06)


def test_word_dropout_never_drops_exempt_positions():
    exempt = torch.zeros(ONES.shape[:-1], dtype=torch.bool)
    exempt[:, 0] = True
    whole = WordDropout(0.9).train()(ONES, exempt).sum(-1)
    assert (whole[:, 0] == 20).all()
    assert (whole[:, 1:] == 0).double().mean().item() == pytest.approx(0.9, abs=0.04)


def test_an_encoder_drops_words_but_no_tag():
    """A source without its tag could be of any language."""
    config = ModelConfig(word_dropout=0.95, embedding_dropout=0.0, dropout=0.0)
    model = build_model(config, source_vocabulary=9, target_vocabulary=9, joint=True, tags=2)
    inputs = []
    model.encoder.layers[0].register_forward_hook(lambda _, args, output: inputs.append(args[0]))
    torch.manual_seed(1)
    tag, word = EOS + 2, EOS + 3
    model.train().encode(pad_sources([[tag, *[word] * 50]] * 40))
    kept = inputs[0].abs().sum(-1) > 0  # [B, S]
    assert kept[:, 0].all()
    assert kept[:, 1:].double().mean().item() == pytest.approx(0.05, abs=0.03)


def test_recurrent_dropout_drops_the_same_entries_of_a_state_at_every_step():
    cell = LSTMCell(GateWeights(torch.eye(30), None, torch.eye(30), recurrent_dropout=0.5))
    first, second = (
        cell.project_state(CellState(torch.full((4, 30), entry), None)) for entry in (1.0, 3.0)
    )
    assert set(first.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(second, 3 * first)


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return LSTMLayer(input_size=3, hidden_size=200, noise=CellNoise(zoneout=0.25)).double()


def step(layer: LSTMLayer) -> tuple[CellState, CellState, CellState]:
    """A state, the one after it, and what that would have been without zoneout."""
    state = CellState(torch.full((5, 200), 2.0).double(), torch.full((5, 200), 3.0).double())
    cell = layer.cell()
    projected = cell.project(torch.ones(5, 3, dtype=torch.float64))
    return state, cell.step(projected, state), cell.inner.step(projected, state)


def test_zoneout_keeps_entries_of_state_and_cell_as_they_were(layer):
    before, after, plain = step(layer.train())
    for name in ("hidden", "cell"):
        old, new, other = (getattr(each, name) for each in (before, after, plain))
        kept = new == old
        assert kept.double().mean().item() == pytest.approx(0.25, abs=0.07)
        assert torch.equal(new[~kept], other[~kept])


def test_zoneout_mixes_old_and_new_states_outside_training(layer):
    before, after, plain = step(layer.eval())
    expected = 0.25 * before.hidden + 0.75 * plain.hidden
    torch.testing.assert_close(after.hidden, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(after.cell, 0.25 * before.cell + 0.75 * plain.cell)
