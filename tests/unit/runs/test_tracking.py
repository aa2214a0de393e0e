"""training.track: event files for TensorBoard, complete however often a run was interrupted."""

from pathlib import Path
from unittest import mock

import pytest
from program import call
from reruns import Crash, interrupt, new_run, train
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cli.runs.config import load_config
from cli.runs.directory import RunDirectory
from cli.runs.interruption import Interrupted
from data.token_store import TokenStore
from seq2seq.training.events import Update

TRACKED = {"track": "tensorboard", "log_every": 2, "metric": "chrf"}


def scalars(run: RunDirectory) -> dict[str, list[tuple[int, float]]]:
    """Step and value of each event, by the name of its curve, as TensorBoard reads them."""
    found = EventAccumulator(str(run.path / "tensorboard"), size_guidance={"scalars": 0})
    found.Reload()
    return {
        name: [(event.step, event.value) for event in found.Scalars(name)]
        for name in found.Tags()["scalars"]
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory, store_path) -> RunDirectory:
    store = TokenStore.open(store_path)
    run = new_run(tmp_path_factory.mktemp("whole") / "run", store, training=TRACKED)
    train(run, store)
    return run


def test_every_line_of_the_metrics_is_a_point(whole):
    found = scalars(whole)
    losses = [line for line in whole.read_metrics() if hasattr(line, "nats_per_token")]
    assert found["training/nats_per_token"] == [
        (line.update, pytest.approx(line.nats_per_token, rel=1e-6)) for line in losses
    ]
    assert [step for step, _ in found["validation/chrf"]] == [6, 12, 18, 20]
    assert {"attention/entropy", "attention/monotonicity", "training/learning_rate"} <= {*found}


@pytest.mark.parametrize("stop", [interrupt, None])
def test_a_resumed_run_continues_its_curves(tmp_path, store, whole, stop):
    """None: as a killed process stops, after updates that are done again."""

    def on(event: object) -> None:
        if isinstance(event, Update) and event.state.update == 9:
            if stop is None:
                raise Crash
            stop()

    run = new_run(tmp_path / "run", store, training=TRACKED)
    with pytest.raises((Interrupted, Crash)):
        train(run, store, on)
    train(run, store)
    expected, found = scalars(whole), scalars(run)
    timed = {"training/seconds"}
    assert {n: v for n, v in found.items() if n not in timed} == {
        n: v for n, v in expected.items() if n not in timed
    }


def test_without_the_package_the_setting_is_refused_before_a_run_is_made(tmp_path, store_path):
    run = tmp_path / "run"
    with mock.patch("cli.runs.tracking.find_spec", return_value=None):
        result = call("train", store_path, run, "--set", "training.track=tensorboard")
    assert result.code == 2 and "pip install 'seq2seq-trainer[tensorboard]'" in result.err
    assert not run.exists()


def test_tracking_may_be_turned_on_when_a_run_is_resumed(tmp_path, store, store_path):
    run = new_run(tmp_path / "run", store, training={"updates": 6, "log_every": 2})
    train(run, store)
    options = ["--set", "training.track=tensorboard", "--set", "training.updates=8"]
    result = call("train", store_path, run.path, "--resume", *options)
    assert result.code == 0, result.err
    steps = [step for step, _ in scalars(run)["training/nats_per_token"]]
    assert steps == [2, 4, 6, 8]  # also those from before
    assert load_config(Path(run.path / "config.toml")).training.track == "tensorboard"
