"""The loops that our cells are compared with, on cases small enough to work out by hand."""

import math

import numpy as np
import recurrent_references as rr

ONE, NOTHING = np.eye(1), np.zeros(1)


def vector(*numbers: float) -> rr.Array:
    return np.array(numbers, dtype=np.float64)


def gate(
    inputs: rr.Array = 0 * ONE,
    extra: rr.Array = 0 * ONE,
    state: rr.Array = 0 * ONE,
    bias: rr.Array = NOTHING,
) -> rr.Gate:
    return rr.Gate(inputs, extra, state, bias, np.zeros(len(bias)))


def test_bahdanau_resets_before_the_product_and_cho_after_it():
    gates = {"r": gate(), "z": gate(), "n": gate(extra=ONE, state=ONE)}
    before, context = rr.State(vector(0.8)), vector(0.5)
    # z = r = 1/2: s~ = tanh(.4 + .5), s' = .4 + s~ / 2
    after = rr.bahdanau_gru(vector(9), context, before, gates)
    np.testing.assert_allclose(after.hidden, [0.4 + math.tanh(0.9) / 2], atol=1e-12)
    # h~ = tanh(1/2 (.8 + .5))
    after = rr.cho_decoder_gru(vector(9), context, before, gates)
    np.testing.assert_allclose(after.hidden, [0.4 + math.tanh(0.65) / 2], atol=1e-12)


def test_an_update_gate_of_1_is_the_new_state_for_bahdanau_and_the_old_for_cho():
    gates = {"r": gate(), "z": gate(bias=vector(50)), "n": gate(inputs=ONE)}
    before, context = rr.State(vector(0.3)), vector(0)
    after = rr.bahdanau_gru(vector(1), context, before, gates)
    np.testing.assert_allclose(after.hidden, [math.tanh(1)], atol=1e-12)
    after = rr.cho_decoder_gru(vector(1), context, before, gates)
    np.testing.assert_allclose(after.hidden, [0.3], atol=1e-12)


def test_layer_norm_by_hand():
    # mean 2, variance (1^2 + 1^2) / 2 = 1, and 1e-5 beside it
    normalised = rr.layer_norm(vector(1, 3), rr.Norm(vector(2, 2), vector(0, 10)))
    np.testing.assert_allclose(normalised, [-2, 12], atol=1e-4)


def test_the_layer_normalised_lstm_by_hand():
    gates = {
        name: gate(
            inputs=np.array([[1000.0], [-1000.0]]),
            extra=np.zeros((2, 0)),
            state=np.zeros((2, 2)),
            bias=np.full(2, 1.0 if name == "g" else 0.0),
        )
        for name in "ifgo"
    }
    fresh = {"recurrent": 8, "inputs": 8, "cell": 2}
    norms = {name: rr.Norm(np.ones(size), np.zeros(size)) for name, size in fresh.items()}
    state = rr.State(np.zeros(2), vector(1, -1))
    # LN(W_h h) = 0; LN(W_x x) is +-1 whatever x > 0: gates (1, -1), g = (2, 0)
    after = rr.layer_norm_lstm(vector(7), vector(), state, gates, norms)
    up = 1 / (1 + math.exp(-1))
    cell = [up * 1 + up * math.tanh(2), -(1 - up)]
    np.testing.assert_allclose(after.cell, cell, atol=1e-9)
    # LN of two unequal numbers is (1, -1): h = sig(1) tanh(1), sig(-1) tanh(-1)
    expected = [up * math.tanh(1), -(1 - up) * math.tanh(1)]
    np.testing.assert_allclose(after.hidden, expected, atol=1e-4)
