"""Runs that begin with the weights of another run."""

from reruns import new_run, train

import cli.runs.validation
from cli.runs.warm_start import Origin
from seq2seq.training.events import ValidationScores


def test_a_warm_start_begins_with_the_best_weights_and_not_the_last(tmp_path, store, monkeypatch):
    nats = iter([2.0, 3.0])
    monkeypatch.setattr(
        cli.runs.validation.Validator, "measure", lambda *_: ValidationScores(next(nats))
    )
    run = new_run(tmp_path / "run", store, training={"updates": 12, "metric": "perplexity"})
    train(run, store)
    assert run.checkpoint("last").name == "update-000000012"
    assert Origin.open(run.path).provenance()["update"] == 6
