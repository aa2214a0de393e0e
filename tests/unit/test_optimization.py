"""The optimizer against the algorithm of Kingma & Ba (2015), and tied weights stepped once."""

import math

import pytest
import torch
from tiny import Kind, tiny_model
from torch import nn

from seq2seq.config import TrainingConfig
from seq2seq.optimization import build_optimizer, learning_rate


def test_a_step_is_algorithm_1_of_kingma_and_ba():
    layer = nn.Linear(1, 1, bias=False).double()
    with torch.no_grad():
        layer.weight.fill_(2.0)
    config = TrainingConfig(learning_rate=0.1, beta1=0.8, beta2=0.9)
    optimizer = build_optimizer(layer, config)
    theta, m, v = 2.0, 0.0, 0.0
    for t, gradient in enumerate([3.0, -1.0, 0.5], start=1):
        layer.weight.grad = torch.tensor([[gradient]], dtype=torch.float64)
        optimizer.step()
        m, v = 0.8 * m + 0.2 * gradient, 0.9 * v + 0.1 * gradient**2
        theta -= 0.1 * (m / (1 - 0.8**t)) / (math.sqrt(v / (1 - 0.9**t)) + 1e-8)
        assert layer.weight.item() == pytest.approx(theta, abs=1e-12)


def test_tied_weights_are_one_parameter():
    model = tiny_model(Kind("luong"), tie_embeddings="all", readout_size=5)
    assert model.output.vocabulary.weight is model.encoder.embedding.weight
    assert model.output.vocabulary.weight is model.decoder.embedding.weight
    (group,) = build_optimizer(model, TrainingConfig()).param_groups
    assert len({id(p) for p in group["params"]}) == len(group["params"])
    assert sum(p is model.output.vocabulary.weight for p in group["params"]) == 1


@pytest.mark.parametrize("decay", ["linear", "inverse_sqrt", "none"])
def test_the_rate_never_exceeds_its_peak_and_is_never_negative(decay):
    config = TrainingConfig(updates=50, warmup=7, decay=decay, learning_rate=0.3)
    rates = [learning_rate(config, update=n, progress=(n - 1) / 50) for n in range(1, 51)]
    assert all(0 < rate <= 0.3 for rate in rates)
    assert rates[6] == 0.3
    assert rates[7:] == sorted(rates[7:], reverse=True)
