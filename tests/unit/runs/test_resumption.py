"""Resuming what is done or what is another's, and what a resumed run may change."""

import hashlib
from types import SimpleNamespace

import pytest
from fitting import kinds
from reruns import new_run, train

from cli.runs.directory import RunDirectory
from cli.runs.resumption import FREE, RECORDED, change, check_resumable, finished
from seq2seq.errors import CheckpointError, ConfigError, ResourceError

# Resuming what is done, or what is another's


def test_a_finished_run_is_left_as_it_is(tmp_path, store):
    run = new_run(tmp_path / "run", store)
    train(run, store)
    before = {p: p.read_bytes() for p in sorted(run.path.rglob("*")) if p.is_file()}
    outcome, reporter = train(run, store)
    assert not outcome.trained and kinds(reporter.events) == "f"
    assert before == {p: p.read_bytes() for p in sorted(run.path.rglob("*")) if p.is_file()}


def test_a_run_with_more_updates_goes_on(tmp_path, store):
    run = new_run(tmp_path / "run", store, training={"decay": "none"})
    train(run, store)
    longer = run.config.training.model_copy(update={"updates": 24})
    run.write_config(run.config.model_copy(update={"training": longer}))
    train(run, store)
    whole = new_run(tmp_path / "whole", store, training={"decay": "none", "updates": 24})
    train(whole, store)
    # Only the validation after update 20, the first run's last, is more.
    ours, theirs = (r.metrics.read_text().splitlines() for r in (run, whole))
    assert [line for line in ours if '"validation", "update": 20' not in line] == theirs
    for name in ("model.safetensors", "optimizer.safetensors"):
        ours, theirs = ((r.checkpoint("last") / name).read_bytes() for r in (run, whole))
        assert hashlib.sha256(ours).digest() == hashlib.sha256(theirs).digest()


def test_no_updates_make_no_checkpoint(tmp_path, store):
    run = new_run(tmp_path / "run", store, training={"updates": 0})
    outcome, _ = train(run, store)
    assert not outcome.trained
    with pytest.raises(CheckpointError):
        run.checkpoint()


def test_another_store_is_refused(tmp_path, store):
    run = new_run(tmp_path / "run", store)
    check_resumable(run, store)
    other = SimpleNamespace(sha256="0" * 64, path=tmp_path / "other")
    with pytest.raises(ConfigError, match="another token store"):
        check_resumable(run, other)


def test_two_trainings_of_one_run_are_one_too_many(tmp_path, store):
    run = new_run(tmp_path / "run", store)
    with run.lock(), pytest.raises(ResourceError, match="is being trained by process"):
        train(RunDirectory(run.path), store)
    train(run, store)
    assert (run.path / ".lock").read_text() == ""


# What a resumed run may change


def test_every_setting_that_may_change_exists(store, tmp_path):
    values = new_run(tmp_path / "run", store).config.model_dump()
    for name in (*FREE, *RECORDED):
        section, _, field = name.partition(".")
        assert field in values[section]
    assert not {*FREE} & {*RECORDED}


def test_a_change_is_recorded_and_a_free_one_is_not(store, tmp_path):
    run = new_run(tmp_path / "run", store, training={"updates": 6})
    train(run, store)
    change(run, {"training": {"log_every": 3}}, {"training": {}})
    assert run.config.training.log_every == 3 and "changes" not in run.provenance
    change(run, {"training": {"learning_rate": 0.5}}, {"training": {"minutes": 2.0}})
    change(run, {"training": {"learning_rate": 0.5}}, {})  # no change
    told = RunDirectory.open(run.path).provenance["changes"]
    assert sorted((c["setting"], c["old"], c["new"], c["update"]) for c in told) == [
        ("training.learning_rate", 0.01, 0.5, 6),
        ("training.minutes", None, 2.0, 6),
    ]
    assert RunDirectory.open(run.path).config.training.learning_rate == 0.5


@pytest.mark.parametrize("section, name, value", [
    ("model", "decoder_size", 16), ("training", "seed", 9), ("training", "ema", 0.5),
    ("training", "metric", "bleu"), ("training", "curriculum", "length"), ("data", "seed", 9),
])  # fmt: skip
def test_what_makes_another_run_is_refused(store, tmp_path, section, name, value):
    run = new_run(tmp_path / "run", store)
    before = {p: p.read_bytes() for p in run.path.glob("*") if p.is_file()}
    with pytest.raises(ConfigError, match=rf"{section}\.{name} is .* cannot be changed"):
        change(run, {section: {name: value}, "training": {"updates": 3} | (
            {name: value} if section == "training" else {})}, {})  # fmt: skip
    assert {p: p.read_bytes() for p in run.path.glob("*") if p.is_file()} == before


def test_a_run_with_smaller_batches_goes_on(store, tmp_path):
    run = new_run(tmp_path / "run", store, training={"updates": 9, "validate_every": 3})
    train(run, store)
    change(run, {"training": {"updates": 15, "batch_tokens": 60, "accumulate": 2}}, {})
    outcome, _ = train(run, store)
    assert outcome.state.update == 15


def test_finished_means_with_report_and_average(store, tmp_path):
    run = new_run(tmp_path / "run", store, training={"average": "best", "keep_best": 2})
    assert finished(run, {}, {}) is None
    train(run, store)
    assert finished(run, {}, {}) is None  # there is no report yet
    run.report.write_text("told")
    assert "all 20 updates are done" in str(finished(run, {}, {}))
    assert finished(run, {"training": {"updates": 30}}, {}) is None
    lines = run.metrics.read_text().splitlines(keepends=True)
    run.metrics.write_text("".join(lines[:-1]))
    assert finished(run, {}, {}) is None
