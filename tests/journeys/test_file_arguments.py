"""Files that can be read only once, and files that are written, in every command."""

import json
import shutil
from pathlib import Path
from typing import Annotated

import pytest
import typer
from file_arguments import Workplace, commands_of, output_faults, pipe_faults
from program import call, shell

from cli import app as program
from cli.commands import options
from cli.terminal.console import note, write_line
from data.corpus import read_lines
from data.inputs import rereadable

COMMANDS = {command.name: command for command in commands_of(program.app)}


@pytest.fixture
def workplace(tmp_path, corpus, prepared, run):
    return Workplace.furnish(tmp_path, program.app, corpus, prepared, run)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_pipe_is_read_like_a_file_or_refused(name, workplace):
    assert pipe_faults(workplace, COMMANDS[name]) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_writes_over_an_input_or_a_file_of_the_user(name, workplace):
    assert output_faults(workplace, COMMANDS[name]) == []


@pytest.fixture
def other_program(workplace):
    """A function that makes a program of the given commands, in the same workplace."""

    def make(*functions):
        app = typer.Typer(pretty_exceptions_enable=False)
        app.callback()(lambda: None)
        for function in functions:
            app.command()(function)
        return Workplace(workplace.folder, app), {each.name: each for each in commands_of(app)}

    return make


def count_twice(source: Path) -> None:
    for _ in range(2):
        with source.open() as stream:
            write_line(str(len(list(stream))))


def count_twice_well(source: Path) -> None:
    with rereadable(source, notify=note):
        for _ in range(2):
            write_line(str(len(list(read_lines(source)))))


def read_odd(oddity: Path) -> None:
    write_line(oddity.read_text())


def test_a_new_command_that_reads_twice_is_found(other_program):
    workplace, commands = other_program(count_twice, count_twice_well, read_odd)
    faults = "\n".join(pipe_faults(workplace, commands["count-twice"]))
    assert "a pipe is not what a file is" in faults and "- is not what a file is" in faults
    assert pipe_faults(workplace, commands["count-twice-well"]) == []
    assert "no example" in pipe_faults(workplace, commands["read-odd"])[0]


Output = Annotated[Path, typer.Option()]


def copy(source: Path, output: Output) -> None:
    output.write_text("".join(f"{line}\n" for line in read_lines(source)))


def copy_in_parts(source: Path, output: Output, overwrite: options.Overwrite = False) -> None:
    if output.exists() and not overwrite:
        raise typer.Exit(2)
    output.write_text("".join(f"{line}\n" for line in read_lines(source)))


def copy_well(source: Path, output: Output, overwrite: options.Overwrite = False) -> None:
    from cli.runs.output import is_standard_output, refuse_output, write_lines

    refuse_output(output, inputs=[source], overwrite=overwrite)
    lines = list(read_lines(source))
    if is_standard_output(output):
        for line in lines:
            write_line(line)
    else:
        write_lines(output, lines)


def test_a_new_command_that_writes_over_files_is_found(other_program):
    workplace, commands = other_program(copy, copy_in_parts, copy_well)
    faults = "\n".join(output_faults(workplace, commands["copy"]))
    for fault in (
        "source is not refused", "an existing file is not refused", "no --overwrite",
        "- is not standard output",
    ):  # fmt: skip
        assert fault in faults
    faults = "\n".join(output_faults(workplace, commands["copy-in-parts"]))
    assert "source is not refused" in faults and "not replaced as a whole" in faults
    assert output_faults(workplace, commands["copy-well"]) == []


# As users type it


@pytest.fixture
def files(corpus, prepared, run, tmp_path):
    """A folder with the corpus, for commands that name files and bash's pipes."""
    for path in (*corpus.train, *corpus.valid):
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "run").symlink_to(run)
    return tmp_path


def test_compressed_text_is_preprocessed_through_pipes(files, prepared):
    done = shell(
        "gzip -k -c train.en > a.gz; gzip -k -c train.xx > b.gz;"
        "seq2seq preprocess <(zcat a.gz) <(zcat b.gz) store --source-language en"
        " --target-language xx --valid-source /dev/stdin --valid-target <(cat valid.xx)"
        " --vocabulary-size 350 --threads 1 < valid.en",
        cwd=files,
    )
    assert done.returncode == 0, done.stderr
    for name in ("train.ids", "valid.ids", "valid.source.txt", "pieces.model"):
        assert (files / "store" / name).read_bytes() == (prepared / name).read_bytes()
    meta = json.loads((files / "store" / "meta.json").read_text())
    assert meta["inputs"]["train"]["source"]["path"].startswith("/dev/fd/")
    assert "can be read only once: copied to " in done.stderr


def test_fifos_that_one_process_fills_in_turn_are_read_at_once(files):
    """Read one after the other, the first would wait for a writer that waits for the second."""
    done = shell(
        "mkfifo s t;"
        "{ for i in $(seq 60); do cat train.en >&3; cat train.xx >&4; done; } 3>s 4>t &"
        "seq2seq check s t --json",
        cwd=files,
    )
    health = json.loads(done.stdout)
    assert health["pairs"] == 60_000, done.stderr


def test_messages_name_what_the_user_typed(files):
    longer = (files / "valid.en").read_bytes() + b"more\n"
    for command in (("align", "run", "-"), ("check", "-"), ("evaluate", "run", "-")):
        result = call(*command, "valid.xx", stdin=longer, cwd=files)
        assert result.code == 3
        assert "standard input" in result.out + result.err and "/seq2seq-" not in result.err
    bad = call("align", "run", "-", "valid.xx", stdin=b"caf\xe9\n" * 40, cwd=files)
    assert bad.code == 3 and "standard input:1: byte 4" in bad.err


def test_a_pipe_cannot_be_two_inputs(files):
    for command in (
        "check - /dev/stdin", "score /dev/stdin -", "align run /dev/stdin /dev/stdin",
    ):  # fmt: skip
        done = shell(f"cat valid.en | seq2seq {command}", cwd=files)
        assert (done.returncode, done.stdout) == (2, "")
        assert "are one pipe" in done.stderr or "more than once" in done.stderr


def test_what_is_translated_is_not_appended_to(files):
    (files / "text").write_bytes((files / "valid.en").read_bytes())
    done = shell("seq2seq translate run text >> text", cwd=files)
    assert done.returncode == 2 and "text is the file that standard output" in done.stderr
    assert (files / "text").read_bytes() == (files / "valid.en").read_bytes()


def test_corpora_on_a_pipe_are_relative_to_the_current_folder(files):
    corpora = b'[back]\nsource = "-"\ntarget = "valid.en"\n'
    valid = ("--valid-source", "valid.en", "--valid-target", "valid.xx", "--vocabulary-size", 350)
    (files / "corpora.toml").write_bytes(corpora)
    command = ("preprocess", "train.en", "train.xx", "store", *valid, "--threads", 1, "--corpora")
    text = (files / "valid.xx").read_bytes()
    assert call(*command, "corpora.toml", stdin=text, cwd=files).code == 0
    found = json.loads((files / "store" / "meta.json").read_text())["inputs"]["corpora"]["back"]
    assert (found["source"]["path"], found["target"]["path"]) == ("-", "valid.en")
    refused = call(*command, "-", stdin=corpora, cwd=files)
    assert refused.code == 3 and "standard input is empty" in refused.err


def test_translations_on_stdout_have_their_scores_on_stderr(files):
    command = ("evaluate", "run", "valid.en", "valid.xx", "--output")
    assert call(*command, "new", cwd=files).code == 0
    for name in ("-", "/dev/stdout"):
        result = call(*command, name, cwd=files)
        assert result.out == (files / "new").read_text() and "BLEU|" in result.err
    refused = call(*command, "-", "--json", cwd=files)
    assert refused.code == 2 and "--output" in refused.err
    assert call(*command, "/dev/null", cwd=files).code == 0  # no file that is overwritten


def test_a_link_stays_a_link_when_its_file_is_replaced(files):
    (files / "old").write_text("old\n")
    (files / "link").symlink_to("old")
    command = ("evaluate", "run", "valid.en", "valid.xx", "--output", "link")
    assert call(*command, cwd=files).code == 2
    assert (files / "old").read_text() == "old\n"
    assert call(*command, "--overwrite", cwd=files).code == 0
    assert (files / "link").is_symlink() and (files / "old").read_text() != "old\n"


def test_a_store_with_an_input_inside_is_not_replaced(files, prepared):
    shutil.copytree(prepared, files / "store")
    inside = ("--valid-source", "store/valid.source.txt", "--valid-target", "valid.xx")
    result = call("preprocess", "train.en", "train.xx", "store", *inside, "--overwrite", cwd=files)
    assert result.code == 2 and "store/valid.source.txt" in result.err
    assert (files / "store" / "train.ids").is_file()
