"""A disk that is full stops a command with exit code 6, and costs nothing that was there before."""

import hashlib
import resource
import subprocess
from pathlib import Path

import pytest
from journey import train
from program import ENVIRONMENT, PROGRAM, Ended, call

from seq2seq.checkpoints.checkpoint import load_state, verify
from seq2seq.checkpoints.folder import pointed


def limited(size: int, *arguments: object) -> Ended:
    """The program in a process that can write no file longer than this, as on a full disk."""
    done = subprocess.run(
        [PROGRAM, *map(str, arguments)],
        capture_output=True,
        env=ENVIRONMENT,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def trained(run: Path) -> dict[str, str]:
    """What must be the same however often a disk was full."""
    last = pointed(run / "checkpoints", "last")
    assert last is not None
    files = (last / "model.safetensors", last / "optimizer.safetensors", run / "metrics.jsonl")
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_a_disk_that_fills_up_while_training_costs_nothing(run, prepared, tmp_path):
    broken, last = tmp_path / "run", pointed(run / "checkpoints", "last")
    size = (last / "model.safetensors").stat().st_size
    ended = limited(size * 3 // 2, *train(prepared, broken))  # the moments are twice as large
    assert ended.code == 6, ended.err
    assert "error: " in ended.err and "Traceback" not in ended.err
    assert "free space" in ended.err and "--resume" in ended.err
    kept = pointed(broken / "checkpoints", "last")
    assert load_state(kept).update == 0
    assert [path.name for path in (broken / "checkpoints").iterdir() if path.is_dir()] == [
        kept.name
    ]
    resumed = call("train", prepared, broken, "--resume", "--threads", 1)
    assert resumed.code == 0, resumed.err
    assert trained(broken) == trained(run)
    verify(pointed(broken / "checkpoints", "best"))


def test_a_disk_that_is_full_from_the_start_is_found_before_training(prepared, tmp_path):
    ended = limited(20_000, *train(prepared, tmp_path / "run"))
    assert ended.code == 6, ended.err
    assert "Traceback" not in ended.err and "free some space" in ended.err
    assert "update " not in ended.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [500, 5000])
def test_a_disk_that_is_full_leaves_no_half_store(corpus, tmp_path, size):
    ended = limited(size, *corpus.preprocess(tmp_path / "store"))
    assert ended.code == 6, ended.err
    assert "Traceback" not in ended.err and "free space" in ended.err
    assert not list(tmp_path.iterdir())
