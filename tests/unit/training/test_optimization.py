"""The optimizer against the algorithm of Kingma & Ba (2015), and tied weights stepped once."""

import math

import pytest
import torch
from tiny import Kind, tiny_model
from torch import nn

from seq2seq.config import TrainingConfig
from seq2seq.training.optimization import build_optimizer, learning_rate

HALF_ROOT_TWO = 0.7071067811865476  # the cosine of 45 degrees


def test_the_cosine_falls_by_equation_5_of_loshchilov_and_hutter():
    config = TrainingConfig(learning_rate=0.4, warmup=0, decay="cosine")
    by_hand = {
        0.0: 0.4, 0.25: 0.2 * (1 + HALF_ROOT_TWO), 0.5: 0.2, 0.75: 0.2 * (1 - HALF_ROOT_TWO), 1.0: 0
    }  # fmt: skip
    for progress, rate in by_hand.items():
        found = learning_rate(config, update=7, progress=progress)
        assert found == pytest.approx(rate, abs=1e-15)


@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_the_rate_falls_though_the_run_ends_in_its_warm_up(decay):
    config = TrainingConfig(learning_rate=0.8, warmup=2000, decay=decay)
    rates = [learning_rate(config, update=n, progress=n / 1000) for n in range(1, 1001)]
    highest = rates.index(max(rates))
    assert rates[:highest] == sorted(rates[:highest])
    assert rates[highest:] == sorted(rates[highest:], reverse=True)
    assert 500 < highest < 800 and rates[-1] == pytest.approx(0, abs=1e-15)


def test_a_plateau_multiplies_the_rate():
    config = TrainingConfig(learning_rate=0.8, warmup=4, decay="plateau", plateau_factor=0.25)
    rates = [
        learning_rate(config, update=update, progress=0.5, reductions=reductions)
        for update, reductions in ((1, 0), (4, 0), (90, 0), (90, 1), (90, 2), (2, 1))
    ]
    assert rates == pytest.approx([0.2, 0.8, 0.8, 0.2, 0.05, 0.1])


def test_weight_decay_is_algorithm_2_of_loshchilov_and_hutter_on_matrices():
    layer = nn.Linear(1, 1).double()
    with torch.no_grad():
        layer.weight.fill_(2.0)
        layer.bias.fill_(2.0)
    config = TrainingConfig(learning_rate=0.1, beta1=0.8, beta2=0.9, weight_decay=0.5)
    optimizer = build_optimizer(layer, config)
    weight, bias, m, v = 2.0, 2.0, 0.0, 0.0
    for t, gradient in enumerate([3.0, -1.0, 0.5], start=1):
        layer.weight.grad = torch.tensor([[gradient]], dtype=torch.float64)
        layer.bias.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        m, v = 0.8 * m + 0.2 * gradient, 0.9 * v + 0.1 * gradient**2
        step = 0.1 * (m / (1 - 0.8**t)) / (math.sqrt(v / (1 - 0.9**t)) + 1e-8)
        weight, bias = weight - 0.1 * 0.5 * weight - step, bias - step
        assert layer.weight.item() == pytest.approx(weight, abs=1e-12)
        assert layer.bias.item() == pytest.approx(bias, abs=1e-12)


def test_weight_decay_reaches_every_parameter_once():
    model = tiny_model(Kind("luong"), tie_embeddings="all", readout_size=5)
    groups = build_optimizer(model, TrainingConfig(weight_decay=0.1)).param_groups
    stepped = [id(p) for group in groups for p in group["params"]]
    assert sorted(stepped) == sorted(map(id, model.parameters()))
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert all(decays[id(p)] == (0.1 if p.dim() > 1 else 0) for p in model.parameters())


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


@pytest.mark.parametrize("decay", ["linear", "cosine", "inverse_sqrt", "plateau", "none"])
def test_the_rate_never_exceeds_its_peak_and_is_never_negative(decay):
    config = TrainingConfig(updates=50, warmup=7, decay=decay, learning_rate=0.3)
    rates = [learning_rate(config, update=n, progress=(n - 1) / 50) for n in range(1, 51)]
    assert all(0 < rate <= 0.3 for rate in rates)
    assert rates[6] == 0.3
    assert rates[7:] == sorted(rates[7:], reverse=True)
