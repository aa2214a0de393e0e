"""Signals to the installed program at different moments; kills, locks, closed terminals."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
from journey import train
from program import ENVIRONMENT, call, forked, forked_at_terminal, started

ROOT = Path(__file__).resolve().parent.parent.parent
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture(scope="module")
def slow_store(corpus, tmp_path_factory):
    """A store whose validation set is the training set, so that a validation takes seconds."""
    store = tmp_path_factory.mktemp("slow") / "store"
    valid = ("--valid-source", corpus.train[0], "--valid-target", corpus.train[1])
    assert call("preprocess", *corpus.train, store, *valid, "--vocabulary-size", 350).code == 0
    return store


QUICKLY = "--set=search.batch_sentences=64"


def validating(store, run):
    """A training that validates after every fifth update, slowly: first losses, then decoding."""
    rest = ("training.validate_every=5", "training.validation_sentences=1000")
    sets = [f"--set={each}" for each in (*rest, "search.batch_sentences=1")]
    return train(store, run, *sets)


class Running:
    """The program while it runs."""

    def __init__(self, *arguments, start=forked, warnings="error", **options):
        self.spent_before = seconds_of_children()
        self.process = start(
            *arguments,
            environment=ENVIRONMENT | {"PYTHONWARNINGS": warnings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self.stderr = ""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.communicate()

    def until(self, text):
        while text not in self.stderr:
            line = self.process.stderr.readline()
            assert line, self.stderr
            self.stderr += line

    def end(self, *signals, pause=0.05):
        """Send them, with a pause after each; returns the exit code and the processor seconds that
        leaving took."""
        spent = psutil.Process(self.process.pid).cpu_times()
        for number in signals:
            self.process.send_signal(number)
            time.sleep(pause)
        self.stderr += self.process.communicate(timeout=60)[1]
        assert "Traceback" not in self.stderr
        seconds = seconds_of_children() - self.spent_before - spent.user - spent.system
        return self.process.returncode, seconds


def seconds_of_children():
    """Processor seconds of all processes that this one started and that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def updates_saved(run):
    last = (run / "checkpoints" / "last").read_text().strip()
    return json.loads((run / "checkpoints" / last / "state.json").read_text())["update"]


def nothing_half_written(folder):
    return not list(folder.rglob("*partial*"))


@pytest.mark.parametrize(
    ("wait", "number"),
    [(0.0, signal.SIGINT), (1.5, signal.SIGTERM), (1.5, signal.SIGHUP)],
    ids=["losses-SIGINT", "decoding-SIGTERM", "decoding-SIGHUP"],
)
def test_a_signal_in_a_validation_saves_and_stops(slow_store, tmp_path, number, wait):
    run = tmp_path / "run"
    with Running(*validating(slow_store, run)) as program:
        program.until("update 5 ")
        time.sleep(wait)
        code, seconds = program.end(number)
    assert (code, updates_saved(run)) == (CODES[number], 5), program.stderr
    assert "validation after update" not in program.stderr
    assert "all of it is saved. Go on with: seq2seq train" in program.stderr.splitlines()[-1]
    assert seconds < 5 and nothing_half_written(tmp_path)


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
def test_a_second_signal_stops_at_once(slow_store, tmp_path, second):
    run = tmp_path / "run"
    # an interrupt in the middle of an import leaves an open file to the collector, which warns
    with Running(*validating(slow_store, run), warnings="ignore") as program:
        program.until("update 5 ")
        differ = second != signal.SIGINT  # two equal ones at the same moment are one
        code, _ = program.end(signal.SIGINT, second, pause=0 if differ else 0.05)
    assert code == CODES[second] and "--resume" in program.stderr, program.stderr
    if differ:
        assert updates_saved(run) == 0 and "the last checkpoint is saved" in program.stderr
    assert nothing_half_written(tmp_path)
    assert call("train", slow_store, run, "--resume", "--set=training.updates=5", QUICKLY).code == 0


def test_a_signal_at_start_up_leaves_nothing_behind(prepared, tmp_path):
    # where Python itself was reading a module, it complains of the file that is left open
    warnings = "error,ignore::ResourceWarning"
    command = train(prepared, tmp_path / "run")
    with Running(*command, start=started, warnings=warnings) as program:
        time.sleep(0.5)
        code, _ = program.end(signal.SIGTERM)
    # -SIGABRT: torch ends the process itself when its import is broken off in its C++ part
    assert code in (143, -signal.SIGTERM, -signal.SIGABRT)
    assert not list(tmp_path.iterdir()) or "--resume" in program.stderr


def test_nohup_outlives_its_terminal(prepared, tmp_path):
    run = tmp_path / "run"
    ignored = partial(signal.signal, signal.SIGHUP, signal.SIG_IGN)
    with Running(*train(prepared, run, updates=30), first=ignored) as program:
        program.until("update 5 ")
        code, _ = program.end(signal.SIGHUP)
    assert code == 0, program.stderr
    assert "all 30 updates are done" in program.stderr


def test_training_saves_and_stops_when_its_terminal_closes(slow_store, tmp_path):
    """The terminal is gone: its reads and writes fail, and SIGHUP comes."""
    run = tmp_path / "run"
    environment = ENVIRONMENT | {"TERM": "xterm"}
    pid, terminal = forked_at_terminal(*validating(slow_store, run), environment=environment)
    seen = b""
    while not (run / "metrics.jsonl").exists() or "update" not in (run / "metrics.jsonl").read_text(
        encoding="utf-8"
    ):
        seen += os.read(terminal, 4096)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 129, seen
    assert updates_saved(run) == 5
    assert nothing_half_written(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
def test_a_signal_while_data_are_prepared(corpus, tmp_path, number):
    many = [tmp_path / path.name for path in corpus.train]
    for path, source in zip(many, corpus.train, strict=True):
        path.write_bytes(source.read_bytes() * 24)
    valid = ("--valid-source", corpus.valid[0], "--valid-target", corpus.valid[1])
    arguments = ("preprocess", *many, tmp_path / "store", *valid, "--vocabulary-size", 350)
    with Running(*arguments, "--threads", 2, start=started) as program:
        while not (tmp_path / "store.partial" / "pieces.json").exists():
            time.sleep(0.01)
            assert program.process.poll() is None
        time.sleep(0.5)
        code, seconds = program.end(number)
    assert (code, seconds < 10) == (CODES[number], True), program.stderr
    assert not (tmp_path / "store").exists()
    again = call(*arguments, "--threads", 2)
    assert again.code == 0 and "learnt already" in again.err


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_a_filter_exits_with_the_code_of_its_signal(run, number):
    with Running("translate", run, "--threads", 1) as program:
        program.process.stdin.write("red dog\n")
        program.process.stdin.flush()
        assert program.process.stdout.readline().endswith("\n")
        code, seconds = program.end(number)
    assert (code, seconds < 5) == (CODES[number], True)
    assert program.stderr == ("interrupted\n" if number == signal.SIGINT else "terminated\n")


def test_a_second_training_names_the_first_and_a_killed_one_keeps_no_lock(slow_store, tmp_path):
    run = tmp_path / "run"
    with Running(*validating(slow_store, run)) as program:
        program.until("update 5 ")
        second = call("train", slow_store, run, "--resume")
        assert second.code == 6
        assert f"is being trained by process {program.process.pid} on " in second.err
        assert (run / "metrics.jsonl").exists()
        program.end(signal.SIGKILL)
    assert call("train", slow_store, run, "--resume", "--set=training.updates=3", QUICKLY).code == 0


def test_a_finished_run_is_resumed_without_a_byte_written(run, prepared, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")

    def content():
        return {
            path: (path.stat().st_mtime_ns, path.read_bytes())
            for path in copy.rglob("*")
            if path.is_file()
        }

    before = content()
    result = call("train", prepared, copy, "--resume")
    assert (result.code, "is finished already" in result.err) == (0, True)
    assert content() == before


@pytest.mark.parametrize(
    "torture",
    [
        ("torture.py", "--kills=4", "--updates=48"),
        ("torture_ranks.py", "--kills=1", "--stops=1", "--updates=32", "--ranks=2"),
    ],
    ids=["one process", "two ranks"],
)
def test_kills_change_no_byte(torture):
    script, *options = torture
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / script, *options],
        capture_output=True,
        text=True,
        env=ENVIRONMENT | {"PYTHONWARNINGS": "default"},
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
