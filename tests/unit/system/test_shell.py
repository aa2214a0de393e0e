"""Commands in messages mean what they say when they are typed."""

import re
import shlex
from pathlib import Path

import pytest

from seq2seq.system.shell import command

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", ["plain", "two words", "it's", "$HOME", "a;b", "*", "größe"])
def test_a_shell_reads_back_the_arguments_of_a_command(name):
    typed = command("train", Path(name), f"--set=training.x={name}")
    assert shlex.split(typed) == ["seq2seq", "train", name, f"--set=training.x={name}"]


def test_a_path_is_not_taken_for_an_option():
    assert command("train", Path("-run"), "--resume") == "seq2seq train ./-run --resume"
    assert command("check", Path("-")) == "seq2seq check -"


def test_no_message_puts_a_value_into_a_command_unquoted():
    unquoted = re.compile(r"seq2seq [a-z]+ [^\"`\n]*\{")
    found = [
        f"{path}: {line.strip()}"
        for folder in ("cli", "data", "seq2seq")
        for path in (ROOT / folder).rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if unquoted.search(line)
    ]
    assert found == []
