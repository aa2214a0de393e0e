"""Recurrent cells, encoders and first states as plain loops over float64, from the papers alone.

A cell's weights are given gate by gate, under the names that its paper gives to the gates.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from references import Array, sigmoid, tanh, times
from torch import nn


class Gate(NamedTuple):
    """The weights of one gate; a missing bias is 0, and a missing input is an empty vector."""

    of_input: Array  # [H, I]
    of_extra: Array  # [H, X]
    of_state: Array  # [H, H]
    bias: Array  # [H]
    state_bias: Array  # [H]

    def negated(self) -> "Gate":
        """sig of this gate is 1 - sig of the other."""
        return Gate(*(-each for each in self))


class CellWeights(NamedTuple):
    """The weights of a cell in PyTorch's layout; G is the number of gates times H."""

    inputs: Array  # [G, I]
    recurrent: Array  # [G, H]
    input_bias: Array  # [G]
    recurrent_bias: Array  # [G]


class State(NamedTuple):
    hidden: Array
    cell: Array | None = None


Gates = Mapping[str, Gate]
Parameters = Mapping[str, nn.Parameter]
Step = Callable[[Array, Array, State], State]
"""One step of a cell: its input, its extra input (empty if it has none), the previous state."""
NOTHING = np.zeros(0)


# Cells


def lstm(x: Array, extra: Array, state: State, gates: Gates) -> State:
    """torch.nn.LSTM's documentation, its input being [x ; extra]."""

    def of(name: str) -> Array:
        g = gates[name]
        projected = times(g.of_input, x) + times(g.of_extra, extra) + g.bias
        return projected + times(g.of_state, state.hidden) + g.state_bias

    assert state.cell is not None
    cell = sigmoid(of("f")) * state.cell + sigmoid(of("i")) * tanh(of("g"))
    return State(sigmoid(of("o")) * tanh(cell), cell)


def gru(x: Array, extra: Array, state: State, gates: Gates) -> State:
    """torch.nn.GRU's documentation, its input being [x ; extra]; resets after the product."""

    def of_input(name: str) -> Array:
        g = gates[name]
        return times(g.of_input, x) + times(g.of_extra, extra) + g.bias

    def of_state(name: str) -> Array:
        return times(gates[name].of_state, state.hidden) + gates[name].state_bias

    r = sigmoid(of_input("r") + of_state("r"))
    z = sigmoid(of_input("z") + of_state("z"))
    n = tanh(of_input("n") + r * of_state("n"))
    return State((1 - z) * n + z * state.hidden)


def bahdanau_gru(y: Array, c: Array, state: State, gates: Gates) -> State:
    """Bahdanau et al. (2015), appendix A.2.2, with a bias; n is s~ there.

    s_i = (1 - z_i) s_{i-1} + z_i s~_i, so this z is large where the state is new.
    """
    s = state.hidden
    r, z, new = gates["r"], gates["z"], gates["n"]
    reset = sigmoid(times(r.of_input, y) + times(r.of_state, s) + times(r.of_extra, c) + r.bias)
    update = sigmoid(times(z.of_input, y) + times(z.of_state, s) + times(z.of_extra, c) + z.bias)
    proposal = tanh(
        times(new.of_input, y) + times(new.of_state, reset * s) + times(new.of_extra, c) + new.bias
    )
    return State((1 - update) * s + update * proposal)


def cho_encoder_gru(x: Array, nothing: Array, state: State, gates: Gates) -> State:
    """Cho et al. (2014), equations 5 to 8, unit by unit, with a bias and no extra input."""
    assert not len(nothing)
    h, r, z, new = state.hidden, gates["r"], gates["z"], gates["n"]
    reset = sigmoid(times(r.of_input, x) + times(r.of_state, h) + r.bias)  # equation 5
    update = sigmoid(times(z.of_input, x) + times(z.of_state, h) + z.bias)  # equation 6
    after = []
    for j in range(len(h)):
        proposal = math.tanh(  # equation 8
            times(new.of_input, x)[j] + times(new.of_state, reset * h)[j] + new.bias[j]
        )
        after.append(update[j] * h[j] + (1 - update[j]) * proposal)  # equation 7
    return State(np.array(after))


def cho_decoder_gru(y: Array, c: Array, state: State, gates: Gates) -> State:
    """Cho et al. (2014), appendix A, with a bias: r acts on U h and C c, unit by unit."""
    h, r, z, new = state.hidden, gates["r"], gates["z"], gates["n"]
    reset = sigmoid(times(r.of_input, y) + times(r.of_state, h) + times(r.of_extra, c) + r.bias)
    update = sigmoid(times(z.of_input, y) + times(z.of_state, h) + times(z.of_extra, c) + z.bias)
    after = []
    for j in range(len(h)):
        inner = reset[j] * (times(new.of_state, h)[j] + times(new.of_extra, c)[j])
        proposal = math.tanh(times(new.of_input, y)[j] + new.bias[j] + inner)
        after.append(update[j] * h[j] + (1 - update[j]) * proposal)
    return State(np.array(after))


class Norm(NamedTuple):
    gain: Array
    bias: Array


def layer_norm(z: Array, norm: Norm) -> Array:
    """Ba et al. (2016), equations 3 and 4; 1e-5 in the root, which the paper leaves out."""
    mean = sum(z) / len(z)
    deviation = math.sqrt(sum((each - mean) ** 2 for each in z) / len(z) + 1e-5)
    return norm.gain * (z - mean) / deviation + norm.bias


def layer_norm_lstm(
    x: Array, extra: Array, state: State, gates: Gates, norms: Mapping[str, Norm]
) -> State:
    """Ba et al. (2016), equations 20 to 22; their x is [x; extra], the gates in order i f g o."""
    assert state.cell is not None
    names = "ifgo"
    of_state = np.concatenate([times(gates[name].of_state, state.hidden) for name in names])
    of_input = np.concatenate(
        [times(gates[name].of_input, x) + times(gates[name].of_extra, extra) for name in names]
    )
    total = layer_norm(of_state, norms["recurrent"]) + layer_norm(of_input, norms["inputs"])
    total = total + np.concatenate([gates[name].bias for name in names])
    i, f, g, o = np.split(total, 4)
    cell = sigmoid(f) * state.cell + sigmoid(i) * tanh(g)
    return State(sigmoid(o) * tanh(layer_norm(cell, norms["cell"])), cell)


# The weights of our layers under the papers' names


def gates_of(parameters: Parameters, names: str, *, extra_size: int) -> dict[str, Gate]:
    """The gates of one of our layers; the last `extra_size` columns are for the extra input."""
    found = {
        name.removeprefix("rnn.").removesuffix("_l0").removesuffix("_l0_reverse"): value
        for name, value in parameters.items()
    }
    arrays = {name: value.detach().numpy() for name, value in found.items()}
    size = arrays["weight_hh"].shape[1]
    nothing = np.zeros(len(names) * size)
    weights = CellWeights(
        arrays["weight_ih"],
        arrays["weight_hh"],
        arrays.get("bias_ih", arrays.get("bias", nothing)),
        arrays.get("bias_hh", nothing),
    )
    return split_gates(weights, names, extra_size=extra_size)


def split_gates(weights: CellWeights, names: str, *, extra_size: int = 0) -> dict[str, Gate]:
    """The gates of PyTorch's layout, in which their rows lie one after the other."""
    columns = [weights.inputs.shape[1] - extra_size]
    gates = {}
    for name, inputs, recurrent, first, second in zip(
        names, *(np.split(each, len(names)) for each in weights), strict=True
    ):
        of_input, of_extra = np.split(inputs, columns, axis=1)
        gates[name] = Gate(of_input, of_extra, recurrent, first, second)
    return gates


def norm_of(parameters: Parameters, name: str) -> Norm:
    gain = parameters[f"normalise_{name}.weight"].detach().numpy()
    bias = parameters.get(f"normalise_{name}.bias")
    return Norm(gain, np.zeros(len(gain)) if bias is None else bias.detach().numpy())


def step_of(kind: str, parameters: Parameters, *, extra_size: int = 0) -> Step:
    """The paper's step function with one of our layers' weights."""
    gates = gates_of(parameters, "ifgo" if "lstm" in kind else "rzn", extra_size=extra_size)
    if kind == "gru_reset_before":  # Bahdanau's z is our 1 - z = sig(-W x - ...)
        gates = {**gates, "z": gates["z"].negated()}
    if kind == "lstm_layer_norm":
        norms = {name: norm_of(parameters, name) for name in ("inputs", "recurrent", "cell")}
        return lambda x, extra, state: layer_norm_lstm(x, extra, state, gates, norms)
    papers = {
        "lstm": lstm,
        "gru": gru,
        "gru_reset_before": bahdanau_gru,
        "gru_cho": cho_decoder_gru,
    }
    return lambda x, extra, state: papers[kind](x, extra, state, gates)


# Stacks and encoders


def stack(
    x: Array,
    states: Sequence[State],
    steps: Sequence[Step],
    *,
    extra: Array,
    upper_extra: Array,
    residual_from: int | None,
) -> tuple[list[State], Array]:
    """The next state of every layer and the stack's output: Wu et al. (2016), equations 5 and 6."""
    lowest = steps[0](x, extra, states[0])
    after, output = upper_layers(
        lowest.hidden, states[1:], steps[1:], extra=upper_extra, residual_from=residual_from
    )
    return [lowest, *after], output


def upper_layers(
    x: Array,
    states: Sequence[State],
    steps: Sequence[Step],
    *,
    extra: Array,
    residual_from: int | None,
) -> tuple[list[State], Array]:
    """The next states of the upper layers: x^i = m^i + x^{i-1} from `residual_from` on."""
    after: list[State] = []
    for number, (step, state) in enumerate(zip(steps, states, strict=True), start=2):
        after.append(step(x, extra, state))
        adds = residual_from is not None and number >= residual_from
        x = after[-1].hidden + x if adds else after[-1].hidden
    return after, x


class LayerStates(NamedTuple):
    """One layer's states, in the order of its inputs, and the final state of each direction."""

    states: list[Array]
    final: list[State]


def forward_states(step: Step, inputs: Sequence[Array], start: State) -> list[State]:
    states = []
    for each in inputs:
        start = step(each, NOTHING, start)
        states.append(start)
    return states


def bidirectional(
    forward: Step, backward: Step, inputs: Sequence[Array], start: State
) -> LayerStates:
    """h_j = [forward_j ; backward_j]: Bahdanau et al. (2015), section 3.2."""
    first = forward_states(forward, inputs, start)
    second = forward_states(backward, inputs[::-1], start)
    joined = [
        np.concatenate([f.hidden, b.hidden]) for f, b in zip(first, second[::-1], strict=True)
    ]
    return LayerStates(joined, [first[-1], second[-1]])


def layer(steps: Sequence[Step], inputs: Sequence[Array], start: State) -> LayerStates:
    """The first step function goes forward; the second one, if there is one, backward."""
    if len(steps) == 2:
        return bidirectional(steps[0], steps[1], inputs, start)
    states = forward_states(steps[0], inputs, start)
    return LayerStates([state.hidden for state in states], states[-1:])


def pairs(states: Sequence[Array]) -> list[Array]:
    """[h_{2i} ; h_{2i+1}]: Chan et al. (2016), equation 5; an odd last state beside zeros."""
    even = list(states)
    if len(even) % 2:
        even.append(np.zeros_like(even[0]))
    return [np.concatenate([even[i], even[i + 1]]) for i in range(0, len(even), 2)]


def words_reversed(inputs: Sequence[Array]) -> list[Array]:
    """Words from the last to the first, then EOS: Sutskever et al. (2014), section 3.3."""
    *words, end = inputs
    return [*words[::-1], end]


def encoder(
    inputs: Sequence[Array],
    layers: Sequence[Sequence[Step]],
    start: State,
    *,
    pyramid: bool = False,
    reverse: bool = False,
    residual_from: int | None = None,
) -> tuple[list[Array], list[list[State]]]:
    """The top layer's states at the positions of their words, and each layer's final states.

    x^i = m^i + x^{i-1} from a layer on, where they are equally wide: Wu et al. (2016), equation 6.
    """
    states = words_reversed(inputs) if reverse else list(inputs)
    final_states = []
    for number, steps in enumerate(layers, start=1):
        if pyramid and number > 1:
            states = pairs(states)
        result = layer(steps, states, start)
        adds = residual_from is not None and number >= residual_from
        if adds and len(result.states[0]) == len(states[0]):
            states = [above + below for above, below in zip(result.states, states, strict=True)]
        else:
            states = result.states
        final_states.append(result.final)
    return (words_reversed(states) if reverse else states), final_states


def mean(states: Sequence[Array]) -> Array:
    return np.array(sum(states) / len(states))


def affine(parameters: Parameters, vector: Array) -> Array:
    """W v + b, or W v, of a torch.nn.Linear."""
    arrays = {name: value.detach().numpy() for name, value in parameters.items()}
    return times(arrays["weight"], vector) + arrays.get("bias", 0.0)
