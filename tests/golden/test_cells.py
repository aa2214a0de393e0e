"""LSTM and GRU layers against loops over PyTorch's documented equations, and against its cells."""

import numpy as np
import pytest
import references
import torch
from tiny import CELLS, redraw
from torch import nn

from seq2seq.recurrence import Bridge, CellState, RecurrentStack

EXACT = {"rtol": 0, "atol": 1e-10}
INPUT, HIDDEN, FED = 3, 4, 2


def drawn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def stack_of(cell, *, layers: int = 1, fed: int = 0) -> RecurrentStack:
    stack = RecurrentStack(
        cell=cell, input_size=INPUT, hidden_size=HIDDEN, layers=layers, fed_size=fed
    ).double()
    redraw(stack, seed=5)
    return stack.eval()


def states_of(cell, *, layers: int = 1, batch: int = 2) -> tuple[CellState, ...]:
    return tuple(
        CellState(
            drawn(batch, HIDDEN, seed=10 + layer),
            drawn(batch, HIDDEN, seed=20 + layer) if cell == "lstm" else None,
        )
        for layer in range(layers)
    )


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("fed", [0, FED])
@pytest.mark.parametrize("cell", CELLS)
def test_a_step_is_that_of_the_equations(cell, fed, layers):
    stack, states = stack_of(cell, layers=layers, fed=fed), states_of(cell, layers=layers)
    x, back = drawn(2, INPUT, seed=1), drawn(2, FED, seed=2) if fed else None
    after = stack.advance(stack.project(x), states, back)
    weights = {f"stack.{k}": v.detach().numpy() for k, v in stack.named_parameters()}
    for b in range(2):
        joined = x[b] if back is None else torch.cat([x[b], back[b]])
        before = [
            references.State(s.hidden[b].numpy(), None if s.cell is None else s.cell[b].numpy())
            for s in states
        ]
        expected = references.stack_step(weights, joined.numpy(), before, cell=cell)
        for ours, theirs in zip(after, expected, strict=True):
            torch.testing.assert_close(ours.hidden[b], torch.tensor(theirs.hidden), **EXACT)
            assert (ours.cell is None) == (theirs.cell is None) == (cell == "gru")
            if ours.cell is not None:
                torch.testing.assert_close(ours.cell[b], torch.tensor(theirs.cell), **EXACT)


@pytest.mark.parametrize("cell", CELLS)
def test_a_step_is_that_of_the_library_cell_over_joined_inputs(cell):
    stack, (state,) = stack_of(cell, fed=FED), states_of(cell)
    library = (nn.LSTMCell if cell == "lstm" else nn.GRUCell)(INPUT + FED, HIDDEN).double()
    layer = stack.layers[0]
    with torch.no_grad():
        library.weight_ih.copy_(torch.cat([layer.rnn.weight_ih_l0, layer.feedback.weight], dim=1))
        library.weight_hh.copy_(layer.rnn.weight_hh_l0)
        library.bias_ih.copy_(layer.rnn.bias_ih_l0)
        library.bias_hh.copy_(layer.rnn.bias_hh_l0)
    x, fed = drawn(2, INPUT, seed=1), drawn(2, FED, seed=2)
    (after,) = stack.advance(stack.project(x), (state,), fed)
    joined = torch.cat([x, fed], dim=1)
    if state.cell is None:
        torch.testing.assert_close(after.hidden, library(joined, state.hidden), **EXACT)
    else:
        hidden, memory = library(joined, (state.hidden, state.cell))
        torch.testing.assert_close(after.hidden, hidden, **EXACT)
        torch.testing.assert_close(after.cell, memory, **EXACT)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_a_sequence_in_one_call_is_its_steps(cell, layers):
    stack, states = stack_of(cell, layers=layers), states_of(cell, layers=layers)
    inputs = drawn(2, 5, INPUT, seed=3)
    at_once = stack.unroll(inputs, states)
    for t in range(5):
        states = stack.advance(stack.project(inputs[:, t]), states)
        torch.testing.assert_close(at_once[:, t], states[-1].hidden, **EXACT)


@pytest.mark.parametrize("cell", CELLS)
def test_the_first_state_comes_from_the_summary(cell):
    bridge = Bridge(summary_size=5, hidden_size=HIDDEN, layers=2, cell=cell).double()
    redraw(bridge, seed=6)
    summary = drawn(3, 5, seed=4)
    weights = {f"bridge.{k}": v.detach().numpy() for k, v in bridge.named_parameters()}
    for b in range(3):
        expected = references.first_states(weights, summary[b].numpy(), layers=2, cell=cell)
        for ours, theirs in zip(bridge(summary), expected, strict=True):
            np.testing.assert_allclose(ours.hidden[b].detach(), theirs.hidden, rtol=0, atol=1e-10)
            if theirs.cell is not None:
                np.testing.assert_allclose(ours.cell[b].detach(), theirs.cell, rtol=0, atol=1e-10)


@pytest.mark.parametrize("cell", CELLS)
def test_fresh_weights_are_orthogonal_where_they_recur(cell):
    torch.manual_seed(0)
    stack = RecurrentStack(cell=cell, input_size=INPUT, hidden_size=HIDDEN, layers=1)
    rnn = stack.layers[0].rnn
    for gate in rnn.weight_hh_l0.split(HIDDEN):
        torch.testing.assert_close(gate @ gate.T, torch.eye(HIDDEN), rtol=0, atol=1e-5)
    total = (rnn.bias_ih_l0 + rnn.bias_hh_l0).split(HIDDEN)
    expected = [0.0, 1.0, 0.0, 0.0] if cell == "lstm" else [0.0, 0.0, 0.0]  # i f g o; r z n
    assert [gate.tolist() for gate in total] == [[each] * HIDDEN for each in expected]
