"""The file of learnt arrays: written without a copy of them, with the mode of any other file."""

import errno
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy

from data.learnt_arrays import load_arrays, save_arrays

ARRAYS = {"a": np.arange(2**21, dtype=np.float32), "b": np.ones((2**19, 2), np.int32)}  # 12 MiB


def test_arrays_are_saved_without_a_copy(tmp_path):
    tracemalloc.start()
    try:
        save_arrays(tmp_path / "file", "kind", ARRAYS, store_sha256="0")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20
    found = load_arrays(tmp_path / "file", "kind", list(ARRAYS), store_sha256="0")
    assert all(np.array_equal(found[name], array) for name, array in ARRAYS.items())


def test_the_file_has_the_mode_that_the_umask_gives(tmp_path):
    (tmp_path / "plain").touch()
    save_arrays(tmp_path / "file", "kind", ARRAYS, store_sha256="0")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert len(list(tmp_path.iterdir())) == 2


def test_a_full_disk_is_an_os_error_and_leaves_the_old_file(tmp_path, monkeypatch):
    def full(*arguments):
        raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")

    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(safetensors.numpy, "save_file", full)
    with pytest.raises(OSError, match="No space left") as caught:
        save_arrays(tmp_path / "file", "kind", ARRAYS, store_sha256="0")
    assert caught.value.errno == errno.ENOSPC
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]
