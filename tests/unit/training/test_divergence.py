"""Losses, gradients and weights that are not finite end a training, and no checkpoint has them."""

import json
import math
import os
import signal

import pytest
import torch
from fitting import endless, events_of
from reruns import Silent, new_run, remains, train
from tiny import Kind, tiny_model

import seq2seq.checkpoints.checkpoint
import seq2seq.checkpoints.folder
import seq2seq.training.loop
from cli.runs.directory import RunDirectory
from cli.runs.interruption import Interrupted
from cli.runs.training import train_run
from seq2seq.checkpoints.checkpoint import load_state, verify
from seq2seq.config import TrainingConfig
from seq2seq.errors import DivergenceError
from seq2seq.training.events import TrainingState, ValidationScores
from seq2seq.training.loop import fit
from seq2seq.training.optimization import build_optimizer

LUONG = Kind("luong")

TRAININGS = {
    "accumulate": {"accumulate": 2},
    "ema": {"ema": 0.9},
    "plateau": {"decay": "plateau", "plateau_patience": 1, "plateau_times": 9},
    "average": {"average": "best", "keep_best": 2},
}


@pytest.mark.parametrize("planted", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_before_the_step(planted):
    model, config = tiny_model(LUONG), TrainingConfig(updates=9, validate_every=100)
    events = fit(
        model,
        build_optimizer(model, config),
        endless(),
        lambda: ValidationScores(1.0),
        config,
        state=TrainingState(),
    )
    for _ in range(3):
        next(events)
    with torch.no_grad():
        model.output.vocabulary.bias[5] = planted
    others = {n: p.clone() for n, p in model.named_parameters() if n != "output.vocabulary.bias"}
    with pytest.raises(DivergenceError) as caught:
        next(events)
    assert "at update 4: epoch 1, batch 4, corpus lines 1, 2, 3, 4" in caught.value.message
    assert caught.value.hint
    for name, parameter in others.items():
        assert torch.equal(parameter, dict(model.named_parameters())[name])


def test_a_hopeless_loss_stops_though_it_is_finite():
    model = tiny_model(LUONG)
    with torch.no_grad():
        model.output.vocabulary.bias[1] = 1e6  # no label is that id
    with pytest.raises(DivergenceError, match=r"loss is 1e\+06 nats a token at update 1"):
        events_of(model, TrainingConfig(updates=1))


def test_a_large_weight_of_another_term_is_no_divergence(monkeypatch):
    monkeypatch.setattr("seq2seq.training.loop.HOPELESS", 5.0)
    model, config = tiny_model(LUONG), TrainingConfig(updates=1, coverage_loss=100.0)
    assert events_of(model, config)
    with pytest.raises(DivergenceError, match=r"loss is .* nats a token"):
        monkeypatch.setattr("seq2seq.training.loop.HOPELESS", 0.5)
        events_of(model, config)


def test_a_gradient_that_is_not_finite_stops_too():
    model, config = tiny_model(LUONG), TrainingConfig(updates=9, validate_every=100)
    model.output.vocabulary.weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(DivergenceError, match="gradient norm is"):
        events_of(model, config)


def test_divergence_leaves_the_last_checkpoint_as_it_was(tmp_path, store):
    run, before = new_run(tmp_path / "run", store), {}

    def plant(event) -> None:
        if event.state.update == 8:
            before.update(remains(run))
            with torch.no_grad():
                reporter.model.output.vocabulary.bias[5] = math.nan

    reporter = Silent(plant)
    with pytest.raises(DivergenceError, match="at update 9"):
        train_run(run, store, device="cpu", reporter=reporter)
    assert remains(run) == before
    verify(run.checkpoint("last"))
    train(run, store)  # goes on from update 6, with weights that are sound
    assert json.loads(run.metrics.read_text().splitlines()[-1])["update"] == 20


@pytest.mark.parametrize(
    ("name", "bad"), [*((name, math.nan) for name in TRAININGS), ("accumulate", math.inf)]
)
def test_no_checkpoint_has_a_weight_that_is_not_finite(store, tmp_path, monkeypatch, name, bad):
    """The gradient of update 15 is poisoned; the checkpoint of update 12 stays the last."""
    run = new_run(tmp_path / "run", store, training=TRAININGS[name])
    clip = seq2seq.training.loop.clip_grad_norm_
    calls = []

    def poisoned(parameters, limit):
        parameters = list(parameters)
        calls.append(1)
        if len(calls) == 15:
            parameters[0].grad[0, 0] = bad
        return clip(parameters, limit)

    monkeypatch.setattr("seq2seq.training.loop.clip_grad_norm_", poisoned)
    with pytest.raises(DivergenceError, match=r"at update 15: epoch \d+, batch \d+, corpus lines"):
        train(run, store)
    monkeypatch.undo()
    last = run.checkpoint("last")
    verify(last)
    assert load_state(last).update == 12
    assert not (run.checkpoints / "averaged").exists()
    train(run, store)
    unharmed = new_run(tmp_path / "unharmed", store, training=TRAININGS[name])
    train(unharmed, store)
    assert remains(run) == remains(unharmed)


def test_weights_that_are_not_finite_are_not_saved_by_a_signal(store, tmp_path):
    run = new_run(tmp_path / "run", store)
    reporter = {}

    def on(event):
        if event.state.update == 8:
            with torch.no_grad():
                next(iter(reporter["model"].parameters()))[-1, -1] = float("inf")
            os.kill(os.getpid(), signal.SIGINT)

    build = RunDirectory.build_model

    def built(self):
        reporter["model"] = build(self)
        return reporter["model"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunDirectory, "build_model", built)
        with pytest.raises(DivergenceError, match="not finite after update 8"):
            train(run, store, on)
    assert load_state(run.checkpoint("last")).update == 6
    with pytest.raises(Interrupted):
        train(run, store, lambda event: os.kill(os.getpid(), signal.SIGINT))


def test_an_average_that_is_no_number_is_no_checkpoint(store, tmp_path, monkeypatch):
    run = new_run(tmp_path / "run", store, training=TRAININGS["average"])

    def spoiled(paths, model):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(float("nan"))

    monkeypatch.setattr("cli.runs.recorder.load_average", spoiled)
    with pytest.raises(DivergenceError, match="averaged weights"):
        train(run, store)
    assert not (run.checkpoints / "averaged").exists()
    assert run.checkpoint("best").name.startswith("update-")
