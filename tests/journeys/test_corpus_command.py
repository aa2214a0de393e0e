"""The program lists corpora and writes them, or fails with one clear error."""

import json
from pathlib import Path

import pytest
from program import ENVIRONMENT, ProgramResult, call, seq2seq


def lines(path: Path) -> list[str]:
    return path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")


def test_list_names_every_corpus_with_its_terms():
    plain, parsed = call("corpus", "list"), call("corpus", "list", "--json")
    assert plain.code == parsed.code == 0
    entries = json.loads(parsed.out)
    assert [entry["name"] for entry in entries] == ["emoji", "multi30k", "smart-home", "greek-nt"]
    for entry in entries:
        assert entry["name"] in plain.out
        assert entry["terms"] in plain.out


def test_emoji_names_are_written_and_the_next_command_is_named(tmp_path: Path):
    directory = tmp_path / "emoji names"
    done = call(
        "corpus", "get", "emoji", directory, "--source-language", "en", "--target-language", "ja"
    )
    assert done.code == 0, done.err
    description = json.loads((directory / "corpus.json").read_text(encoding="utf-8"))
    for split in ("train", "valid", "new-combinations", "new-names"):
        sources, targets = lines(directory / f"{split}.en"), lines(directory / f"{split}.ja")
        assert len(sources) == len(targets) == description["pairs"][split]
        assert f"{directory / split}.en\t{len(sources):,} lines\n" in done.out
    assert "next: seq2seq check '" in done.err
    assert "--valid-source" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["emoji names"]


def written(folder: Path, **environment: str) -> ProgramResult:
    arguments = ("corpus", "get", "emoji", folder, "--json")
    return seq2seq(*arguments, environment=ENVIRONMENT | environment)


def test_the_same_command_writes_the_same_bytes(tmp_path: Path):
    first = written(tmp_path / "a", PYTHONHASHSEED="1")
    second = written(tmp_path / "b", PYTHONHASHSEED="2")
    assert first.code == second.code == 0
    assert json.loads(first.out) == json.loads(second.out)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_folder_with_files_is_refused_and_left_unchanged(tmp_path: Path):
    (tmp_path / "mine").write_text("keep me")
    done = call("corpus", "get", "emoji", tmp_path)
    assert done.code == 2
    assert "not empty" in done.err
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
def test_an_unavailable_corpus_is_one_error_and_leaves_no_files(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    complaint: str,
):
    cache = tmp_path / "cache"
    name, *options = arguments
    monkeypatch.setenv("SEQ2SEQ_CACHE", str(cache))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    done = call("corpus", "get", name, tmp_path / "out", *options)
    assert done.code == code, done.err
    assert complaint in done.err
    assert done.err.count("error:") == 1
    assert "hint:" in done.err
    assert "Traceback" not in done.err
    assert done.out == ""
    assert not (tmp_path / "out").exists()
    assert not list(cache.rglob("*"))


def test_a_wrong_hash_has_exit_code_3(tmp_path: Path):
    (tmp_path / "bible_alignments-0.4.2-py3-none-any.whl").write_bytes(b"not that wheel")
    done = call("corpus", "get", "greek-nt", tmp_path / "out", "--from", tmp_path)
    assert done.code == 3
    assert "sha256" in done.err
    assert not (tmp_path / "out").exists()
