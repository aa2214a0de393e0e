"""`train --processes N`: one process for each rank, of which none is left behind."""

import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

from cli.runs import launching
from cli.runs.launching import launch


@pytest.fixture
def ranks_do(tmp_path, monkeypatch):
    """Puts a line of shell in place of the program; ranks write their process ids into a file."""

    def replace(line: str) -> Path:
        program, pids = tmp_path / "program", tmp_path / "pids"
        program.write_text(f"#!/bin/sh\necho $$ >> {pids}\n{line}\n")
        program.chmod(0o755)
        monkeypatch.setattr(launching.sys, "executable", str(program))
        return pids

    monkeypatch.setattr(launching, "GRACE_SECONDS", 0.2)
    return replace


def assert_all_ended(pids: Path, count: int) -> None:
    numbers = [int(line) for line in pids.read_text().split()]
    assert len(numbers) == count
    assert not any(map(psutil.pid_exists, numbers))


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("exit 0", 0),
        ("if [ $RANK = 0 ]; then sleep 0.1; fi; exit $((5 + RANK))", 6),  # of the first that ends
        ("if [ $RANK = 1 ]; then kill -9 $$; fi; exec sleep 100", 6),  # rank 0 hangs
        ("if [ $RANK = 1 ]; then exit 143; fi; sleep 0.5; exit 143", 143),  # rank 0 saves
        ('test "$WORLD_SIZE $LOCAL_WORLD_SIZE $LOCAL_RANK" = "2 2 $RANK"', 0),
    ],
)
def test_the_exit_code_is_that_of_the_first_rank_that_fails(ranks_do, line, code):
    pids, began = ranks_do(line), time.monotonic()
    assert launch(2, []) == code
    assert time.monotonic() - began < 60  # rank 0 would sleep for 100
    assert_all_ended(pids, 2)


def test_a_signal_goes_to_every_rank_once(ranks_do, tmp_path):
    caught = tmp_path / "caught"
    pids = ranks_do(f"trap 'echo $RANK >> {caught}; exit 143' TERM; sleep 100 & wait")

    def signal_when_started() -> None:
        while not pids.is_file() or len(pids.read_text().split()) < 2:
            time.sleep(0.01)
        time.sleep(0.1)  # until they have set their traps
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=signal_when_started).start()
    assert launch(2, []) == 143
    assert sorted(caught.read_text().split()) == ["0", "1"]
    assert_all_ended(pids, 2)
