"""Cells, stacks and bridges against loops over the equations of their papers."""

import recurrent_references as references
import torch
from pytest import mark, raises
from tiny import redraw
from torch import Tensor, nn

from seq2seq.config import CellKind
from seq2seq.recurrent.cells import CellState, EqualRows
from seq2seq.recurrent.layers import LAYERS, LayerSpec, RecurrentLayer
from seq2seq.recurrent.stack import Bridge, RecurrentStack

EXACT = {"rtol": 0, "atol": 1e-10}
INPUT, HIDDEN, EXTRA = 3, 4, 2

every_cell = mark.parametrize("kind", LAYERS)


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer_of(kind: CellKind, *, extra: int = 0, biases: bool = True) -> RecurrentLayer:
    layer = LAYERS[kind](input_size=INPUT, hidden_size=HIDDEN, extra_size=extra, biases=biases)
    redraw(layer.double(), seed=5)
    return layer


def state_of(kind: CellKind, *, seed: int = 10, rows: int = 2) -> CellState:
    cell = drawn(rows, HIDDEN, seed=seed + 50) if LAYERS[kind].has_cell else None
    return CellState(drawn(rows, HIDDEN, seed=seed), cell)


def stack_of(kind: CellKind, *, layers: int = 1, **changes) -> RecurrentStack:
    spec = LayerSpec(cell=kind, hidden_size=HIDDEN)
    stack = RecurrentStack(spec, input_size=INPUT, layers=layers, **changes)
    redraw(stack.double(), seed=5)
    return stack.eval()


def states_of(kind: CellKind, *, layers: int) -> tuple[CellState, ...]:
    return tuple(state_of(kind, seed=10 + layer) for layer in range(layers))


def row_of(state: CellState, row: int) -> references.State:
    cell = None if state.cell is None else state.cell[row].detach().numpy()
    return references.State(state.hidden[row].detach().numpy(), cell)


def assert_is(state: CellState, row: int, expected: references.State) -> None:
    torch.testing.assert_close(state.hidden[row], torch.tensor(expected.hidden), **EXACT)
    assert (state.cell is None) == (expected.cell is None)
    if state.cell is not None:
        torch.testing.assert_close(state.cell[row], torch.tensor(expected.cell), **EXACT)


@mark.parametrize("biases", [True, False])
@mark.parametrize("extra", [0, EXTRA])
@every_cell
def test_a_step_is_that_of_the_paper(kind, extra, biases):
    layer, state = layer_of(kind, extra=extra, biases=biases), state_of(kind)
    step = references.step_of(kind, dict(layer.named_parameters()), extra_size=extra)
    x, e = drawn(2, INPUT, seed=1), drawn(2, extra, seed=2)
    cell = layer.cell()
    after = cell.step(cell.project(x), state, e if extra else None)
    for row in range(2):
        assert_is(after, row, step(x[row].numpy(), e[row].numpy(), row_of(state, row)))


def test_the_encoder_of_cho_is_the_decoder_of_bahdanau_without_extra_input():
    layer, state = layer_of("gru_reset_before"), state_of("gru_reset_before")
    gates = references.gates_of(dict(layer.named_parameters()), "rzn", extra_size=0)
    x, no_extra = drawn(2, INPUT, seed=1), drawn(0, seed=2).numpy()
    cell = layer.cell()
    after = cell.step(cell.project(x), state)
    for row in range(2):
        expected = references.cho_encoder_gru(x[row].numpy(), no_extra, row_of(state, row), gates)
        assert_is(after, row, expected)


@mark.parametrize("kind", ["lstm", "gru"])
def test_a_step_is_that_of_the_library_cell_over_joined_inputs(kind):
    layer, state = layer_of(kind, extra=EXTRA), state_of(kind)
    library = (nn.LSTMCell if kind == "lstm" else nn.GRUCell)(INPUT + EXTRA, HIDDEN).double()
    library.load_state_dict(
        {name.removesuffix("_l0"): value for name, value in layer.rnn.state_dict().items()}
    )
    x, extra = drawn(2, INPUT, seed=1), drawn(2, EXTRA, seed=2)
    cell = layer.cell()
    after = cell.step(cell.project(x), state, extra)
    joined = torch.cat([x, extra], dim=1)
    if state.cell is None:
        torch.testing.assert_close(after.hidden, library(joined, state.hidden), **EXACT)
    else:
        hidden, memory = library(joined, (state.hidden, state.cell))
        torch.testing.assert_close(after.hidden, hidden, **EXACT)
        torch.testing.assert_close(after.cell, memory, **EXACT)


@mark.parametrize("biases", [True, False])
@mark.parametrize("extra", [0, EXTRA])
@every_cell
def test_a_sequence_at_once_is_its_steps(kind, extra, biases):
    layer, state = layer_of(kind, extra=extra, biases=biases), state_of(kind)
    inputs, extras = drawn(2, 5, INPUT, seed=3), drawn(2, 5, EXTRA, seed=4) if extra else None
    at_once = layer.unroll(inputs, state, extras)
    cell = layer.cell()
    for t, projected in enumerate(cell.project(inputs).unbind(1)):
        state = cell.step(projected, state, None if extras is None else extras[:, t])
        torch.testing.assert_close(at_once[:, t], state.hidden, **EXACT)


@every_cell
def test_a_layer_without_biases_has_none(kind):
    assert not [
        name for name, _ in layer_of(kind, biases=False).named_parameters() if "bias" in name
    ]


@every_cell
def test_an_extra_input_that_the_layer_was_not_built_for_is_refused(kind):
    for built, passed in ((EXTRA, None), (0, drawn(2, EXTRA, seed=2))):
        cell = layer_of(kind, extra=built).cell()
        with raises(ValueError, match="needs an extra input at every step"):
            cell.step(cell.project(drawn(2, INPUT, seed=1)), state_of(kind), passed)


@mark.parametrize("extra", [0, EXTRA])
@every_cell
def test_the_gradient_of_two_steps_is_right(kind, extra):
    layer, state = layer_of(kind, extra=extra), state_of(kind)
    x = drawn(2, 2, INPUT, seed=1).requires_grad_()
    start = [each.requires_grad_() for each in (state.hidden, state.cell) if each is not None]
    extras = [drawn(2, EXTRA, seed=2).requires_grad_()] if extra else []

    def two_steps(*_):
        cell, after = layer.cell(), state
        for projected in cell.project(x).unbind(1):
            after = cell.step(projected, after, *extras)
        return after.hidden if after.cell is None else (after.hidden, after.cell)

    assert torch.autograd.gradcheck(two_steps, (x, *start, *extras, *layer.parameters()))


@mark.parametrize("extra", [0, EXTRA])
@every_cell
def test_the_gradient_of_a_sequence_at_once_is_right(kind, extra):
    layer, state = layer_of(kind, extra=extra), state_of(kind)
    x = drawn(2, 3, INPUT, seed=1).requires_grad_()
    extras = [drawn(2, 3, EXTRA, seed=2).requires_grad_()] if extra else []

    def unrolled(*_):
        return layer.unroll(x, state, *extras)

    assert torch.autograd.gradcheck(unrolled, (x, *extras, *layer.parameters()))


@every_cell
def test_a_state_of_zeros_is_as_wide_as_the_layer(kind):
    start = layer_of(kind).cell().zero_state(drawn(3, 1, seed=0))
    parts = [start.hidden] if start.cell is None else [start.hidden, start.cell]
    assert len(parts) == (2 if "lstm" in kind else 1)
    for part in parts:
        assert part.shape == (3, HIDDEN) and part.dtype == torch.float64 and not part.any()


def test_what_depends_on_equal_rows_is_computed_once():
    inputs, computed = drawn(6, 3, seed=0), []
    rows = torch.tensor([4, 1, 4, 4, 1, 5] * 3)
    equal = EqualRows.of(rows)
    found = equal.once(lambda each: computed.append(each) or 2 * each, inputs[rows])
    assert torch.equal(found, 2 * inputs[rows])
    assert [sorted(each[:, 0].tolist()) for each in computed] == [
        sorted(inputs[[1, 4, 5], 0].tolist())
    ]
    assert EqualRows.of(torch.arange(40).flip(0)) is None
    assert EqualRows.of(torch.tensor([2, 0, 2])) is None  # too few


@every_cell
def test_selecting_rows_selects_the_whole_state(kind):
    state, rows = state_of(kind, rows=3), torch.tensor([2, 0, 0])
    chosen = state.select(rows)
    for row, origin in enumerate(rows.tolist()):
        assert_is(chosen, row, row_of(state, origin))


@every_cell
def test_fresh_weights_are_orthogonal_where_they_recur(kind):
    torch.manual_seed(0)
    layer = LAYERS[kind](input_size=INPUT, hidden_size=HIDDEN, extra_size=EXTRA)
    weights = layer.cell().weights
    for gate in weights.recurrent.split(HIDDEN):
        torch.testing.assert_close(gate @ gate.T, torch.eye(HIDDEN), rtol=0, atol=1e-5)
    expected = [0.0, 1.0, 0.0, 0.0] if "lstm" in kind else [0.0, 0.0, 0.0]  # i f g o; r z n
    assert [gate.tolist() for gate in weights.bias.split(HIDDEN)] == [
        [e] * HIDDEN for e in expected
    ]
    if weights.recurrent_bias is not None:
        assert not weights.recurrent_bias.any()


def test_a_fresh_layer_norm_changes_nothing_but_mean_and_spread():
    norms = list(LAYERS["lstm_layer_norm"](input_size=2, hidden_size=3).children())
    assert [len(norm.weight) for norm in norms] == [12, 12, 3]
    assert all((norm.weight == 1).all() and (norm.bias == 0).all() for norm in norms)


# Stacks


@mark.parametrize("residual_from", [None, 1, 2, 3])
@mark.parametrize("upper_extra", [0, EXTRA])
@mark.parametrize("extra", [0, EXTRA])
@every_cell
def test_a_step_of_a_stack_is_that_of_its_layers(kind, extra, upper_extra, residual_from):
    stack = stack_of(
        kind, layers=3, extra_size=extra, upper_extra_size=upper_extra, residual_from=residual_from
    )
    states, x = states_of(kind, layers=3), drawn(2, INPUT, seed=1)
    lower, upper = drawn(2, extra, seed=2), drawn(2, upper_extra, seed=3)
    cells = stack.cells()
    after, output = cells.step(
        cells.project(x), states, lower if extra else None, upper if upper_extra else None
    )
    steps = [
        references.step_of(kind, dict(layer.named_parameters()), extra_size=size)
        for layer, size in zip(stack.layers, [extra, upper_extra, upper_extra], strict=True)
    ]
    for row in range(2):
        expected, top = references.stack(
            x[row].numpy(),
            [row_of(state, row) for state in states],
            steps,
            extra=lower[row].numpy(),
            upper_extra=upper[row].numpy(),
            residual_from=residual_from,
        )
        torch.testing.assert_close(output[row], torch.tensor(top), **EXACT)
        for ours, theirs in zip(after, expected, strict=True):
            assert_is(ours, row, theirs)


@mark.parametrize("layers", [1, 3])
@mark.parametrize("residual_from", [None, 2, 3])
@mark.parametrize("extra", [0, EXTRA])
@every_cell
def test_a_stack_at_once_is_its_steps(kind, extra, residual_from, layers):
    stack = stack_of(
        kind, layers=layers, extra_size=extra, upper_extra_size=extra, residual_from=residual_from
    )
    states, inputs = states_of(kind, layers=layers), drawn(2, 5, INPUT, seed=3)
    lower, upper = (drawn(2, 5, EXTRA, seed=seed) if extra else None for seed in (4, 6))
    at_once = stack.unroll(inputs, states, lower, upper)
    by_parts = stack.unroll_upper(stack.unroll_lowest(inputs, states[0], lower), states[1:], upper)
    torch.testing.assert_close(at_once, by_parts, rtol=0, atol=0)
    cells = stack.cells()
    for t, projected in enumerate(cells.project(inputs).unbind(1)):
        extras = (None if each is None else each[:, t] for each in (lower, upper))
        states, output = cells.step(projected, states, *extras)
        torch.testing.assert_close(at_once[:, t], output, **EXACT)


@every_cell
def test_the_lowest_layer_and_the_upper_ones_may_be_stepped_apart(kind):
    stack, states = stack_of(kind, layers=3, residual_from=2), states_of(kind, layers=3)
    cells = stack.cells()
    projected = cells.project(drawn(2, INPUT, seed=1))
    together, output = cells.step(projected, states)
    lowest = cells.step_lowest(projected, states[0])
    upper, same = cells.step_upper(lowest.hidden, states[1:])
    assert torch.equal(output, same)
    for ours, theirs in zip((lowest, *upper), together, strict=True):
        assert torch.equal(ours.hidden, theirs.hidden)


def test_dropout_lies_between_layers_and_before_what_is_added():
    stack = stack_of("gru", layers=2, residual_from=2, dropout=0.5).train()
    states = states_of("gru", layers=2)
    hidden = drawn(2, 1, HIDDEN, seed=7)
    torch.manual_seed(3)
    inputs = stack.dropout(hidden)
    torch.manual_seed(3)
    output = stack.unroll_upper(hidden, states[1:])
    top = stack.layers[1].unroll(inputs, states[1])
    torch.testing.assert_close(output, top + inputs, **EXACT)  # no dropout on the top layer itself


@every_cell
def test_the_gradient_of_a_residual_stack_is_right(kind):
    stack = stack_of(kind, layers=3, extra_size=EXTRA, upper_extra_size=EXTRA, residual_from=2)
    states, inputs = states_of(kind, layers=3), drawn(1, 2, INPUT, seed=3)
    states = tuple(state.select(torch.tensor([0])) for state in states)
    extra = drawn(1, EXTRA, seed=4).requires_grad_()

    def outputs(*_):
        cells, now, found = stack.cells(), states, []
        for projected in cells.project(inputs).unbind(1):
            now, output = cells.step(projected, now, extra, extra)
            found.append(output)
        return tuple(found)

    assert torch.autograd.gradcheck(outputs, (extra, *stack.parameters()), fast_mode=True)


# Bridges


def bridge_of(bridge: str, cell: CellKind, *, biases: bool = True) -> Bridge:
    spec = LayerSpec(cell=cell, hidden_size=HIDDEN, biases=biases)
    built = Bridge(spec, kind=bridge, summary_size=5, layers=2)
    redraw(built.double(), seed=6)
    return built


@mark.parametrize("biases", [True, False])
@every_cell
def test_a_tanh_bridge_maps_the_summary(kind, biases):
    bridge, summary = bridge_of("tanh", kind, biases=biases), drawn(3, 5, seed=4)
    for layer, state in enumerate(bridge(summary, ())):
        for row in range(3):
            hidden, cell = (
                references.affine(dict(maps[layer].named_parameters()), summary[row].numpy())
                if len(maps)
                else None
                for maps in (bridge.hidden, bridge.cell)
            )
            # s_0 = tanh(W_s h): Bahdanau et al. (2015), appendix A.2.2
            assert_is(state, row, references.State(references.tanh(hidden), cell))


@every_cell
def test_a_zero_bridge_starts_from_zeros(kind):
    bridge = bridge_of("zero", kind)
    states = bridge(drawn(3, 5, seed=4), states_of(kind, layers=1))
    assert len(states) == 2 and not list(bridge.parameters())
    zeros = drawn(HIDDEN, seed=0).zero_().numpy()
    for state in states:
        for row in range(3):
            assert_is(state, row, references.State(zeros, zeros if "lstm" in kind else None))


@mark.parametrize("encoder", ["lstm", "gru"])
@every_cell
def test_a_copy_bridge_passes_on_the_final_states(kind, encoder):
    final = states_of(encoder, layers=2)
    states = bridge_of("copy", kind)(drawn(2, 5, seed=4), final)
    for ours, theirs in zip(states, final, strict=True):
        assert torch.equal(ours.hidden, theirs.hidden)
        if "lstm" not in kind:
            assert ours.cell is None
        elif encoder == "lstm":
            assert torch.equal(ours.cell, theirs.cell)
        else:  # an encoder without cells: the decoder's start from 0
            assert ours.cell.shape == ours.hidden.shape and not ours.cell.any()


@mark.parametrize("layers", [0, 1, 3])
def test_a_copy_bridge_refuses_another_number_of_layers(layers):
    with raises(ValueError, match="cannot be copied into 2 decoder layers of width 4"):
        bridge_of("copy", "lstm")(drawn(2, 5, seed=4), states_of("lstm", layers=layers))


def test_a_copy_bridge_refuses_another_width():
    wide = CellState(drawn(2, 2 * HIDDEN, seed=1), None)
    with raises(ValueError, match=r"\[8, 4\] wide"):
        bridge_of("copy", "gru")(drawn(2, 5, seed=4), (wide, state_of("gru")))
