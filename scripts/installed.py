"""The installed program, called as a user would call it."""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def program(*arguments: str) -> str:
    """What it prints on stdout; raises when it fails, after showing why."""
    command = [str(Path(sys.executable).with_name("seq2seq")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f"$ {shlex.join(command)}\n{done.stderr[-2000:]}", file=sys.stderr)
        raise subprocess.CalledProcessError(done.returncode, command)
    return done.stdout


def told(settings: Sequence[str]) -> list[str]:
    """Settings "section.name=value" as its arguments."""
    return [word for setting in settings for word in ("--set", setting)]
