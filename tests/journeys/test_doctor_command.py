"""`seq2seq doctor`, also without a home, on a dumb terminal and in folders that are read-only."""

import importlib.metadata
import json
import os
import subprocess
from pathlib import Path

import pytest
from program import PROGRAM, call, seq2seq

from cli.commands.doctor import collect
from cli.commands.doctor.disk import shortened
from cli.commands.doctor.fact import Fact
from cli.commands.doctor.versions import dependency


def test_the_block_names_versions_machine_terminal_and_disk():
    done = call("doctor", "--markdown")
    assert (done.code, done.err) == (0, "")
    before, block, after = done.out.split("```")
    assert (before[:9], after[-11:]) == ("<details>", "</details>\n")
    lines = block.splitlines()
    assert [line for line in lines if line.startswith("[")] == [
        "[versions]",
        "[extras]",
        "[machine]",
        "[torch]",
        "[terminal]",
        "[disk]",
    ]
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    assert facts["seq2seq-trainer"].strip() == importlib.metadata.version("seq2seq-trainer")
    assert facts["sacrebleu"].strip() == importlib.metadata.version("sacrebleu")
    assert "one thread" in facts["bfloat16 gflops"]
    assert "writable" in facts["here"]
    assert "\x1b" not in done.out
    # Aligned: every value starts in the same column.
    assert (
        len({len(line) - len(line.split(":", 1)[1].lstrip()) for line in lines if ":" in line}) == 1
    )


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be taken away")
def test_cores_that_this_process_may_not_use_are_not_counted():
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(ours)})
    try:
        done = call("doctor", "--json")
    finally:
        os.sched_setaffinity(0, ours)
    assert json.loads(done.out)["machine"]["cores"] == 1


def test_json_has_numbers_and_a_verdict():
    report = json.loads(call("doctor", "--json").out)
    assert report["schema_version"] == 1
    assert (report["ok"], report["problems"]) == (True, [])
    assert report["torch"]["float32_gflops"] > 0
    assert report["machine"]["memory"] > 2**28  # bytes
    assert report["disk"]["here"]["writable"] is True
    needed = importlib.metadata.requires("seq2seq-trainer") or []
    runtime = [text for text in needed if "extra ==" not in text]
    assert len(report["versions"]) == len(runtime) + 3  # ours, Python, platform


@pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="needs a directory even root cannot write"
)
def test_a_missing_home_and_unwritable_folders_are_reported_and_not_fatal():
    environment = {name: value for name, value in os.environ.items() if name != "HOME"} | {
        "SEQ2SEQ_CACHE": "/proc/nowhere\x1b[31m",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "COLUMNS": "many",
        "LC_ALL": "POSIX",
    }
    done = seq2seq("doctor", cwd=Path("/proc"), environment=environment)
    assert (done.code, done.err) == (0, "")
    assert done.out.count("cannot be written") == 2  # here and the cache
    assert "\x1b" not in done.out
    assert "POSIX" in done.out and "dumb" in done.out


def test_a_deleted_working_directory_is_reported(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f'rmdir "{gone}" && exec "{PROGRAM}" doctor'
    done = subprocess.run(
        ["sh", "-c", command], cwd=gone, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 6
    assert "the current directory is gone" in done.stderr
    assert "[disk]" in done.stdout


def test_a_missing_or_outdated_dependency_is_a_problem():
    assert dependency("no-such-distribution", ">=1").problem == (
        "no-such-distribution is not installed"
    )
    assert "is not <0.1" in dependency("pytest", "<0.1").problem
    assert dependency("pytest", ">=1").problem == ""


def test_a_failing_section_keeps_its_earlier_facts():
    def facts():
        yield Fact("first", 1, "1")
        raise RuntimeError("no such thing here")

    first, failed = collect("machine", facts)
    assert (first.key, failed.key) == ("first", "failed")
    assert failed.text == "RuntimeError: no such thing here"
    assert failed.problem == ""
    assert collect("torch", facts)[-1].problem


def test_a_path_below_home_is_shown_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert shortened(tmp_path / "corpus") == "~/corpus"
    assert shortened(Path("/elsewhere")) == "/elsewhere"
