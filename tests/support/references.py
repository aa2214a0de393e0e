"""The published equations as plain loops over float64 numbers, written from the papers alone.

Nothing here is shared with the code under test, nothing is batched, and nothing is fast. Matrices
are NumPy arrays, vectors have one dimension; a mask is a list of booleans, True = may look.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Score = Callable[[Array, Array], float]
Weights = Mapping[str, Array]


def times(matrix: Array, vector: Array) -> Array:
    """A matrix-vector product, a number at a time."""
    rows, columns = matrix.shape
    assert len(vector) == columns
    return np.array([sum(matrix[r, c] * vector[c] for c in range(columns)) for r in range(rows)])


def sigmoid(x: Array) -> Array:
    return np.array([1.0 / (1.0 + math.exp(-float(each))) for each in x])


def tanh(x: Array) -> Array:
    return np.array([math.tanh(float(each)) for each in x])


def join(*vectors: Array) -> Array:
    return np.concatenate(vectors)


# Scores


def dot_score(query: Array, key: Array) -> float:
    """q . k: Luong et al. (2015), equation 8, first line."""
    return float(sum(query[i] * key[i] for i in range(len(query))))


def scaled_dot_score(query: Array, key: Array) -> float:
    """q . k / sqrt(d_k): Vaswani et al. (2017), equation 1."""
    return dot_score(query, key) / math.sqrt(len(key))


def general_score(query: Array, key: Array, *, matrix: Array) -> float:
    """q^T W_a k: Luong et al. (2015), equation 8, second line."""
    return float(
        sum(
            query[i] * matrix[i, j] * key[j]
            for i in range(matrix.shape[0])
            for j in range(matrix.shape[1])
        )
    )


def joined_score(query: Array, key: Array, *, matrix: Array, vector: Array) -> float:
    """v_a^T tanh(W_a [q ; k]): Luong et al. (2015), equation 8, third line ("concat" there)."""
    return dot_score(vector, tanh(times(matrix, join(query, key))))


def two_matrix_score(
    query: Array, key: Array, *, for_query: Array, for_key: Array, vector: Array
) -> float:
    """v_a^T tanh(W_a q + U_a k): Bahdanau et al. (2015), appendix A.1.2."""
    return dot_score(vector, tanh(times(for_query, query) + times(for_key, key)))


def score_of(name: str, weights: Weights) -> Score:
    """The score of that name in this project, with weights named as in its modules."""
    if name == "dot":
        return dot_score
    if name == "scaled_dot":
        return scaled_dot_score
    if name == "general":
        return lambda q, k: general_score(q, k, matrix=weights["weight"])
    if name == "additive":  # one matrix over the joined vectors
        return lambda q, k: joined_score(
            q, k, matrix=weights["weight"], vector=weights["reduction"]
        )
    assert name == "concat"  # a matrix for each
    return lambda q, k: two_matrix_score(
        q,
        k,
        for_query=weights["query_weight"],
        for_key=weights["key_weight"],
        vector=weights["reduction"],
    )


# Attention


class Look(NamedTuple):
    context: Array  # [D_v]
    weights: Array  # [N]


def masked_softmax(scores: Sequence[float], mask: Sequence[bool]) -> Array:
    """exp(e_j) / sum_k exp(e_k) over the places that may be looked at; Bahdanau (2015), eq. 6."""
    allowed = [score for score, real in zip(scores, mask, strict=True) if real]
    if not allowed:
        return np.zeros(len(scores))
    highest = max(allowed)
    total = sum(math.exp(score - highest) for score in allowed)
    return np.array(
        [
            math.exp(score - highest) / total if real else 0.0
            for score, real in zip(scores, mask, strict=True)
        ]
    )


def attention(query: Array, keys: Array, values: Array, mask: Sequence[bool], score: Score) -> Look:
    """c = sum_j a_j h_j: Bahdanau et al. (2015), equation 5."""
    weights = masked_softmax([score(query, key) for key in keys], mask)
    context = np.zeros(values.shape[1])
    for weight, value in zip(weights, values, strict=True):
        context = context + weight * value
    return Look(context, weights)


# Cells, in the convention of PyTorch's documentation


class State(NamedTuple):
    hidden: Array
    cell: Array | None  # None for a GRU


class CellWeights(NamedTuple):
    inputs: Array  # [G, I]
    recurrent: Array  # [G, H]
    input_bias: Array  # [G]
    recurrent_bias: Array  # [G]


def lstm_cell(x: Array, state: State, w: CellWeights) -> State:
    """torch.nn.LSTMCell: gates in the order i, f, g, o."""
    assert state.cell is not None
    size = len(state.hidden)
    a = times(w.inputs, x) + w.input_bias + times(w.recurrent, state.hidden) + w.recurrent_bias
    i = sigmoid(a[:size])
    f = sigmoid(a[size : 2 * size])
    g = tanh(a[2 * size : 3 * size])
    o = sigmoid(a[3 * size :])
    cell = f * state.cell + i * g
    return State(o * tanh(cell), cell)


def gru_cell(x: Array, state: State, w: CellWeights) -> State:
    """torch.nn.GRUCell: gates in the order r, z, n; the reset gate after the product."""
    size = len(state.hidden)
    a = times(w.inputs, x) + w.input_bias
    b = times(w.recurrent, state.hidden) + w.recurrent_bias
    r = sigmoid(a[:size] + b[:size])
    z = sigmoid(a[size : 2 * size] + b[size : 2 * size])
    n = tanh(a[2 * size :] + r * b[2 * size :])
    return State((1 - z) * n + z * state.hidden, None)


def cell_step(kind: str, x: Array, state: State, w: CellWeights) -> State:
    return lstm_cell(x, state, w) if kind == "lstm" else gru_cell(x, state, w)


def embedding(rows: Array, piece: int) -> Array:
    """E y sqrt(d_model): Vaswani et al. (2017), section 3.4."""
    return rows[piece] * math.sqrt(rows.shape[1])


# Decoders: one whole step


class Decoding(NamedTuple):
    """What a step leaves behind."""

    readout: Array
    states: list[State]  # lowest layer first
    weights: Array | None


def first_states(weights: Weights, summary: Array, *, layers: int, cell: str) -> list[State]:
    """s_0 = tanh(W_s h): Bahdanau et al. (2015), appendix A.2.2; an LSTM's cell is linear."""
    states = []
    for layer in range(layers):
        hidden = times(weights[f"bridge.hidden.{layer}.weight"], summary)
        hidden = tanh(hidden + weights[f"bridge.hidden.{layer}.bias"])
        memory = None
        if cell == "lstm":
            memory = times(weights[f"bridge.cell.{layer}.weight"], summary)
            memory = memory + weights[f"bridge.cell.{layer}.bias"]
        states.append(State(hidden, memory))
    return states


def stack_step(weights: Weights, x: Array, states: list[State], *, cell: str) -> list[State]:
    """Each layer reads the one below. What is fed back is a part of x, joined to it."""
    after = []
    for layer, state in enumerate(states):
        prefix = f"stack.layers.{layer}."
        inputs = weights[prefix + "rnn.weight_ih_l0"]
        if prefix + "feedback.weight" in weights:
            inputs = np.concatenate([inputs, weights[prefix + "feedback.weight"]], axis=1)
        w = CellWeights(
            inputs,
            weights[prefix + "rnn.weight_hh_l0"],
            weights[prefix + "rnn.bias_ih_l0"],
            weights[prefix + "rnn.bias_hh_l0"],
        )
        after.append(cell_step(cell, x if layer == 0 else after[-1].hidden, state, w))
    return after


def plain_step(
    weights: Weights, embedded: Array, states: list[State], summary: Array, *, cell: str, to: str
) -> Decoding:
    """ "state": Sutskever et al. (2014), section 2; "input": Cho et al. (2014), section 2.2."""
    everywhere = [summary] if to == "input" else []
    states = stack_step(weights, join(embedded, *everywhere), states, cell=cell)
    read = join(states[-1].hidden, *everywhere)
    readout = tanh(times(weights["readout.weight"], read) + weights["readout.bias"])
    return Decoding(readout, states, None)


def luong_step(
    weights: Weights,
    embedded: Array,
    states: list[State],
    fed: Array | None,
    look: Callable[[Array], Look],
    *,
    cell: str,
) -> Decoding:
    """h~ = tanh(W_c [c ; h]), Luong et al. (2015), equation 5; fed back as in section 3.3."""
    x = embedded if fed is None else join(embedded, fed)
    states = stack_step(weights, x, states, cell=cell)
    seen = look(states[-1].hidden)
    readout = tanh(times(weights["readout.weight"], join(seen.context, states[-1].hidden)))
    return Decoding(readout, states, seen.weights)


def bahdanau_step(
    weights: Weights,
    embedded: Array,
    states: list[State],
    look: Callable[[Array], Look],
    *,
    cell: str,
) -> Decoding:
    """c_i from s_{i-1}, then s_i = f(s_{i-1}, y_{i-1}, c_i): Bahdanau (2015), equations 4 to 6."""
    seen = look(states[-1].hidden)
    states = stack_step(weights, join(embedded, seen.context), states, cell=cell)
    read = join(states[-1].hidden, seen.context, embedded)
    readout = tanh(times(weights["readout.weight"], read) + weights["readout.bias"])
    return Decoding(readout, states, seen.weights)


# Loss and learning rate


def log_softmax(logits: Array) -> Array:
    highest = max(float(each) for each in logits)
    total = math.log(sum(math.exp(float(each) - highest) for each in logits))
    return np.array([float(each) - highest - total for each in logits])


def smoothed_cross_entropy(logits: Array, labels: Sequence[int], smoothing: float) -> float:
    """H(q', p) with q'(k) = (1 - e) [k = y] + e / K: Szegedy et al. (2016), section 7. Summed."""
    nats = 0.0
    for row, label in zip(logits, labels, strict=True):
        log_probabilities = log_softmax(row)
        for k, log_probability in enumerate(log_probabilities):
            target = smoothing / len(row) + (1 - smoothing if k == label else 0.0)
            nats -= target * float(log_probability)
    return nats


def r_drop(
    one: Array, other: Array, labels: Sequence[int], smoothing: float, alpha: float
) -> float:
    """Half of L_NLL + alpha L_KL: Liang et al. (2021), equations 2 to 4. Summed over tokens."""
    nats = sum(smoothed_cross_entropy(logits, labels, smoothing) for logits in (one, other))
    apart = 0.0
    for p, q in zip(map(log_softmax, one), map(log_softmax, other), strict=True):
        for log_p, log_q in zip(map(float, p), map(float, q), strict=True):
            apart += math.exp(log_p) * (log_p - log_q) / 2
            apart += math.exp(log_q) * (log_q - log_p) / 2
    return (nats + alpha * apart) / 2


def noam_rate(step: int, *, warmup: int, width: float) -> float:
    """d^-0.5 min(n^-0.5, n w^-1.5): Vaswani et al. (2017), equation 3."""
    return float(width**-0.5 * min(step**-0.5, step * warmup**-1.5))
