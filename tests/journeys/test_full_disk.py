"""A full disk ends a command with exit code 6 and damages no file that existed before."""

import hashlib
import resource
import subprocess
from pathlib import Path

import pytest
from journey import train
from program import ProgramResult, call, forked

from seq2seq.checkpoints.checkpoint import load_state, verify
from seq2seq.checkpoints.folder import pointed


def limited(size: int, *arguments: object) -> ProgramResult:
    """The program in a process that can write no file longer than this, as on a full disk."""
    program = forked(
        *arguments,
        first=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = program.communicate(timeout=120)
    return ProgramResult(program.returncode, out, err)


def trained(run: Path) -> dict[str, str]:
    """Hashes of what must not depend on a disk that was full."""
    last = pointed(run / "checkpoints", "last")
    assert last is not None
    files = (last / "model.safetensors", last / "optimizer.safetensors", run / "metrics.jsonl")
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_training_resumes_to_the_same_bytes_after_a_full_disk(run, prepared, tmp_path):
    broken, last = tmp_path / "run", pointed(run / "checkpoints", "last")
    size = (last / "model.safetensors").stat().st_size
    result = limited(size * 3 // 2, *train(prepared, broken))  # the moments are twice as large
    assert result.code == 6, result.err
    assert "error: " in result.err and "Traceback" not in result.err
    assert "free space" in result.err and "--resume" in result.err
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
    result = limited(20_000, *train(prepared, tmp_path / "run"))
    assert result.code == 6, result.err
    assert "Traceback" not in result.err and "free some space" in result.err
    assert "update " not in result.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [500, 5000])
def test_a_full_disk_leaves_no_incomplete_store(corpus, tmp_path, size):
    result = limited(size, *corpus.preprocess(tmp_path / "store"))
    assert result.code == 6, result.err
    assert "Traceback" not in result.err and "free space" in result.err
    assert not list(tmp_path.iterdir())
