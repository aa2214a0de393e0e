"""What users do out of habit: scripts/try_habits.py prints the same lines, now and before."""

import os
import re
import shlex
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from habits import HABITS, bash, furnish, perform, preparations
from program import ENVIRONMENT, PROGRAM, call

PIPE = re.compile(r"<\(z?cat (\S+)\)")
HERE = re.compile(r" <<< \$?'([^']*)'$")
REDIRECTION = re.compile(r" < (\S+)$")
NEEDS_BASH = re.compile(r"/dev/stdin|>&-|[;&|]|^(?!seq2seq )")


@pytest.fixture(scope="module")
def furnished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("habits")
    for command in preparations(furnish(folder)):
        assert call(*command).code == 0
    return folder


@pytest.fixture
def folder(furnished, tmp_path):
    """A folder of its own, where files are links until they are written."""
    for path in furnished.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


@pytest.mark.parametrize("name", HABITS)
def test_what_users_do_out_of_habit_ends_well(name, folder):
    habit = HABITS[name]
    if habit.keeps and (folder / habit.keeps).exists():  # a fault must not reach other tests
        text = (folder / habit.keeps).read_bytes()
        (folder / habit.keeps).unlink()
        (folder / habit.keeps).write_bytes(text)
    outcome = perform(habit, folder, run_line)
    assert habit.fault(outcome) is None, outcome.text


def run_line(line: str, folder: Path) -> tuple[int | None, str]:
    """A line of bash; in this process where bash does no more than join files to the program."""
    parts = line.split("; ")
    if any(NEEDS_BASH.search(part) for part in parts):
        return bash(line, folder, program=shlex.quote(str(PROGRAM)), environment=ENVIRONMENT)
    for part in parts:
        code, text = call_line(part, folder)
    return code, text


def call_line(line: str, folder: Path) -> tuple[int, str]:
    stdin = b""
    if here := HERE.search(line):
        line, stdin = line[: here.start()], here[1].replace("\\n", "\n").encode() + b"\n"
    if source := REDIRECTION.search(line):
        line, stdin = line[: source.start()], (folder / source[1]).read_bytes()
    with ExitStack() as pipes:
        line = PIPE.sub(lambda match: pipe_from(folder / match[1], pipes), line)
        result = call(*shlex.split(line)[1:], stdin=stdin, cwd=folder)
    return result.code, result.out + result.err


def pipe_from(path: Path, pipes: ExitStack) -> str:
    """The name of a pipe that has the text of a file."""
    read_end, write_end = os.pipe()
    data = path.read_bytes()

    def write() -> None:
        with suppress(BrokenPipeError), os.fdopen(write_end, "wb") as stream:
            stream.write(data)

    thread = threading.Thread(target=write)
    thread.start()
    pipes.callback(thread.join)
    pipes.callback(os.close, read_end)
    return f"/dev/fd/{read_end}"
