"""Averages of checkpoints at the end of training, the same with and without interruptions."""

import json
import shutil

import pytest
import torch
from program import call
from reruns import Crash, interrupt, new_run, remains, train

from cli.runs.interruption import Interrupted, StopRequest
from cli.runs.validation import Validator
from seq2seq.checkpoints.checkpoint import load_state, verify
from seq2seq.checkpoints.folder import averaged_updates, kept_checkpoints, point, pointed
from seq2seq.config import TrainingConfig
from seq2seq.errors import ConfigError
from seq2seq.training.events import ValidationScores

AVERAGING = {"keep_last": 3, "keep_best": 2, "average": "last", "samples": 1, "learning_rate": 0.05}


def weights_of(run, path) -> dict[str, torch.Tensor]:
    model = run.build_model()
    verify(path).load_weights(model)
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def average_line(run) -> dict[str, object]:
    return json.loads(run.metrics.read_text().splitlines()[-1])


@pytest.fixture(scope="module")
def whole(tmp_path_factory, store_path):
    from data.token_store import TokenStore

    run = new_run(
        tmp_path_factory.mktemp("whole") / "run", TokenStore.open(store_path), training=AVERAGING
    )
    train(run, TokenStore.open(store_path))
    return run


def test_the_last_validated_checkpoints_are_averaged(whole):
    assert averaged_updates(whole.checkpoints) == [12, 18, 20]
    parts = [weights_of(whole, whole.checkpoints / f"update-{n:09d}") for n in (12, 18, 20)]
    for name, mean in weights_of(whole, whole.checkpoint("averaged")).items():
        exact = sum(part[name].double() for part in parts) / 3
        assert torch.equal(mean, exact.float())


@pytest.mark.parametrize(("nats", "better"), [(1.9, True), (2.0, False), (2.1, False)])
def test_best_names_an_average_only_if_it_scores_higher(tmp_path, store, monkeypatch, nats, better):
    measured = iter([3.0, 2.0, 2.5, 2.25, nats])
    monkeypatch.setattr(Validator, "measure", lambda *_: ValidationScores(next(measured)))
    run = new_run(tmp_path / "run", store, training=AVERAGING)
    train(run, store)
    assert average_line(run)["better"] is better
    named = pointed(run.checkpoints, "best").name
    assert named == ("averaged" if better else "update-000000012")


def test_an_average_is_validated_and_named_best_only_if_it_is(whole, store):
    line, state = average_line(whole), load_state(whole.checkpoint("last"))
    assert (line["event"], line["updates"]) == ("average", [12, 18, 20])
    assert line["better"] == (line["nats_per_token"] < state.best_nats)
    named = pointed(whole.checkpoints, "best").name
    assert named == ("averaged" if line["better"] else f"update-{state.best_update:09d}")
    model = whole.build_model()
    verify(whole.checkpoint("averaged")).load_weights(model)

    measured = Validator(whole, store).measure(model, StopRequest())
    assert measured == load_state(whole.checkpoint("averaged")).measured


@pytest.mark.parametrize("stops", [(6, 7, 18), (20,), (3, 12, 19)])
def test_an_interrupted_run_has_the_same_average(tmp_path, store, whole, stops):
    run = new_run(tmp_path / "run", store, training=AVERAGING)
    for k in stops:
        with pytest.raises(Interrupted):
            train(run, store, lambda e, k=k: interrupt() if e.state.update == k else None)
    train(run, store)
    assert remains(run) == remains(whole)
    ours, theirs = (weights_of(each, each.checkpoint("averaged")) for each in (run, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert len(list(run.checkpoints.glob("update-*"))) <= 5


@pytest.mark.parametrize("step", ["load_average", "save_average", "verify"])
def test_averaging_is_repeated_after_a_crash(tmp_path, store, whole, monkeypatch, step):
    def crash(*arguments, **options):
        raise Crash

    run = new_run(tmp_path / "run", store, training=AVERAGING)
    with monkeypatch.context() as patched:
        patched.setattr(f"cli.runs.recorder.{step}", crash)
        with pytest.raises(Crash):
            train(run, store)
    outcome, reporter = train(run, store)
    assert outcome.trained and "average of 3 checkpoints" in reporter.messages[-1]
    assert remains(run) == remains(whole)


def test_a_finished_run_is_averaged_once(tmp_path, store, whole):
    before = {p: p.read_bytes() for p in sorted(whole.path.rglob("*")) if p.is_file()}
    outcome, _ = train(whole, store)
    assert not outcome.trained
    assert before == {p: p.read_bytes() for p in sorted(whole.path.rglob("*")) if p.is_file()}


def test_a_finished_run_that_has_lost_its_best_checkpoint_may_be_averaged_differently(
    tmp_path, store
):
    rising = AVERAGING | {"learning_rate": 1.0, "decay": "none"}  # the last is not the best
    run = new_run(tmp_path / "run", store, training=rising)
    train(run, store)
    point(run.checkpoints, "best", run.checkpoints / "averaged")
    shutil.rmtree(run.checkpoints / "update-000000018")
    other = run.config.training.model_copy(update={"average": "best"})
    run.write_config(run.config.model_copy(update={"training": other}))
    outcome, _ = train(run, store)
    best = kept_checkpoints(run.checkpoints, by="best", count=2, metric="perplexity")
    assert outcome.trained and average_line(run)["updates"] == [load_state(p).update for p in best]


def test_a_lengthened_run_equals_one_that_was_never_averaged(tmp_path, store):
    settings = AVERAGING | {"decay": "none", "validate_every": 5}
    run = new_run(tmp_path / "run", store, training=settings)
    train(run, store)
    longer = run.config.training.model_copy(update={"updates": 30})
    run.write_config(run.config.model_copy(update={"training": longer}))
    train(run, store)
    long = new_run(tmp_path / "long", store, training=settings | {"updates": 30})
    train(long, store)
    assert remains(run) == remains(long)


def test_one_checkpoint_is_not_averaged(tmp_path, store):
    run = new_run(tmp_path / "run", store, training=AVERAGING | {"updates": 5})
    _, reporter = train(run, store)
    assert reporter.messages[-1] == "nothing to average: 1 validated checkpoint was kept"
    assert run.checkpoint("best").name == "update-000000005"


@pytest.mark.parametrize("average", ["best", "last"])
def test_an_average_needs_several_checkpoints(average):
    with pytest.raises(ConfigError, match=f"keep_{average} is 1") as caught:
        TrainingConfig(average=average)
    assert f"keep_{average}=5" in caught.value.hint


def test_a_finished_run_is_averaged_afterwards(tmp_path, store, whole):
    run = new_run(tmp_path / "run", store, training=AVERAGING | {"average": "none"})
    train(run, store)
    average = "--set=training.average=last"
    result = call("train", store.path, run.path, "--resume", "--threads", 1, average)
    assert result.code == 0, result.err
    ours, theirs = (weights_of(each, each.checkpoint("averaged")) for each in (run, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
