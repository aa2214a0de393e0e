"""A save that fails or crashes at any single step leaves the old checkpoint or the new one.

Every call by which a save changes the disk is counted. One after the other, each of them fails or
is the last before a crash. A crash leaves the disk in one of three states: with all that was
written; without file contents that were not synced; or also without the entries of directories that
were not synced. A power failure can lose no more than that.
"""

import errno
import io
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from reruns import Crash
from tiny import Kind, tiny_model

import seq2seq.checkpoints.checkpoint
from seq2seq.checkpoints.checkpoint import verify
from seq2seq.checkpoints.folder import point, pointed, prune, recover, save_checkpoint
from seq2seq.config import TrainingConfig
from seq2seq.errors import ResourceError
from seq2seq.system.files import write_json
from seq2seq.training.events import TrainingState, ValidationScores
from seq2seq.training.optimization import build_optimizer

OLD = TrainingState(
    update=12, validated=12, best_update=12, best_nats=1.0, measured=ValidationScores(1.0)
)
NEW = TrainingState(
    update=18, validated=18, best_update=18, best_nats=0.5, measured=ValidationScores(0.5)
)
LOSSES = ("nothing", "contents", "entries")


class Disk:
    """Simulates the disk below a folder: what was synced, and the calls that change it."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self._contents: dict[int, bytes] = {}  # inode -> synced contents of a file
        self._entries: dict[int, dict[str, int]] = {}  # inode -> synced names in a directory
        self._is_directory: dict[int, bool] = {}  # by inode
        self._descriptors: list[int] = []  # open, so that no inode is used twice
        self._root = root
        self._fail_at = 0
        self._error: type[BaseException] | None = None
        self._crashed = False
        for name in ("replace", "rename", "mkdir", "unlink", "rmdir"):
            monkeypatch.setattr(os, name, self._counted(name, getattr(os, name)))
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._counted("fsync", self._synced))
        monkeypatch.setattr(io, "open", self._counted_open(io.open))
        monkeypatch.setattr(
            seq2seq.checkpoints.checkpoint,
            "save_file",
            self._halved(seq2seq.checkpoints.checkpoint.save_file),
        )
        for path in (root, *root.rglob("*")):
            self._record(os.open(path, os.O_RDONLY))

    def arm(self, nth: int, error: type[BaseException]) -> None:
        """Let the nth call from now on fail; after a Crash all later ones do nothing."""
        self.calls, self._fail_at, self._error = [], nth, error

    def disarm(self) -> None:
        self._fail_at, self._crashed = 0, False
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()

    def write_remains(self, target: Path, *, lost: str) -> None:
        """Write what a crash left of the folder to a new one."""
        if lost == "entries":
            self._rebuild(self._root.stat().st_ino, target)
            return
        shutil.copytree(self._root, target)
        if lost == "contents":
            for path in self._root.rglob("*"):
                if path.is_file():
                    content = self._contents.get(path.stat().st_ino, b"")
                    (target / path.relative_to(self._root)).write_bytes(content)

    def _rebuild(self, inode: int, target: Path) -> None:
        target.mkdir()
        for name, each in self._entries.get(inode, {}).items():
            if self._is_directory[each]:
                self._rebuild(each, target / name)
            else:
                (target / name).write_bytes(self._contents.get(each, b""))

    def _record(self, descriptor: int) -> None:
        copy = os.dup(descriptor)
        self._descriptors.append(copy)
        inode = os.fstat(copy).st_ino
        if stat.S_ISDIR(os.fstat(copy).st_mode):
            with os.scandir(copy) as entries:
                found = {each.name: os.stat(each.name, dir_fd=copy) for each in entries}
            self._entries[inode] = {name: each.st_ino for name, each in found.items()}
            self._is_directory |= {
                each.st_ino: stat.S_ISDIR(each.st_mode) for each in found.values()
            }
        else:
            self._contents[inode] = os.pread(copy, 10**7, 0)

    def _synced(self, descriptor: int) -> None:
        self._fsync(descriptor)
        self._record(descriptor)

    def _count(self, name: str) -> bool:
        """Whether this call is the one to fail."""
        if self._crashed:
            raise Crash
        self.calls.append(name)
        return len(self.calls) == self._fail_at

    def _fail(self) -> None:
        assert self._error is not None
        if self._error is Crash:
            self._crashed = True
            raise Crash
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _counted(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object, **options: object) -> object:
            if self._count(name):
                self._fail()
            return call(*arguments, **options)

        return counted

    def _counted_open(self, call: Callable[..., io.IOBase]) -> Callable[..., io.IOBase]:
        def counted(file, mode="r", *arguments, **options):
            if not isinstance(mode, str) or not {*mode} & {*"wax+"}:
                return call(file, mode, *arguments, **options)
            if self._count("open to write"):
                call(file, mode, *arguments, **options).close()  # created, but empty
                self._fail()
            return call(file, mode, *arguments, **options)

        return counted

    def _halved(self, call: Callable[..., None]) -> Callable[..., None]:
        def halved(tensors, path, **options) -> None:
            fails = self._count("save_file")
            call(tensors, path, **options)
            if fails:
                os.truncate(path, path.stat().st_size // 2)
                self._fail()

        return halved


@pytest.fixture(scope="module")
def trained():
    model = tiny_model(Kind("luong"))
    return model, build_optimizer(model, TrainingConfig())


def save(folder: Path, trained, state: TrainingState) -> None:
    """Save as training does after a validation that is the best so far."""
    path = save_checkpoint(folder, *trained, state)
    point(folder, "best", path)
    point(folder, "last", path)
    prune(folder)


@pytest.fixture(scope="module")
def old(tmp_path_factory, trained) -> Path:
    """Two saved checkpoints; read only."""
    folder = tmp_path_factory.mktemp("old") / "checkpoints"
    folder.mkdir()
    save(folder, trained, replace(OLD, update=6, validated=6, best_update=6))
    save(folder, trained, OLD)
    return folder


def with_old(folder: Path, old: Path, monkeypatch) -> Disk:
    shutil.copytree(old, folder)
    return Disk(folder, monkeypatch)


def count_of_calls(tmp_path, trained, old, state) -> list[str]:
    with pytest.MonkeyPatch.context() as patched:
        disk = with_old(tmp_path / "counted" / "checkpoints", old, patched)
        disk.arm(0, Crash)
        save(disk._root, trained, state)
        disk.disarm()
    return disk.calls


@pytest.mark.parametrize("state", [NEW, replace(OLD, stale=1)], ids=["a later", "the same"])
def test_a_save_cut_off_at_any_step_leaves_the_old_or_the_new_checkpoint(
    tmp_path, trained, old, state
):
    calls = count_of_calls(tmp_path, trained, old, state)
    assert len(calls) > 25 and {"fsync", "rename", "replace", "save_file", "mkdir"} <= {*calls}
    found = {lost: [] for lost in LOSSES}
    for nth in range(1, len(calls) + 1):
        folder = tmp_path / str(nth) / "checkpoints"
        with pytest.MonkeyPatch.context() as patched:
            disk = with_old(folder, old, patched)
            disk.arm(nth, Crash)
            with pytest.raises(Crash):
                save(folder, trained, state)
            assert disk.calls == calls[:nth]
        for lost in LOSSES:
            disk.write_remains(tmp_path / f"{nth} {lost}", lost=lost)
        disk.disarm()
        for lost in LOSSES:
            found[lost].append(state_after(tmp_path / f"{nth} {lost}", trained, state))
    for each in found.values():
        assert each == sorted(each, key=lambda one: one == state)  # once new, never old again
        assert OLD in each and state in each


def state_after(folder: Path, trained, state: TrainingState) -> TrainingState:
    """The state that a crash while saving `state` has left, from which training goes on."""
    messages: list[str] = []
    last = recover(folder, metric="perplexity", report=messages.append)
    assert last is not None and last.state in (OLD, state), folder
    assert not messages
    assert verify(pointed(folder, "best")).state in (OLD, state)
    save(folder, trained, state)  # as training does next
    assert recover(folder, metric="perplexity", report=messages.append).state == state
    assert not messages and not list(folder.glob(".*"))
    assert len(list(folder.glob("update-*"))) == 2
    return last.state


@pytest.mark.parametrize("state", [NEW, replace(OLD, stale=1)], ids=["a later", "the same"])
def test_a_save_that_fails_at_any_step_leaves_the_old_or_the_new_checkpoint(
    tmp_path, trained, old, state
):
    calls = count_of_calls(tmp_path, trained, old, state)
    for nth in range(1, len(calls) + 1):
        folder = tmp_path / str(nth) / "checkpoints"
        with pytest.MonkeyPatch.context() as patched:
            disk = with_old(folder, old, patched)
            disk.arm(nth, OSError)
            with suppress(OSError, ResourceError):
                save(folder, trained, state)
            disk.disarm()
        messages: list[str] = []
        assert recover(folder, metric="perplexity", report=messages.append).state in (OLD, state)
        assert not messages
        save(folder, trained, state)
        assert (
            recover(folder, metric="perplexity", report=messages.append).state == state
            and not messages
        )
        assert len(list(folder.glob("update-*"))) == 2


@pytest.mark.parametrize("lost", LOSSES)
def test_replacing_a_file_leaves_the_old_or_the_new_one(tmp_path, lost):
    for nth in range(1, 5):
        folder, after = tmp_path / str(nth), tmp_path / f"{nth} after"
        folder.mkdir()
        (folder / "file").write_text("1\n")
        with pytest.MonkeyPatch.context() as patched:
            disk = Disk(folder, patched)
            disk.arm(nth, Crash)
            with pytest.raises(Crash):
                write_json(folder / "file", 2)
        disk.write_remains(after, lost=lost)
        disk.disarm()
        assert (after / "file").read_text() in ("1\n", "2\n")
    assert disk.calls == ["open to write", "fsync", "replace", "fsync"]


def test_a_checkpoint_is_synced_completely_before_it_is_renamed(tmp_path, trained, old):
    calls = count_of_calls(tmp_path, trained, old, NEW)
    renamed = calls.index("rename")
    # 4 files (the manifest and the state once more, as they are written), and their folder
    assert calls[:renamed].count("fsync") == 4 + 1 + 2 * 2
    assert calls[renamed + 1] == "fsync"  # of the folder that has the name
