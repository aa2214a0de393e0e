"""Resuming runs: finished ones, ones of other data or versions, and changes of settings."""

import hashlib
import signal
from types import SimpleNamespace

import pytest
from fitting import kinds
from program import call
from reruns import new_run, train

from cli.runs.config import merge
from cli.runs.directory import RunDirectory
from cli.runs.interruption import Interrupted
from cli.runs.resumption import (
    RECORDED,
    UNRECORDED,
    change_settings,
    check_resumable,
    reason_finished,
    record_processes,
)
from cli.runs.training_job import TrainingJob
from seq2seq.errors import CheckpointError, ConfigError, ResourceError

# Finished runs, other data, other versions


def test_a_finished_run_is_left_as_it_is(tmp_path, store):
    run = new_run(tmp_path / "run", store)
    train(run, store)
    before = {p: p.read_bytes() for p in sorted(run.path.rglob("*")) if p.is_file()}
    outcome, reporter = train(run, store)
    assert not outcome.trained and kinds(reporter.events) == "f"
    assert before == {p: p.read_bytes() for p in sorted(run.path.rglob("*")) if p.is_file()}


def test_a_finished_run_with_more_updates_is_resumed(tmp_path, store):
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


def test_a_run_of_zero_updates_writes_no_checkpoint(tmp_path, store):
    run = new_run(tmp_path / "run", store, training={"updates": 0})
    outcome, _ = train(run, store)
    assert not outcome.trained
    with pytest.raises(CheckpointError):
        run.checkpoint()


def test_another_store_is_refused(tmp_path, store):
    run = new_run(tmp_path / "run", store)
    check_resumable(run, store)
    other = SimpleNamespace(sha256="0" * 64, path=tmp_path / "other", pieces_sha256={})
    with pytest.raises(ConfigError, match="another token store"):
        check_resumable(run, other)


def with_r_drop(run: RunDirectory, value: float) -> RunDirectory:
    """The run as a version that had this setting would have written it."""
    path = run.path / "config.toml"
    path.write_text(path.read_text().replace("[training]", f"[training]\nr_drop = {value}"))
    return RunDirectory.open(run.path)


def test_a_run_that_used_a_removed_setting_still_loads_but_is_not_resumed(tmp_path, store):
    made = new_run(tmp_path / "run", store, training={"updates": 6})
    train(made, store)
    run = with_r_drop(made, 5.0)
    with pytest.raises(ConfigError, match=r"is trained with training\.r_drop, which") as caught:
        check_resumable(run, store)
    assert "can still translate" in caught.value.hint
    result = call("train", store.path, run.path, "--resume", "--set=training.updates=8")
    assert result.code == 2 and "training.r_drop" in result.err
    assert call("translate", run.path, stdin=b"ba ce\n").code == 0


def test_a_run_that_had_a_removed_setting_turned_off_is_resumed(tmp_path, store):
    made = new_run(tmp_path / "run", store, training={"updates": 6, "decay": "none"})
    train(made, store)
    run = with_r_drop(made, 0.0)
    check_resumable(run, store)
    change_settings(run, {"training": {"updates": 8}})
    outcome, _ = train(run, store)
    assert outcome.state.update == 8
    assert "r_drop" not in (run.path / "config.toml").read_text()


def test_a_run_with_the_old_names_of_settings_is_resumed(tmp_path, store):
    run = new_run(tmp_path / "run", store, training={"updates": 6, "decay": "none"})
    train(run, store)
    path = run.path / "config.toml"
    text = path.read_text()
    for old, new in (("read_end", "encode_eos"), ("attend_end", "attend_eos"), ("fed", "feedback")):
        assert f"\n{new} = " in text
        text = text.replace(f"\n{new} = ", f"\n{old} = ")
    path.write_text(text)
    opened = RunDirectory.open(run.path)
    assert opened.config == run.config
    change_settings(opened, {"training": {"updates": 8}})
    outcome, _ = train(opened, store)
    assert outcome.state.update == 8


def test_old_names_on_the_command_line_and_in_a_recipe_are_noted(tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text("[model]\nattend_end = false\n")
    arguments = ("--recipe", recipe, "--set=model.state_dropout=0.1")
    result = call("train", tmp_path / "store", tmp_path / "run", *arguments)
    assert result.code == 3 and "is not a token store" in result.err
    assert "--set: model.state_dropout is called model.recurrent_dropout now\n" in result.err
    assert f"{recipe}: model.attend_end is called model.attend_eos now\n" in result.err


def test_a_run_cannot_be_trained_twice_at_once(tmp_path, store):
    run = new_run(tmp_path / "run", store)
    with run.lock(), pytest.raises(ResourceError, match="is being trained by process"):
        train(RunDirectory(run.path), store)
    train(run, store)
    assert (run.path / ".lock").read_text() == ""


def test_the_command_that_resumes_has_the_threads_and_the_device_that_were_given(tmp_path, store):
    job = TrainingJob(RunDirectory(tmp_path / "run"), store, "cpu", is_new=False)
    for options, end in (
        ({"threads": 2, "device": "cpu"}, "--resume --threads 2 --device cpu"),
        ({"threads": None, "device": "auto"}, "--resume"),
    ):
        with pytest.raises(Interrupted, match=f"{end}$"), job.underway(**options):
            raise Interrupted(signal.SIGINT)


# Changes of settings


def test_every_setting_that_may_change_exists(store, tmp_path):
    values = new_run(tmp_path / "run", store).config.model_dump()
    for name in (*UNRECORDED, *RECORDED):
        section, _, field = name.partition(".")
        assert field in values[section]
    assert not {*UNRECORDED} & {*RECORDED}


def test_changes_of_settings_are_recorded_unless_no_weight_depends_on_them(store, tmp_path):
    run = new_run(tmp_path / "run", store, training={"updates": 6})
    train(run, store)
    change_settings(run, {"training": {"log_every": 3}})
    assert run.config.training.log_every == 3 and "changes" not in run.provenance
    change_settings(run, {"training": {"learning_rate": 0.5, "minutes": 2.0}})
    change_settings(run, {"training": {"learning_rate": 0.5}})  # no change
    change_settings(run, {"training": {"guided_alignment_shift": 1, "cuda_graphs": False}})
    changes = RunDirectory.open(run.path).provenance["changes"]
    assert sorted((c["setting"], c["old"], c["new"], c["update"]) for c in changes) == [
        ("training.cuda_graphs", True, False, 6),
        ("training.guided_alignment_shift", 0, 1, 6),
        ("training.learning_rate", 0.01, 0.5, 6),
        ("training.minutes", None, 2.0, 6),
    ]
    assert RunDirectory.open(run.path).config.training.learning_rate == 0.5


@pytest.mark.parametrize("section, name, value", [
    ("model", "decoder_size", 16), ("training", "seed", 9), ("training", "ema", 0.5),
    ("training", "metric", "bleu"), ("training", "curriculum", "length"), ("data", "seed", 9),
])  # fmt: skip
def test_settings_that_would_make_another_run_are_refused(store, tmp_path, section, name, value):
    run = new_run(tmp_path / "run", store)
    before = {p: p.read_bytes() for p in run.path.glob("*") if p.is_file()}
    with pytest.raises(ConfigError, match=rf"{section}\.{name} is .* cannot be changed"):
        change_settings(run, merge({"training": {"updates": 3}}, {section: {name: value}}))
    assert {p: p.read_bytes() for p in run.path.glob("*") if p.is_file()} == before


def test_a_run_is_resumed_with_smaller_batches(store, tmp_path):
    run = new_run(tmp_path / "run", store, training={"updates": 9, "validate_every": 3})
    train(run, store)
    change_settings(run, {"training": {"updates": 15, "batch_tokens": 60, "accumulate": 2}})
    outcome, _ = train(run, store)
    assert outcome.state.update == 15


def test_a_run_is_finished_once_report_and_average_are_written(store, tmp_path):
    run = new_run(tmp_path / "run", store, training={"average": "best", "keep_best": 2})
    assert reason_finished(run, {}) is None
    train(run, store)
    assert reason_finished(run, {}) is None  # there is no report yet
    run.report.write_text("report")
    assert "all 20 updates are done" in str(reason_finished(run, {}))
    assert reason_finished(run, {"training": {"updates": 30}}) is None
    lines = run.metrics.read_text().splitlines(keepends=True)
    run.metrics.write_text("".join(lines[:-1]))
    assert reason_finished(run, {}) is None


def test_another_number_of_processes_is_said_and_recorded_once(tmp_path, store):
    run = new_run(tmp_path / "run", store)
    assert record_processes(run, 1) is None
    assert "by 1 process before and by 2 from here" in record_processes(run, 2)
    assert record_processes(run, 2) is None
    (change,) = RunDirectory.open(run.path).provenance["changes"]
    assert (change["setting"], change["old"], change["new"]) == ("processes", 1, 2)
