"""Locks between processes: who owns one, and what a killed owner leaves."""

import json
import os
import subprocess
import sys

import pytest

from seq2seq.errors import ResourceError
from seq2seq.system.locks import exclusive_lock


def test_a_lock_file_stays_and_is_the_same_one(tmp_path):
    path = tmp_path / ".lock"
    with exclusive_lock(path, "it is being made"):
        owner = json.loads(path.read_text())
        assert owner["pid"] == os.getpid() and {"host", "since"} <= set(owner)
        inode = path.stat().st_ino
        with (
            pytest.raises(ResourceError, match=f"it is being made by process {os.getpid()} on"),
            exclusive_lock(path, "it is being made"),
        ):
            pass
    assert (path.stat().st_ino, path.read_text()) == (inode, "")


def test_a_lock_whose_owner_was_killed_is_free(tmp_path):
    path = tmp_path / ".lock"
    code = (
        "import os, pathlib, sys; from seq2seq.system.locks import exclusive_lock\n"
        "with exclusive_lock(pathlib.Path(sys.argv[1]), 'it'): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == -9
    assert path.read_text()  # it still names the process that was killed
    with exclusive_lock(path, "it"):
        assert json.loads(path.read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("remove", [False, True])
def test_processes_that_come_and_go_never_own_the_lock_at_the_same_time(tmp_path, remove):
    code = (
        "import pathlib, sys, time\n"
        "from seq2seq.errors import ResourceError\n"
        "from seq2seq.system.locks import exclusive_lock\n"
        "path, end = pathlib.Path(sys.argv[1]), time.monotonic() + 0.5\n"
        "inside = path.with_name('inside')\n"
        "while time.monotonic() < end:\n"
        "    try:\n"
        "        with exclusive_lock(path, 'it', remove=len(sys.argv) > 2):\n"
        "            inside.mkdir()\n"
        "            inside.rmdir()\n"
        "    except ResourceError:\n"
        "        pass\n"
    )
    command = [sys.executable, "-c", code, tmp_path / ".lock", *["remove"] * remove]
    processes = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait() for process in processes] == [0, 0, 0, 0]
