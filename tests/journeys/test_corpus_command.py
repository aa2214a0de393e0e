"""The installed program lists corpora and writes them, or fails with one clear error."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("seq2seq")


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PROGRAM), "corpus", *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, **environment},
    )


def lines(path: Path) -> list[str]:
    return path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")


def test_list_names_every_corpus_with_its_terms():
    plain, parsed = run("list"), run("list", "--json")
    assert plain.returncode == parsed.returncode == 0
    entries = json.loads(parsed.stdout)
    assert [entry["name"] for entry in entries] == ["emoji", "multi30k", "smart-home", "greek-nt"]
    for entry in entries:
        assert entry["name"] in plain.stdout
        assert entry["terms"] in plain.stdout


def test_emoji_names_are_written_and_the_next_command_is_named(tmp_path: Path):
    directory = tmp_path / "emoji names"
    done = run("get", "emoji", directory, "--source-language", "en", "--target-language", "ja")
    assert done.returncode == 0, done.stderr
    description = json.loads((directory / "corpus.json").read_text(encoding="utf-8"))
    for split in ("train", "valid", "new-combinations", "new-names"):
        sources, targets = lines(directory / f"{split}.en"), lines(directory / f"{split}.ja")
        assert len(sources) == len(targets) == description["pairs"][split]
        assert f"{directory / split}.en\t{len(sources):,} lines\n" in done.stdout
    assert "next: seq2seq check '" in done.stderr
    assert "--valid-source" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["emoji names"]


def test_the_same_command_writes_the_same_bytes(tmp_path: Path):
    first = run("get", "emoji", tmp_path / "a", "--json", PYTHONHASHSEED="1")
    second = run("get", "emoji", tmp_path / "b", "--json", PYTHONHASHSEED="2")
    assert first.returncode == second.returncode == 0
    assert json.loads(first.stdout) == json.loads(second.stdout)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_an_occupied_directory_is_left_as_it_was(tmp_path: Path):
    (tmp_path / "mine").write_text("keep me")
    done = run("get", "emoji", tmp_path)
    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["emojis"], 2, "did you mean 'emoji'?"),
        (["emoji", "--target-language", "gr"], 2, "not available in 'gr'"),
        (["emoji", "--from", "."], 2, "embedded"),
        (["multi30k", "--from", "http://127.0.0.1:9"], 6, "could not be downloaded"),
        (["multi30k", "--from", "."], 3, "train.de.gz does not exist"),
        (["smart-home", "--from", "."], 3, "does not exist"),
        (["greek-nt"], 6, "bible_alignments-0.4.2-py3-none-any.whl"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_had_is_one_error_and_leaves_nothing(
    tmp_path: Path, arguments: list[str], code: int, complaint: str
):
    cache = tmp_path / "cache"
    name, *options = arguments
    done = run("get", name, tmp_path / "out", *options, SEQ2SEQ_CACHE=str(cache), PIP_NO_INDEX="1")
    assert done.returncode == code, done.stderr
    assert complaint in done.stderr
    assert done.stderr.count("error:") == 1
    assert "hint:" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()
    assert not list(cache.rglob("*"))


def test_a_wrong_hash_is_an_error_in_the_data(tmp_path: Path):
    (tmp_path / "bible_alignments-0.4.2-py3-none-any.whl").write_bytes(b"not that wheel")
    done = run("get", "greek-nt", tmp_path / "out", "--from", tmp_path)
    assert done.returncode == 3
    assert "sha256" in done.stderr
    assert not (tmp_path / "out").exists()
