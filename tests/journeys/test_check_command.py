"""`seq2seq check` for people and for scripts."""

import gzip
import json
import subprocess
from pathlib import Path

import pytest
from program import ENVIRONMENT, PROGRAM, call, seq2seq


@pytest.fixture
def corpus(tmp_path):
    sources = [f"Satz Nummer {n} " + "sehr " * (n * 7 % 11) + "lang." for n in range(300)]
    targets = [f"Sentence number {n} " + "very " * (n * 7 % 11) + "long." for n in range(300)]
    (tmp_path / "text.de").write_text("".join(f"{line}\n" for line in sources))
    (tmp_path / "text.en").write_text("".join(f"{line}\n" for line in targets))
    return tmp_path


def test_a_healthy_corpus_has_exit_code_0(corpus):
    done = call("check", "text.de", "text.en", cwd=corpus)
    assert done.code == 0
    assert done.err == ""
    out = done.out
    assert "300 pairs, 300 usable; nothing to worry about" in out
    assert "next: seq2seq preprocess text.de text.en" in out
    assert "\x1b" not in out


def test_json_is_one_document_and_nothing_else(corpus):
    done = call("check", "text.de", "text.en", "--json", cwd=corpus)
    report = json.loads(done.out)
    assert done.out.count("\n") == 1
    assert (report["schema_version"], report["can_be_used"], report["usable"]) == (1, True, 300)
    assert report["source"]["lines"] == 300


def test_unequal_line_counts_are_located_and_have_exit_code_3(corpus):
    lines = (corpus / "text.en").read_bytes().splitlines(keepends=True)
    (corpus / "text.en").write_bytes(b"".join(lines[:150] + lines[151:]))
    done = call("check", "text.de", "text.en", cwd=corpus)
    assert done.code == 3
    assert "text.de has 300 lines but text.en has 299" in done.out
    assert "text.en seems to lack 1 line near line 151" in done.out
    assert "Satz Nummer 150 " in done.out


def test_faults_have_exit_code_3_with_json_too(corpus):
    (corpus / "text.en").write_bytes(b"caf\xe9\n" * 300)
    done = call("check", "text.de", "text.en", "--json", cwd=corpus)
    assert done.code == 3
    report = json.loads(done.out)
    assert not report["can_be_used"]
    assert report["findings"][0]["code"] == "invalid-utf-8"


def test_standard_input_and_gzip_can_be_checked(corpus):
    packed = gzip.compress((corpus / "text.de").read_bytes())
    done = call("check", "-", "text.en", cwd=corpus, stdin=packed)
    assert done.code == 0
    assert "source  standard input" in done.out
    both = call("check", "-", "-", cwd=corpus)
    assert both.code == 2
    assert both.out == ""


def test_missing_files_are_named_on_stderr(corpus):
    done = call("check", "text.de", "nowhere", cwd=corpus)
    assert done.code == 3
    assert done.out == ""
    assert "nowhere does not exist" in done.err


@pytest.mark.parametrize(
    "environment",
    [
        {"COLUMNS": "20", "TERM": "dumb"},
        {"COLUMNS": "500", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
    ],
)
def test_control_characters_are_shown_and_never_executed(corpus, environment):
    hostile = "[/b] [red] :smile: \x1b]0;title\x07 \x1b[2J \x9b31m"
    with (corpus / "text.de").open("a", encoding="utf-8") as stream:
        stream.write(f"{hostile}\n中文\u2028文字\nمرحبا\u202e\n")
    with (corpus / "text.en").open("a", encoding="utf-8") as stream:
        stream.write("a\nb\nc [/red]\n")
    done = seq2seq("check", "text.de", "text.en", cwd=corpus, environment=ENVIRONMENT | environment)
    assert done.code == 0
    assert done.err == ""
    out = done.out
    assert not any(character in out for character in "\x1b\x07\x9b\u2028\u202e")
    assert "[/b] [red]" in out
    assert "文" in out
    finding = next(
        line for line in out.split("\n") if "control characters" in line and "text.de" in line
    )
    assert finding.endswith("1 line of text.de has control characters")  # whole at any width


def test_a_closed_pipe_causes_no_traceback(corpus):
    pipeline = f"'{PROGRAM}' check text.de text.en | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", pipeline], capture_output=True, cwd=corpus, timeout=60, check=False
    )
    assert done.stdout == b"source  text.de\n"
    assert done.stderr == b""
    assert done.returncode in (0, 141)  # 0 where all was written before the reader left


def test_a_full_disk_is_reported(corpus):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [PROGRAM, "check", "text.de", "text.en"],
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=corpus,
            timeout=60,
            check=False,
        )
    assert done.returncode == 6
    assert b"No space left" in done.stderr
