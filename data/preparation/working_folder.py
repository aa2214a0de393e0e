"""`STORE.partial`, the folder in which a token store is written before it is renamed."""

import shutil
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from data.output_pieces import OUTPUT_IDS
from data.store_description import StoreDescription
from data.token_store import META, replaced_path
from seq2seq.errors import ConfigError, ResourceError
from seq2seq.system.files import sha256_of, sync, write_json
from seq2seq.system.locks import exclusive_lock
from seq2seq.system.signals import signals_held

MODEL_RECORD = "pieces.json"  # key and hashes of the SentencePiece models that are finished


class WorkingFolder:
    """`STORE.partial`, locked by one process; finished models in it survive an interruption."""

    def __init__(self, store: Path) -> None:
        store = store.resolve()  # a link stays, and what it leads to is replaced
        self.path = store.with_name(f"{store.name}.partial")
        self._lock = _lock(store)

    def __enter__(self) -> Path:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.__enter__()
            try:
                self.path.mkdir(exist_ok=True)
            except OSError:
                self._lock.__exit__(None, None, None)
                raise
        except OSError as error:
            raise ResourceError(
                f"{self.path.parent} cannot be written to: {error.strerror}",
                hint="choose a store path in a folder that you can write to",
            ) from error
        return self.path

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if self.path.is_dir() and not (self.path / MODEL_RECORD).exists():
                shutil.rmtree(self.path)  # no stage was finished
        finally:
            self._lock.__exit__(None, None, None)


def _lock(store: Path) -> AbstractContextManager[None]:
    path = store.with_name(f".{store.name}.lock")
    return exclusive_lock(path, f"{store} is being prepared", remove=True)


def restore_replaced(store: Path) -> None:
    """Rename a store back that was to be replaced when `publish` was killed between its renames."""
    store = store.resolve()
    replaced = replaced_path(store)

    def is_left() -> bool:
        return (replaced / META).is_file() and not store.exists()

    if is_left():
        with _lock(store):
            if is_left():  # else another process was just between the two
                replaced.rename(store)


def refuse_to_replace(store: Path) -> None:
    """Raises ConfigError for the current directory, and where `refuse_other_content` does."""
    if store.exists() and store.samefile(Path.cwd()):
        raise ConfigError(
            f"{store} is the current directory, which cannot be replaced",
            hint="name a folder inside it, or call the program from outside",
        )
    refuse_other_content(store)


def refuse_other_content(store: Path) -> None:
    """Raises ConfigError where the path is no token store, or has other files beside it."""
    if not store.exists():
        return
    if not (store / META).is_file():
        raise ConfigError(
            f"{store} exists already and is not a token store", hint="choose another path"
        )
    ours = (META, OUTPUT_IDS, "pieces.model", "source.model", "target.model")
    for path in store.iterdir():
        if path.name not in ours and not path.name.startswith(("train.", "valid.")):
            raise ConfigError(
                f"{store} contains {path.name}, which is not part of a token store",
                hint="move it away, or choose another path for the store",
            )


def seal(folder: Path, store: Path, meta: dict[str, Any]) -> None:
    """Write meta.json with the hashes of all files, and rename the folder to the store's path."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".model", ".txt"))
    meta["sha256"] = {path.name: sha256_of(path) for path in files}
    StoreDescription.model_validate(meta)
    write_json(folder / META, meta)
    publish(folder, store)


def publish(folder: Path, path: Path) -> None:
    """Rename a complete folder once it is on disk; one that has that path already is deleted.

    A signal waits until both are renamed. Where the process is killed between that, or power fails,
    `restore_replaced` finds the old one whole.
    """
    path = path.resolve()
    replaced = replaced_path(path)
    for file in folder.iterdir():
        sync(file)
    _remove(replaced)
    with signals_held():
        (folder / MODEL_RECORD).unlink(missing_ok=True)
        if path.exists():
            path.rename(replaced)
        folder.rename(path)
    sync(path.parent)
    _remove(replaced)


def _remove(store: Path) -> None:
    """Remove a store; the remains after a kill are not taken for one."""
    with suppress(OSError):
        (store / META).unlink()
    shutil.rmtree(store, ignore_errors=True)
