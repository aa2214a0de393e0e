"""The installed program, called as a user calls it."""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def run_program(*arguments: str) -> str:
    """Run `seq2seq` and return its standard output.

    Raises CalledProcessError if it fails, after printing its errors.
    """
    command = [str(Path(sys.executable).with_name("seq2seq")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f"$ {shlex.join(command)}\n{done.stderr[-2000:]}", file=sys.stderr)
        raise subprocess.CalledProcessError(done.returncode, command)
    return done.stdout


def set_options(settings: Sequence[str]) -> list[str]:
    """Settings of the form "section.name=value" as options of the program."""
    return [f"--set={setting}" for setting in settings]
