"""Which rank a process is, and how an error of one rank ends the others."""

import errno
import json
import os
import signal
import threading
import time

import pytest
from forked_ranks import results_of_ranks
from reruns import new_run, train

from cli.app import exit_code_of
from cli.runs import directory, joining, learnt_links
from cli.runs.interruption import Interrupted
from cli.runs.joining import (
    ReportedElsewhere,
    _as_json,
    _error_of_another,
    _from_json,
    is_begun,
    joined_ranks,
    threads_of_rank,
)
from cli.runs.launching import rank_environments
from cli.runs.training_job import TrainingJob, job_of_rank
from seq2seq.checkpoints.checkpoint import DamagedCheckpointError
from seq2seq.errors import ConfigError, DivergenceError, ResourceError
from seq2seq.system.cores import usable_cores
from seq2seq.training.ranks import Ranks

BEGUN = {"TORCHELASTIC_RUN_ID": "job", "TORCHELASTIC_RESTART_COUNT": "0"}


@pytest.mark.parametrize(
    ("variables", "begun"),
    [
        ({}, False),
        ({"TORCHELASTIC_RESTART_COUNT": "1"}, True),
        (BEGUN, True),  # machines came or went
        (BEGUN | {"TORCHELASTIC_RUN_ID": "another"}, False),
        (BEGUN | {"TORCHELASTIC_RUN_ID": "none"}, False),  # torchrun without --rdzv-id
    ],
)
def test_a_run_that_this_torchrun_has_begun_is_resumed(tmp_path, monkeypatch, variables, begun):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert not is_begun(tmp_path / "run")
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.toml").touch()
    for run_id in ("job", "none"):
        (run / "provenance.json").write_text(json.dumps({"torchrun_id": run_id}))
        if run_id == "job":
            assert is_begun(run) is begun
    assert is_begun(run) is (variables.get("TORCHELASTIC_RESTART_COUNT") == "1")


def test_ranks_of_a_machine_share_its_cores(monkeypatch):
    assert threads_of_rank(None) is None
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert threads_of_rank(None) == max(1, usable_cores() // 2)
    assert threads_of_rank(3) == 3


def test_a_process_that_was_started_alone_is_the_only_rank():
    with joined_ranks() as ranks:
        assert (ranks.rank, ranks.size) == (0, 1)
        assert ranks.of_first(lambda: ("a", 1)) == ("a", 1)


def test_a_signal_ends_a_rank_that_waits_for_the_others(monkeypatch):
    monkeypatch.setattr(joining, "JOIN_SECONDS", 20)
    environment, began = rank_environments(2)[1], time.monotonic()
    rank = os.fork()
    if rank == 0:
        os.environ |= environment
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            with joined_ranks():
                pass
        except KeyboardInterrupt:
            os._exit(130)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(rank, 0)[1]) == 130
    assert time.monotonic() - began < 10


def test_ranks_wait_as_long_as_the_settings_of_the_run_say(tmp_path, store, monkeypatch):
    """Wherever they come from, a recipe too."""
    seconds = list[float]()
    monkeypatch.setattr(Ranks, "set_timeout", lambda ranks, each: seconds.append(each))
    train(new_run(tmp_path / "run", store, training={"rank_timeout": 7.0, "updates": 0}), store)
    assert seconds == [7.0]


def test_the_first_rank_may_create_the_run_for_longer_than_all_have_to_start(
    tmp_path, store_path, store, monkeypatch
):
    monkeypatch.setattr(joining, "JOIN_SECONDS", 2)
    run, learn = tmp_path / "run", learnt_links.learnt_links

    def learn_slowly(*arguments, **named):
        time.sleep(3)
        return learn(*arguments, **named)

    monkeypatch.setattr(directory, "learnt_links", learn_slowly)

    def first_job():
        created = new_run(run, store, training={"guided_alignment": 0.5, "rank_timeout": 1.0})
        return TrainingJob(created, store, "cpu", is_new=True)

    def work(ranks):
        job = job_of_rank(ranks, first_job, run=run, store=store_path, device="cpu", threads=None)
        return {"links": len(job.run.piece_links().pieces)}

    first, second = results_of_ranks(work, tmp_path)
    assert first == second and first["links"] > 0


def test_an_error_of_one_rank_ends_the_other(tmp_path):
    def work(ranks):
        if ranks.rank == 1:
            raise ResourceError("the disk is full")
        return {"gathered": ranks.gather(None)}

    first, second = results_of_ranks(work, tmp_path)
    expected = {"of": "ResourceError", "message": "the disk is full"}
    assert first == expected | {"error": "ReportedElsewhere"}
    assert second == expected | {"error": "ResourceError"}


def test_one_rank_of_each_machine_reports_an_error_of_another_machine(monkeypatch):
    reason = _as_json(ResourceError("the disk is full")) | {"rank": "rank 1", "host": "elsewhere"}
    monkeypatch.setenv("LOCAL_RANK", "0")
    error = _error_of_another(reason)
    assert type(error) is ResourceError
    assert str(error) == "rank 1 has ended the training: the disk is full"
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert isinstance(_error_of_another(reason), ReportedElsewhere)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (DivergenceError("x"), 5),
        (ResourceError("x"), 6),
        (Interrupted(15), 143),
        (KeyboardInterrupt(), 130),
        (DamagedCheckpointError("x"), 4),
        (OSError(errno.ENOSPC, "full", "file"), 6),
        (MemoryError(), 6),
        (ValueError("x"), 1),
    ],
)
def test_a_rank_ends_silently_with_the_exit_code_of_the_one_that_failed(capsys, error, code):
    reason = _from_json(json.loads(json.dumps(_as_json(error))))
    assert exit_code_of(ReportedElsewhere(reason)) == code
    assert capsys.readouterr() == ("", "")
