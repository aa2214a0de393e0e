"""The installed program, called as a user calls it."""

import argparse
import shlex
import shutil
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


def add_limit_arguments(parser: argparse.ArgumentParser, *, minutes: float) -> None:
    parser.add_argument("--minutes", type=float, default=minutes, help="of each training")
    parser.add_argument("--updates", type=int, help="of each training, in place of minutes")


def limit_of_training(asked: argparse.Namespace) -> str:
    """The option of `train` for the arguments of `add_limit_arguments`."""
    if asked.updates:
        return f"--set=training.updates={asked.updates}"
    return f"--minutes={asked.minutes:g}"


def refuse_other_limit(work: Path, asked: argparse.Namespace) -> None:
    """Write the limit of training into a folder of results; exits where they had another one."""
    limit, path = limit_of_training(asked), work / "limit.txt"
    if path.exists() and (found := path.read_text(encoding="utf-8")) != limit:
        sys.exit(f"{work} was begun with {found}, not {limit}: choose another folder")
    path.write_text(limit, encoding="utf-8")


def train_to_the_end(store: Path, run: Path, *options: str, threads: int = 1) -> None:
    """Train a run that is not finished, from where an earlier call was interrupted.

    options: of `train`, for a run that is begun
    """
    if (run / "report.txt").exists():
        return
    resumes = (run / "checkpoints" / "last").exists()
    if not resumes:
        shutil.rmtree(run, ignore_errors=True)
    rest = ["--resume"] if resumes else options
    run_program("train", str(store), str(run), f"--threads={threads}", *rest)


def set_options(settings: Sequence[str]) -> list[str]:
    """Settings of the form "section.name=value" as options of the program."""
    return [f"--set={setting}" for setting in settings]
