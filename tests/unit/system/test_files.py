"""Files and directories that are there whole, or not at all."""

import os
import stat

import pytest

from seq2seq.errors import ResourceError
from seq2seq.system.files import read_json, replacing, replacing_directory, sha256_of, write_json


class Crash(BaseException):
    pass


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_swapped_whole(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
        assert partial.parent == path.parent
    assert path.read_text() == "new" and names(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Crash])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as partial:
        partial.write_text("half")
        raise error
    assert path.read_text() == "old" and names(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_failing_disk_leaves_the_old_file(tmp_path, monkeypatch, call):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(*arguments: object) -> None:
        raise OSError(5, "Input/output error")

    if call == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="Input/output"):
        write_json(path, {"a": 1})
    assert path.read_text() == "old" and names(tmp_path) == ["file"]


def test_bytes_are_on_disk_before_the_swap_and_the_swap_before_the_return(tmp_path, monkeypatch):
    done, real = [], os.fsync

    def fsync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        done.append((kind, (tmp_path / "file").exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_json(tmp_path / "file", 1)
    assert done == [("file", False), ("folder", True)]


def test_a_directory_appears_with_all_its_files(tmp_path):
    path = tmp_path / "folder"
    with replacing_directory(path) as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "a").write_text("1")
        assert not path.exists()
    assert (path / "inner" / "a").read_text() == "1" and names(tmp_path) == ["folder"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Crash])
def test_an_error_leaves_no_directory(tmp_path, error):
    with pytest.raises(error), replacing_directory(tmp_path / "folder") as partial:
        (partial / "a").write_text("half")
        raise error
    assert names(tmp_path) == []


def test_a_directory_is_never_overwritten(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(ResourceError) as caught, replacing_directory(tmp_path / "folder"):
        pass
    assert caught.value.hint and names(tmp_path) == ["folder"]


def test_what_a_crashed_process_of_the_same_number_left_is_cleared(tmp_path):
    stray = tmp_path / f".folder.{os.getpid()}.partial"
    stray.mkdir()
    (stray / "old").write_text("left")
    with replacing_directory(tmp_path / "folder") as partial:
        (partial / "new").write_text("1")
    assert names(tmp_path / "folder") == ["new"]


def test_json_survives(tmp_path):
    value = {"ä": [1, 2.5, None, True], "b": "\u2028"}
    write_json(tmp_path / "file", value)
    assert read_json(tmp_path / "file") == value
    assert "ä" in (tmp_path / "file").read_text(encoding="utf-8")


def test_a_hash_is_sha256(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert sha256_of(tmp_path / "file").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_a_file_has_the_mode_that_the_umask_gives(tmp_path):
    write_json(tmp_path / "file", 1)
    (tmp_path / "plain").touch()
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode
