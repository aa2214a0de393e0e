"""What the README tells people to type, typed."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from program import ENVIRONMENT, PROGRAM

README = Path(__file__).parents[2] / "README.md"
SHORT = "--set training.updates=20"  # in place of the minutes that a person would train


def commands(heading: str) -> list[str]:
    """The `$ ` lines of the console blocks under a heading."""
    _, _, section = README.read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    section = section.partition("\n## ")[0]
    blocks = re.findall(r"```console\n(.*?)```", section, flags=re.DOTALL)
    return [line[2:] for block in blocks for line in block.split("\n") if line.startswith("$ ")]


def test_the_main_job_and_the_settings_run_as_the_readme_has_them(tmp_path):
    import subprocess

    both = "Several corpora, and both directions in one model"
    typed = commands("The main job") + commands(both) + commands("Settings")
    assert len(typed) >= 15
    for command in typed:
        shortened = re.sub(r"--minutes \S+|--set training\.updates=\S+", SHORT, command)
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", shortened],
            cwd=tmp_path,
            env=ENVIRONMENT | {"PATH": f"{PROGRAM.parent}:{ENVIRONMENT['PATH']}"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.returncode == 0, f"{command}\n{ended.stderr}"


@pytest.mark.parametrize(
    "command", [line for line in commands("Measured") if line.startswith("seq2seq ")]
)
def test_the_measured_commands_are_well_formed(command):
    """They take hours or downloads: here their names, options and arguments are checked."""
    from cli.app import app

    _, *words = shlex.split(command)
    program = typer.main.get_command(app)
    while hasattr(program, "commands"):
        program = program.commands[words.pop(0)]
    program.make_context(program.name, words)  # raises for what the command does not take


def test_every_command_of_the_program_is_in_the_readme():
    from cli.app import app

    text = README.read_text(encoding="utf-8")
    for name in typer.main.get_command(app).commands:  # type: ignore[attr-defined]
        assert f"`{name} " in text or f"`{name}`" in text, name
