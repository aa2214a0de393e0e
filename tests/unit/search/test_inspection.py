"""Gradient saliency and weights of self-attention, against other ways to compute them."""

import pytest
import torch
from tiny import PLAIN, Kind, tiny_model

from seq2seq.attention.masks import AttentionMask
from seq2seq.attention.self_attention import SelfAttention
from seq2seq.batch import BOS, EOS
from seq2seq.search.inference import SingleModel
from seq2seq.search.inspection import decoder_self_attention, encoder_self_attention, saliency

SOURCE, TARGET = [5, 7, 4, 9], [6, 8, 5]
LUONG = Kind("luong")


def log_probabilities(model, source, target):
    """Of each target id and EOS."""
    with torch.no_grad():
        memory = SingleModel(model).encode([source])
        readouts, _ = model.decoder.unroll(torch.tensor([[BOS, *target]]), memory)
        chosen = model.logits(readouts)[0].log_softmax(-1)
        return chosen[range(len(target) + 1), [*target, EOS]]


@pytest.mark.parametrize("kind", [*PLAIN, LUONG], ids=str)
@pytest.mark.parametrize("changes", [{}, {"source_order": "reversed"}, {"encoder": "pyramid"}])
def test_saliency_is_the_effect_of_a_longer_embedding(kind, changes):
    """x . d/dx log p is the derivative by a, at a = 0, where the embedding is (1 + a) x."""
    layers = 2 if "encoder" in changes else 1
    model = tiny_model(kind, layers=layers, **changes)
    found = saliency(SingleModel(model), SOURCE, TARGET)
    weight, step = model.encoder.embedding.weight, 1e-6
    columns = []
    for each in [*SOURCE, EOS]:
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                before = weight[each].clone()
                weight[each] *= 1 + sign * step
                ends.append(log_probabilities(model, SOURCE, TARGET))
                weight[each] = before
        columns.append((ends[0] - ends[1]).abs() / (2 * step))
    expected = torch.stack(columns, dim=1)
    expected = expected / expected.sum(1, keepdim=True)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_saliency_adds_tags_to_the_end_of_the_sentence_and_leaves_no_gradient():
    model = tiny_model(PLAIN[0])
    tagged = saliency(SingleModel(model, tags=1), SOURCE, TARGET)
    plain = saliency(SingleModel(model), SOURCE, TARGET)
    torch.testing.assert_close(tagged[:, :-1], plain[:, 1:-1])
    torch.testing.assert_close(tagged[:, -1], plain[:, -1] + plain[:, 0])
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.encoder.embedding._forward_hooks


def test_self_attention_of_the_encoder_is_that_of_its_states():
    model = tiny_model(LUONG, encoder_self_attention=2, self_attention_heads=2)
    layer, states = model.encoder.self_attention[1], []
    handle = layer.register_forward_pre_hook(lambda _, inputs: states.append(inputs[0]))
    found = encoder_self_attention(SingleModel(model), SOURCE, 1)
    handle.remove()
    query = states[0].clone()
    (expected,) = layer.attention(query, query, query).weights
    torch.testing.assert_close(found, expected)
    assert found.shape == (2, 5, 5)


def test_self_attention_of_the_encoder_leaves_out_an_eos_that_is_not_encoded():
    model = tiny_model(LUONG, encoder_self_attention=1, encode_eos=False)
    layer, states = model.encoder.self_attention[0], []
    handle = layer.register_forward_pre_hook(lambda _, inputs: states.append(inputs[0]))
    found = encoder_self_attention(SingleModel(model), SOURCE, 0)
    handle.remove()
    query = states[0][:, : len(SOURCE)].clone()
    (expected,) = layer.attention(query, query, query).weights
    torch.testing.assert_close(found[:, :, : len(SOURCE)], expected)


def test_self_attention_of_a_pyramid_has_a_row_and_a_column_for_every_piece():
    model = tiny_model(LUONG, layers=2, encoder="pyramid", encoder_self_attention=1)
    (found,) = encoder_self_attention(SingleModel(model), SOURCE, 0)
    assert found.shape == (5, 5)
    torch.testing.assert_close(found[0], found[1])  # both of the first state
    torch.testing.assert_close(found[:, 0], found[:, 1])
    torch.testing.assert_close(found.sum(1), torch.ones(5, dtype=torch.float64))


@pytest.mark.parametrize("kind", [PLAIN[0], LUONG], ids=str)
def test_self_attention_of_the_decoder_is_causal(kind, monkeypatch):
    model = tiny_model(kind, decoder_self_attention=True, self_attention_heads=3)
    states = []
    step, forward = SelfAttention.step, SelfAttention.forward
    monkeypatch.setattr(
        SelfAttention, "step", lambda self, x, past: (states.append(x[0]), step(self, x, past))[1]
    )
    monkeypatch.setattr(
        SelfAttention,
        "forward",
        lambda self, x, mask=None: (states.extend(x[0]), forward(self, x, mask))[1],
    )
    found = decoder_self_attention(SingleModel(model), SOURCE, TARGET)
    query = torch.stack(states)
    layer = model.decoder.self_attention.attention
    expected = layer(query, query, query, AttentionMask.causal(4)).weights
    torch.testing.assert_close(found, expected)
    assert found.shape == (3, 4, 4)
