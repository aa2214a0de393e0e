"""Standard streams that are full or closed or whose reader has left; locales and terminals."""

import io
import json
import os
import shlex
import subprocess
import threading
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from journey import train
from program import ENVIRONMENT, PROGRAM, Terminal, forked, shell

from cli.runs.chunks import CHUNK, available_chunks, fixed_chunks
from cli.runs.translation import Translation
from cli.runs.translator import Translator
from cli.terminal.console import write_line
from cli.terminal.screen import progress
from cli.terminal.translations import output_lines, translate_lines, translations_of


@pytest.fixture(scope="module")
def again(corpus, prepared):
    """A quick command with results on stdout and notes on stderr: preparing an existing store."""
    return shlex.join(map(str, ("seq2seq", *corpus.preprocess(prepared))))


@pytest.fixture(scope="module")
def expected(again):
    """The output of preparing an existing store, with both streams intact."""
    done = shell(again)
    assert done.returncode == 0 and NOTE in done.stderr
    return done


NOTE = "was prepared already; nothing was done"


def test_a_reader_that_left_before_the_result_is_no_error(corpus):
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as nobody_reads:
        done = subprocess.run(
            [PROGRAM, "check", *corpus.train, "--json"],
            stdout=nobody_reads,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            timeout=100,
        )
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_reader_that_leaves_between_two_lines_is_no_error(run):
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with forked("translate", run, "--threads", 1, **pipes) as process:
        process.stdin.write(b"red\n")
        process.stdin.flush()
        assert process.stdout.readline().endswith(b"\n")
        process.stdout.close()
        process.stdin.write(b"dog\n")
        process.stdin.close()
        assert process.wait(timeout=100) == 141
        assert process.stderr.read() == b""


def test_a_large_file_is_translated_chunk_by_chunk():
    lines_read, count = 0, 100_000

    def lines():
        nonlocal lines_read
        for lines_read in range(1, count + 1):
            yield f"line {lines_read}"

    class Echo:
        def translate(self, chunk, *, n_best):
            return chunk

    for chunks, most in ((fixed_chunks(lines()), CHUNK), (available_chunks(lines()), 6 * CHUNK)):
        for number, each in enumerate(translations_of(Echo(), chunks), start=1):
            assert each == f"line {number}" and lines_read - number < most
        assert number == count


def test_lines_that_come_one_by_one_are_not_waited_for_longer():
    def lines():
        for number in range(30):
            time.sleep(0.01)  # less than a chunk waits for its next line
            yield number

    first = next(available_chunks(lines()))
    assert first[0] == 0 and len(first) < 10


def test_a_line_is_translated_before_the_prefix_of_the_next_one_comes(run, tmp_path):
    source = tmp_path / "source"
    source.write_text("red dog\nred dog\n")
    read_end, write_end = os.pipe()
    arguments = Translator.load(run, device="cpu"), source
    prefixes = {"prefixes": Path(f"/dev/fd/{read_end}")}
    with redirect_stdout(io.StringIO()) as written:
        thread = threading.Thread(target=translate_lines, args=arguments, kwargs=prefixes)
        thread.start()
        os.write(write_end, b"der\n")
        until = time.monotonic() + 10
        while not written.getvalue() and time.monotonic() < until:
            time.sleep(0.01)
        first = written.getvalue()
        os.write(write_end, b"der\n")
        os.close(write_end)
        thread.join()
    os.close(read_end)
    assert first.startswith("der") and first.count("\n") == 1


def test_a_blank_line_has_as_many_fields_as_another():
    blank = Translation("", (), truncated=False)
    for n_best, alignments in ((2, True), (2, False), (1, False)):
        (line,) = output_lines(blank, 0, n_best=n_best, alignments=alignments)
        assert len(line.split(" ||| ")) == (3 + alignments if n_best > 1 else 1)


def test_results_are_written_to_stdout_while_a_bar_is_shown():
    terminal = Terminal(io.BytesIO(), encoding="utf-8")
    with redirect_stderr(terminal), redirect_stdout(io.StringIO()) as written:
        with progress() as bar:
            bar.add_task("translating", total=1)
            write_line("a result")
        assert not bar.disable
    assert written.getvalue() == "a result\n"


def test_a_full_disk_behind_stdout_is_reported(again, run):
    for command in (f"{again} --json", f"echo red | seq2seq translate {run}"):
        done = shell(f"{command} > /dev/full")
        assert done.returncode == 6
        assert done.stderr.count("error: ") == 1
        assert "No space left on device" in done.stderr and "Traceback" not in done.stderr


def test_a_closed_stdout_is_reported(again):
    done = shell(f"{again} >&-")
    assert done.returncode == 6
    assert "is closed" in done.stderr and "Traceback" not in done.stderr


def test_results_are_written_when_stderr_fails(again, expected):
    for elsewhere in ("2>&-", "2>/dev/full", "2> >(true)"):
        done = shell(f"{again} {elsewhere}")
        assert (done.returncode, done.stdout, done.stderr) == (0, expected.stdout, "")


def test_a_closed_standard_input_is_reported(corpus, again, run):
    assert shell(f"{again} <&-").returncode == 0  # it is not needed
    done = shell(f"seq2seq translate {run} <&-")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error: standard input is closed\nhint:  ")


def test_all_streams_may_be_closed(again):
    assert shell(f"{again} >&- 2>&- <&-").returncode == 6


def test_training_continues_when_the_reader_of_stderr_leaves(prepared, tmp_path):
    command = shlex.join(map(str, ("seq2seq", *train(prepared, tmp_path / "run", updates=20))))
    done = shell(f"({command} 2>&1; echo $? > {tmp_path}/code) | head -1")
    assert (tmp_path / "code").read_text() == "0\n", done.stdout
    assert "all 20 updates are done" in (tmp_path / "run" / "train.log").read_text()


@pytest.mark.parametrize(
    "variables",
    [
        {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "junk"},
        {"FORCE_COLOR": "", "COLUMNS": "-5"},
    ],
    ids=lambda variables: "-".join(variables),
)
def test_locale_and_terminal_change_no_byte(variables, again, expected):
    found = shell(again, environment=ENVIRONMENT | variables)
    assert (found.returncode, found.stdout, found.stderr) == (0, expected.stdout, expected.stderr)
    assert "\x1b" not in found.stdout + found.stderr


def test_any_terminal_width_is_accepted(again):
    for columns in ("1", "99999999999"):
        done = shell(again, environment=ENVIRONMENT | {"COLUMNS": columns})
        assert done.returncode == 0 and NOTE in done.stderr


def test_any_text_passes_through_an_ascii_locale(run, tmp_path):
    odd = tmp_path / "Ελληνικά [b] 👍.txt"
    odd.write_text("Ελληνικά [/b] :smile:\n\x1b]0;title\x07\n", encoding="utf-8")
    ascii_only = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = shell(
        f"seq2seq translate {run} {shlex.quote(str(odd))} --json",
        environment=ENVIRONMENT | ascii_only | {"PYTHONCOERCECLOCALE": "0"},
    )
    assert done.returncode == 0, done.stderr
    sources = [json.loads(line)["source"] for line in done.stdout.split("\n")[:-1]]
    assert sources == odd.read_text(encoding="utf-8").split("\n")[:-1]


def test_a_path_that_is_not_utf8_is_accepted(corpus, tmp_path):
    name = b"caf\xe9".decode(errors="surrogateescape")
    command = shlex.join(map(str, corpus.preprocess(tmp_path / name)))
    done = shell(f"seq2seq {command}")
    assert done.returncode == 0, done.stderr
    assert "caf\\udce9" in done.stderr
    assert (tmp_path / name / "meta.json").is_file()
