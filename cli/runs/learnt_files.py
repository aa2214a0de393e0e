"""Files that runs learn from their token store: each by itself, or one of several for all."""

import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from data.lexical_table import LexicalTable
from data.piece_links import PieceLinks
from data.token_store import TokenStore


def write_learnt(
    path: Path,
    learn: Callable[[TokenStore], LexicalTable | PieceLinks],
    store: TokenStore,
    shared: Path | None = None,
) -> None:
    """Write what `learn` learns from a store.

    shared: a folder that keeps it for other runs: the first learns it, while others wait
    """
    if shared is None:
        learn(store).write(path, store_sha256=store.sha256)
        return
    shared.mkdir(parents=True, exist_ok=True)
    kept = shared / f"{store.sha256}-{path.name}"
    with FileLock(shared / ".lock"):
        if not kept.is_file():
            write_learnt(kept, learn, store)
    shutil.copy(kept, path)
