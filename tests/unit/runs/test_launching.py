"""`train --processes N`: one process for each rank, of which none is left behind."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from cli.runs import launching
from cli.runs.launching import launch, rank_environments


@pytest.fixture
def ranks_do(tmp_path, monkeypatch):
    """Puts lines of shell in place of the program, between which ranks write their process ids into
    a file."""

    def replace(line: str, *, first: str = "") -> Path:
        program, pids = tmp_path / "program", tmp_path / "pids"
        program.write_text(f"#!/bin/sh\n{first}\necho $$ >> {pids}\n{line}\n")
        program.chmod(0o755)
        monkeypatch.setattr(launching.sys, "executable", str(program))
        return pids

    monkeypatch.setattr(launching, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr(launching, "IMPATIENCE_SECONDS", 0.2)
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


def signal_when_started(pids: Path, *numbers: int) -> None:
    def send() -> None:
        while not pids.is_file() or len(pids.read_text().split()) < 2:
            time.sleep(0.01)
        for number in numbers:
            time.sleep(0.1)  # so that a second one does not come with the first
            os.kill(os.getpid(), number)

    threading.Thread(target=send).start()


def test_a_signal_goes_to_every_rank_once(ranks_do, tmp_path):
    caught = tmp_path / "caught"
    pids = ranks_do("sleep 100 & wait", first=f"trap 'echo $RANK >> {caught}; exit 143' TERM")
    signal_when_started(pids, signal.SIGTERM)
    assert launch(2, []) == 143
    assert sorted(caught.read_text().split()) == ["0", "1"]
    assert_all_ended(pids, 2)


@pytest.mark.parametrize(
    ("first", "signals"),
    [("", [signal.SIGINT]), ("trap '' INT", [signal.SIGINT] * 2)],
    ids=["not handled yet", "ignored"],
)
def test_a_second_signal_kills_ranks_that_hang(ranks_do, capfd, first, signals):
    pids = ranks_do("exec sleep 100", first=first)
    signal_when_started(pids, *signals)
    assert launch(2, []) == 130
    assert_all_ended(pids, 2)
    assert capfd.readouterr().err == ""


def test_a_signal_while_ranks_are_started_ends_them(ranks_do, monkeypatch):
    ranks_do("exec sleep 100")

    def environments(count: int) -> Iterator[dict[str, str]]:
        first, *others = rank_environments(count)
        yield first
        os.kill(os.getpid(), signal.SIGINT)
        yield from others

    started, popen = [], launching.subprocess.Popen

    def start(*arguments: Any, **options: Any) -> Any:
        started.append(popen(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(launching.subprocess, "Popen", start)
    monkeypatch.setattr(launching, "rank_environments", environments)
    assert launch(2, []) == 130 and started
    assert not any(psutil.pid_exists(each.pid) for each in started)


def test_the_first_rank_has_the_pipe_of_a_process_substitution(ranks_do):
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)  # as bash leaves that of --recipe <(...)
    os.write(writer, b"[model]\n")
    os.close(writer)
    ranks_do(
        f'if [ "$RANK" = 1 ]; then test ! -e /dev/fd/{reader}; exit; fi\n'
        f'read line < /dev/fd/{reader}; test "$line" = "[model]"'
    )
    try:
        assert launch(2, []) == 0
    finally:
        os.close(reader)


def test_the_first_rank_has_standard_input(ranks_do, tmp_path):
    ranks_do('read line; test "$RANK$line" = "0[model]" || test "$RANK$line" = 1')
    recipe, before = tmp_path / "recipe.toml", os.dup(0)
    recipe.write_text("[model]\n")
    with recipe.open() as stream:
        os.dup2(stream.fileno(), 0)
    try:
        assert launch(2, []) == 0
    finally:
        os.dup2(before, 0)
        os.close(before)
