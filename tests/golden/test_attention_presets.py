"""Whole presets against plain float64 loops, written from the equations that `describe` prints.

One sentence at a time, a step at a time, with no tensor code of ours: only weights are taken from
the model, by name. PyTorch keeps gates in the order i f g o and r z n.
"""

import numpy as np
import pytest
import torch
from tiny import model_of, padded, stepped

from cli.runs.preset import preset_names, read_preset
from seq2seq.batch import BOS, EOS
from seq2seq.config import ModelConfig

SOURCE, TARGET = [4, 9, 6, 7, 5, 10, 8], [5, 6, 10, 7, 4]
WIDTHS = {
    "sutskever2014": {"embedding_size": 3, "encoder_size": 5, "decoder_size": 5},
    "cho2014": {"embedding_size": 3, "encoder_size": 5, "decoder_size": 4, "readout_size": 2},
    "bahdanau2015": {
        "embedding_size": 3,
        "encoder_size": 5,
        "decoder_size": 4,
        "attention_size": 6,
        "readout_size": 2,
    },
    "luong2015-global": {
        "embedding_size": 3,
        "encoder_size": 5,
        "decoder_size": 5,
        "readout_size": 4,
    },
    "luong2015-local-p": {
        "embedding_size": 3,
        "encoder_size": 5,
        "decoder_size": 5,
        "attention_size": 2,
        "readout_size": 4,
        "window": 2,
    },
    "nematus-cgru": {
        "embedding_size": 3,
        "encoder_size": 5,
        "decoder_size": 4,
        "attention_size": 6,
        "readout_size": 2,
    },
    "gnmt": {"embedding_size": 3, "encoder_size": 5, "decoder_size": 4, "attention_size": 6},
    "rnmt-plus": {
        "embedding_size": 3,
        "encoder_size": 5,
        "encoder_projection": 8,
        "decoder_size": 4,
        "attention_size": 12,
    },
}


def sig(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def join(*parts):
    return np.concatenate(parts)


def norm(x, gain, bias):
    return gain * (x - x.mean()) / np.sqrt(x.var() + 1e-5) + bias


class Weights:
    """The parameters below a name."""

    def __init__(self, values, prefix=""):
        self.values, self.prefix = values, prefix

    def __truediv__(self, name):
        return Weights(self.values, f"{self.prefix}{name}.")

    def __call__(self, name):
        return self.values[self.prefix + name]

    def bias(self, name, like):
        return self.values.get(self.prefix + name, np.zeros(len(like)))


def library(weights):
    """A layer of PyTorch's own: W, U and the sum or pair of its biases."""
    w, u = weights("rnn.weight_ih_l0"), weights("rnn.weight_hh_l0")
    return w, u, weights.bias("rnn.bias_ih_l0", w), weights.bias("rnn.bias_hh_l0", w)


def read_by(layer, direction=0):
    """A layer of the encoder in one of its directions."""
    return library(layer / f"directions.{direction}")


def lstm(layer, x, h, m):
    w, u, b, b2 = layer
    i, f, g, o = np.split(w @ x + u @ h + b + b2, 4)
    m = sig(f) * m + sig(i) * np.tanh(g)
    return sig(o) * np.tanh(m), m


def gru_after(layer, x, h):
    w, u, b, b2 = layer
    (rx, zx, nx), (rh, zh, nh) = np.split(w @ x + b, 3), np.split(u @ h + b2, 3)
    z = sig(zx + zh)
    return (1 - z) * np.tanh(nx + sig(rx + rh) * nh) + z * h


def gru_before(weights, x, h):
    w, u, b = weights("weight_ih"), weights("weight_hh"), weights("bias")
    (rx, zx, nx), (ur, uz, un) = np.split(w @ x + b, 3), np.split(u, 3)
    r, z = sig(rx + ur @ h), sig(zx + uz @ h)
    return (1 - z) * np.tanh(nx + un @ (r * h)) + z * h


def gru_cho(weights, y, c, h):
    w, u, b = weights("weight_ih"), weights("weight_hh"), weights("bias")
    w, cw = w[:, : len(y)], w[:, len(y) :]
    (ry, zy, ny), (rc, zc, nc) = np.split(w @ y + b, 3), np.split(cw @ c, 3)
    rh, zh, nh = np.split(u @ h, 3)
    z = sig(zy + zh + zc)
    n = np.tanh(ny + sig(ry + rh + rc) * (nh + nc))
    return z * h + (1 - z) * n


def lstm_normalised(weights, x, h, m):
    inputs = norm(
        weights("weight_ih") @ x,
        weights("normalise_inputs.weight"),
        weights("normalise_inputs.bias"),
    )
    recurrent = norm(
        weights("weight_hh") @ h,
        weights("normalise_recurrent.weight"),
        weights("normalise_recurrent.bias"),
    )
    i, f, g, o = np.split(inputs + recurrent + weights("bias"), 4)
    m = sig(f) * m + sig(i) * np.tanh(g)
    normalised = norm(m, weights("normalise_cell.weight"), weights("normalise_cell.bias"))
    return sig(o) * np.tanh(normalised), m


def run(step, inputs, size):
    """Every hidden state of one direction, and the last cell."""
    h, m, states = np.zeros(size), np.zeros(size), []
    for x in inputs:
        h, m = step(x, h, m)
        states.append(h)
    return states, m


def both_directions(forward, backward, inputs, size):
    f, _ = run(forward, inputs, size)
    b, _ = run(backward, inputs[::-1], size)
    return [join(*pair) for pair in zip(f, b[::-1], strict=True)]


def embedded(table, ids):
    return [table[i] for i in ids]


def previous_words(w):
    return embedded((w / "decoder")("embedding.weight"), [BOS, *TARGET])


def reversed_stack(w, layers, size):
    """Sutskever's and Luong's encoder: words from last to first, and no end."""
    inputs = embedded((w / "encoder")("embedding.weight"), SOURCE[::-1])
    last = []
    for number in range(layers):
        layer = read_by(w / f"encoder.layers.{number}")
        inputs, m = run(lambda x, h, m, layer=layer: lstm(layer, x, h, m), inputs, size)
        last.append((inputs[-1], m))
    return inputs, last


def sutskever2014(w, config):
    _, states = reversed_stack(w, 2, config.encoder_size)
    output = w / "output.vocabulary"
    layers = [library(w / f"decoder.stack.layers.{number}") for number in range(2)]
    logits = []
    for y in previous_words(w):
        x = y
        for number, layer in enumerate(layers):
            states[number] = lstm(layer, x, *states[number])
            x = states[number][0]
        logits.append(output("weight") @ x + output("bias"))
    return logits, None


def maxout(w, parts):
    units = w("decoder.readout.linear.weight") @ join(*parts) + w("decoder.readout.linear.bias")
    return np.array([max(pair) for pair in units.reshape(-1, 2)])


def cho2014(w, config):
    layer, h = w / "encoder.layers.0.directions.0", np.zeros(config.encoder_size)
    for x in embedded(w("encoder.embedding.weight"), [*SOURCE, EOS]):
        h = gru_before(layer, x, h)
    c = h
    s = np.tanh(w("decoder.bridge.hidden.0.weight") @ c + w("decoder.bridge.hidden.0.bias"))
    logits = []
    for y in previous_words(w):
        s = gru_cho(w / "decoder.stack.layers.0", y, c, s)
        out = maxout(w, (s, c, y))
        logits.append(w("output.vocabulary.weight") @ out + w("output.vocabulary.bias"))
    return logits, None


def bahdanau2015(w, config):
    size = config.encoder_size
    directions = [w / f"encoder.layers.0.directions.{number}" for number in range(2)]
    steps = [lambda x, h, m, d=d: (gru_before(d, x, h), m) for d in directions]
    words = embedded(w("encoder.embedding.weight"), [*SOURCE, EOS])
    memory = both_directions(*steps, words, size)
    first = memory[0][size:]  # backward, at the first word
    s = np.tanh(w("decoder.bridge.hidden.0.weight") @ first + w("decoder.bridge.hidden.0.bias"))
    score = w / "decoder.attention.score"
    logits, all_weights = [], []
    for y in previous_words(w):
        e = [
            score("reduction") @ np.tanh(score("query_weight") @ s + score("key_weight") @ h)
            for h in memory
        ]
        a = softmax(np.array(e))
        c = sum(weight * h for weight, h in zip(a, memory, strict=True))
        out = maxout(w, (s, c, y))
        s = gru_before(w / "decoder.stack.layers.0", join(y, c), s)
        logits.append(w("output.vocabulary.weight") @ out + w("output.vocabulary.bias"))
        all_weights.append([a])
    return logits, all_weights


def luong2015(w, config, attend):
    """attend(s, memory) -> weights; memory in the order of the words, without EOS."""
    outputs, states = reversed_stack(w, 2, config.encoder_size)
    memory = outputs[::-1]
    layers = [library(w / f"decoder.stack.layers.{number}") for number in range(2)]
    z, logits, all_weights = np.zeros(config.readout_width), [], []
    for y in previous_words(w):
        x = join(y, z)
        for number, layer in enumerate(layers):
            states[number] = lstm(layer, x, *states[number])
            x = states[number][0]
        a = attend(x, memory)
        c = sum(weight * h for weight, h in zip(a, memory, strict=True))
        part = w("decoder.readout.linear.weight")
        z = np.tanh(part[:, : len(x)] @ x + part[:, len(x) :] @ c)
        logits.append(w("output.vocabulary.weight") @ z)
        all_weights.append([[*a, 0.0]])
    return logits, all_weights


def luong2015_global(w, config):
    return luong2015(w, config, lambda s, memory: softmax(np.array([s @ h for h in memory])))


def luong2015_local_p(w, config):
    attention, reach = w / "decoder.attention", config.window

    def attend(s, memory):
        hidden = np.tanh(attention("scope.weight") @ s)
        centre = len(memory) * sig(attention("scope.reduction")[0] @ hidden)
        near = [j for j in range(1, len(memory) + 1) if abs(j - centre) <= reach]
        shares = softmax(np.array([s @ attention("score.weight") @ memory[j - 1] for j in near]))
        a = np.zeros(len(memory))
        for j, share in zip(near, shares, strict=True):
            a[j - 1] = share * np.exp(-((j - centre) ** 2) / (2 * (reach / 2) ** 2))
        return a

    return luong2015(w, config, attend)


def nematus_cgru(w, config):
    encoder = w / "encoder.layers.0"
    steps = [
        lambda x, h, m, layer=layer: (gru_after(layer, x, h), m)
        for layer in (read_by(encoder), read_by(encoder, 1))
    ]
    words = embedded(w("encoder.embedding.weight"), [*SOURCE, EOS])
    memory = both_directions(*steps, words, config.encoder_size)
    mean = sum(memory) / len(memory)
    s = np.tanh(w("decoder.bridge.hidden.0.weight") @ mean + w("decoder.bridge.hidden.0.bias"))
    first, second = library(w / "decoder.first"), library(w / "decoder.stack.layers.0")
    score, readout = w / "decoder.attention.score", w / "decoder.readout.linear"
    logits, all_weights = [], []
    for y in previous_words(w):
        between = gru_after(first, y, s)
        e = [score("reduction") @ np.tanh(score("weight") @ join(between, h)) for h in memory]
        a = softmax(np.array(e))
        c = sum(weight * h for weight, h in zip(a, memory, strict=True))
        s = gru_after(second, c, between)
        out = np.tanh(readout("weight") @ join(s, c, y) + readout("bias"))
        logits.append(w("output.vocabulary.weight") @ out + w("output.vocabulary.bias"))
        all_weights.append([a])
    return logits, all_weights


def gnmt(w, config):
    size = config.encoder_size
    inputs = embedded(w("encoder.embedding.weight"), [*SOURCE, EOS])
    lowest = w / "encoder.layers.0"
    steps = [
        lambda x, h, m, layer=layer: lstm(layer, x, h, m)
        for layer in (read_by(lowest), read_by(lowest, 1))
    ]
    inputs = both_directions(*steps, inputs, size)
    for number in (1, 2):
        layer = read_by(w / f"encoder.layers.{number}")
        outputs, _ = run(lambda x, h, m, layer=layer: lstm(layer, x, h, m), inputs, size)
        residual = number + 1 >= 3
        inputs = [new + old if residual else new for new, old in zip(outputs, inputs, strict=True)]
    memory, score = inputs, w / "decoder.attention.score"
    zero = np.zeros(config.decoder_size)
    layers = [library(w / f"decoder.stack.layers.{number}") for number in range(3)]
    states, logits, all_weights = [(zero, zero)] * 3, [], []
    for y in previous_words(w):
        query = states[0][0]
        e = [score("reduction") @ np.tanh(score("weight") @ join(query, h)) for h in memory]
        a = softmax(np.array(e))
        c = sum(weight * h for weight, h in zip(a, memory, strict=True))
        d = y
        for number, layer in enumerate(layers):
            states[number] = lstm(layer, join(d, c), *states[number])
            d = states[number][0] + (d if number + 1 >= 3 else 0)
        logits.append(w("output.vocabulary.weight") @ d + w("output.vocabulary.bias"))
        all_weights.append([a])
    return logits, all_weights


def rnmt_plus(w, config):
    inputs = embedded(w("encoder.embedding.weight"), [*SOURCE, EOS])
    for number in range(3):
        directions = [
            w / f"encoder.layers.{number}.directions.{direction}" for direction in range(2)
        ]
        steps = [lambda x, h, m, d=d: lstm_normalised(d, x, h, m) for d in directions]
        outputs = both_directions(*steps, inputs, config.encoder_size)
        residual = number + 1 >= 3
        inputs = [new + old if residual else new for new, old in zip(outputs, inputs, strict=True)]
    memory = [w("encoder.projection.weight") @ h + w("encoder.projection.bias") for h in inputs]
    attention, heads = w / "decoder.attention", config.heads
    keys = [np.split(attention("key_weight") @ h, heads) for h in memory]
    parts = [np.split(h, heads) for h in memory]
    matrices, vectors = attention("attention.score.weight"), attention("attention.score.reduction")
    zero = np.zeros(config.decoder_size)
    layers = [w / f"decoder.stack.layers.{number}" for number in range(3)]
    states, c, logits, all_weights = [(zero, zero)] * 3, np.zeros(len(memory[0])), [], []
    for y in previous_words(w):
        states[0] = lstm_normalised(layers[0], join(y, c), *states[0])
        queries = np.split(attention("query_weight") @ states[0][0], heads)
        rows, contexts = [], []
        for k in range(heads):
            e = [vectors[k] @ np.tanh(matrices[k] @ join(queries[k], key[k])) for key in keys]
            rows.append(softmax(np.array(e)))
            contexts.append(sum(a * h[k] for a, h in zip(rows[-1], parts, strict=True)))
        c, d = join(*contexts), states[0][0]
        for number in (1, 2):
            states[number] = lstm_normalised(layers[number], join(d, c), *states[number])
            d = states[number][0] + (d if number + 1 >= 3 else 0)
        logits.append(w("output.vocabulary.weight") @ join(d, c) + w("output.vocabulary.bias"))
        all_weights.append(rows)
    return logits, all_weights


REFERENCES = {
    "sutskever2014": sutskever2014,
    "cho2014": cho2014,
    "bahdanau2015": bahdanau2015,
    "luong2015-global": luong2015_global,
    "luong2015-local-p": luong2015_local_p,
    "nematus-cgru": nematus_cgru,
    "gnmt": gnmt,
    "rnmt-plus": rnmt_plus,
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", preset_names())
def test_a_preset_is_its_equations(name, seed):
    config = ModelConfig(**read_preset(name).model | WIDTHS[name])
    model = model_of(config, seed=seed)
    other = ([4, 5], [6] * (len(TARGET) + 2))  # beside another, so that both are padded
    batch = padded([(SOURCE, TARGET), other, (SOURCE * 2, [7])])
    with torch.no_grad():
        readouts, weights, _ = model.unroll(batch)
        by_steps, weights_by_steps = stepped(model, batch)
        logits = model.logits(readouts)[0, : len(TARGET) + 1]
    torch.testing.assert_close(readouts, by_steps, rtol=0, atol=1e-10)
    values = {key: value.detach().numpy() for key, value in model.named_parameters()}
    expected, all_weights = REFERENCES[name](Weights(values), config)
    np.testing.assert_allclose(logits.numpy(), np.stack(expected), rtol=0, atol=1e-10)
    assert (all_weights is None) == (weights is None)
    if weights is not None:
        for each in (weights, weights_by_steps):
            found = each[0, :, : len(TARGET) + 1, : len(SOURCE) + 1].numpy()  # [N, T, S]
            found = found.swapaxes(0, 1)  # [T, N, S]
            np.testing.assert_allclose(found, np.array(all_weights), rtol=0, atol=1e-10)
