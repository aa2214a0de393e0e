"""The moving average against a loop in float64, and where it is used."""

import pytest
import torch
from reruns import interrupt, new_run, remains, train
from torch import nn

from cli.runs.interruption import Interrupted, StopRequest
from cli.runs.validation import Validator
from seq2seq.checkpoints.checkpoint import load_state, verify
from seq2seq.training.moving_average import MovingAverage
from seq2seq.training.optimization import build_optimizer


@pytest.mark.parametrize("decay", [0.2, 0.9, 0.999])
def test_it_is_the_corrected_average_of_a_float64_loop(decay):
    model = nn.Linear(3, 2)
    average = MovingAverage(model, decay=decay)
    plain = {name: torch.zeros_like(p).double() for name, p in model.named_parameters()}
    for update in range(1, 60):
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.normal_()
                plain[name] = decay * plain[name] + (1 - decay) * parameter.double()
        average.add(update)
        for name, found in average.weights.items():
            exact = plain[name] / (1 - decay**update)
            torch.testing.assert_close(found.double(), exact, atol=1e-5, rtol=1e-5)
        if update == 1:
            assert all(torch.equal(average.weights[n], p) for n, p in model.named_parameters())


def test_within_the_context_the_model_has_the_average_and_then_its_own_weights():
    model = nn.Linear(2, 2)
    average = MovingAverage(model, decay=0.5)
    averages = {name: weight.clone() for name, weight in average.weights.items()}
    with torch.no_grad():
        model.weight.fill_(7.0)
    with pytest.raises(ZeroDivisionError), average.swapped_in():
        assert torch.equal(model.weight, averages["weight"])
        raise ZeroDivisionError
    assert (model.weight == 7.0).all()
    assert all(torch.equal(average.weights[name], averages[name]) for name in averages)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, store_path):
    from data.token_store import TokenStore

    store = TokenStore.open(store_path)
    run = new_run(tmp_path_factory.mktemp("whole") / "run", store, training={"ema": 0.8})
    train(run, store)
    return run


def test_training_itself_is_the_same_with_an_average(tmp_path, store, whole):
    plain = new_run(tmp_path / "run", store)
    train(plain, store)
    ours, theirs = (
        [line for line in run.metrics.read_text().splitlines() if '"update", "up' in line]
        for run in (whole, plain)
    )
    assert len(ours) == 20 and ours == theirs
    raw = (whole.checkpoint("last") / "raw.safetensors").read_bytes()
    assert raw == (plain.checkpoint("last") / "model.safetensors").read_bytes()


def test_what_translates_is_the_average_and_that_is_what_was_validated(store, whole):
    last = whole.checkpoint("last")
    model = whole.build_model()
    verify(last).load_weights(model)
    assert Validator(whole, store).measure(model, StopRequest()) == load_state(last).measured
    raw, average = whole.build_model(), MovingAverage(whole.build_model(), decay=0.8)
    verify(last).load_training(raw, build_optimizer(raw, whole.config.training), average)
    for name, parameter in model.named_parameters():
        assert torch.equal(average.weights[name], parameter)
    assert not torch.equal(dict(raw.named_parameters())[name], parameter)


@pytest.mark.parametrize("stops", [(1, 6, 7), (19,)])
def test_an_interrupted_run_has_the_same_average(tmp_path, store, whole, stops):
    run = new_run(tmp_path / "run", store, training={"ema": 0.8})
    for k in stops:
        with pytest.raises(Interrupted):
            train(run, store, lambda e, k=k: interrupt() if e.state.update == k else None)
    train(run, store)
    assert remains(run) == remains(whole)
    ours, theirs = ((r.checkpoint("last") / "raw.safetensors").read_bytes() for r in (run, whole))
    assert ours == theirs


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.1])
def test_a_decay_that_makes_no_average_is_a_wrong_call(decay):
    with pytest.raises(ValueError, match="makes no average"):
        MovingAverage(nn.Linear(1, 1), decay=decay)
