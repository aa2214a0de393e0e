"""What the README and the pages of docs tell people to type, typed."""

import re
import runpy
import shlex
import subprocess
from contextlib import chdir
from pathlib import Path

import pytest
from program import ProgramResult, call, command_of

ROOT = Path(__file__).parents[2]
SHORT = "--set training.updates=20"  # in place of the minutes that a person would train
TRAIN_LINES, OTHER_LINES = 400, 20  # in place of whole corpora
PAGES = ["README.md", *(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md"))]


def section(page: str, heading: str) -> str:
    """The text of a page below a heading, as far as the next heading of the same level."""
    text = (ROOT / page).read_text(encoding="utf-8")
    _, found, rest = text.partition(f"\n{heading}\n")
    assert found, f"{page} has no {heading}"
    level = heading.split()[0]
    return rest.partition(f"\n{level} ")[0]


def blocks(text: str, language: str) -> list[str]:
    """The contents of the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def typed_lines(text: str) -> list[str]:
    """The `$ ` lines of the console blocks, without their `$ `."""
    lines = [line for block in blocks(text, "console") for line in block.split("\n")]
    return [line[2:] for line in lines if line.startswith("$ ")]


def bash(line: str, *, cwd: Path) -> ProgramResult:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line], cwd=cwd, capture_output=True, text=True
    )
    return ProgramResult(done.returncode, done.stdout, done.stderr)


def run_in(folder: Path, command: str) -> None:
    """Run a line of bash; one that is the program alone, or behind an `echo`, in this process."""
    shortened = re.sub(r"--minutes \S+|--set training\.updates=\S+", SHORT, command)
    echoed, _, program = shortened.rpartition(" | ")
    words = shlex.split(program)
    if words[0] == "seq2seq" and (not echoed or echoed.startswith("echo ")):
        stdin = " ".join(shlex.split(echoed)[1:]) + "\n"
        result = call(*words[1:], stdin=stdin.encode(), cwd=folder)
        if words[1:3] == ["corpus", "get"]:
            shorten(folder / words[4])
    else:
        result = bash(shortened, cwd=folder)
    assert result.code == 0, f"{command}\n{result.err}"


def shorten(corpus: Path) -> None:
    """Leave a few lines of each text."""
    for path in corpus.glob("*.??"):
        lines = path.read_bytes().splitlines(keepends=True)
        kept = TRAIN_LINES if path.stem == "train" else OTHER_LINES
        path.write_bytes(b"".join(lines[:kept]))


def test_the_commands_and_the_python_of_the_readme_run(tmp_path):
    main_job = typed_lines(section("README.md", "## The main job"))
    settings = typed_lines(section("docs/training.md", "## Settings"))
    assert len(main_job) >= 9 and len(settings) >= 1
    for command in main_job + settings:
        run_in(tmp_path, command)
    attention, translation = blocks(section("README.md", "## From Python"), "python")
    assert "attend(" in attention and "Translator" in translation
    for example in (attention, translation):
        (tmp_path / "example.py").write_text(example, encoding="utf-8")
        with chdir(tmp_path):
            runpy.run_path("example.py")


def test_both_directions_in_one_model_run_as_the_page_has_them(tmp_path):
    commands = typed_lines(section("docs/training-data.md", "### With the embedded corpus"))
    assert len(commands) >= 6
    for command in commands:
        run_in(tmp_path, command)


def command_lines(page: str) -> list[str]:
    """Every line of a page's console and shell blocks that calls the program."""
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = typed_lines(text)
    for block in blocks(text, "sh"):
        lines += block.replace("\\\n", " ").split("\n")
    lines = [line for line in lines if line.startswith("seq2seq ") and " ... " not in f"{line} "]
    return [line.partition("  #")[0].strip() for line in lines]


@pytest.mark.parametrize(
    ("page", "command"), [(page, line) for page in PAGES for line in command_lines(page)]
)
def test_a_command_on_a_page_is_well_formed(page, command):
    """Some take hours or downloads: here names, options and arguments are checked."""
    from cli.app import app

    _, *words = shlex.split(command)
    program = command_of(app)
    while hasattr(program, "commands"):
        program = program.commands[words.pop(0)]
    program.make_context(program.name, words)  # raises for what the command does not take


def test_the_pages_have_the_commands_of_what_was_measured():
    assert len(command_lines("docs/measured.md")) >= 14
    assert len(command_lines("docs/benchmarks.md")) >= 8


def test_every_command_of_the_program_is_in_the_readme():
    from cli.app import app

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in command_of(app).commands:
        assert f"`{name} " in text or f"`{name}`" in text, name
