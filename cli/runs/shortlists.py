"""The lexical table of a run, learnt when a shortlist is first asked for."""

from collections.abc import Callable
from pathlib import Path

import torch

from cli.runs.directory import SHORTLIST, RunDirectory
from data.shortlist import LexicalTable, learn_table, same_pieces
from data.token_store import TokenStore
from seq2seq.batch import EOS
from seq2seq.errors import ConfigError, CorpusError
from seq2seq.search.shortlist import Shortlist


def shortlist_of(run: RunDirectory, size: int, notify: Callable[[str], None]) -> Shortlist | None:
    """The run's shortlist, with `size` translations of each source piece; None where that is 0.

    notify: called with what is done, where that takes long

    Raises what `lexical_table` raises.
    """
    if not size:
        return None
    table = lexical_table(run, notify)
    always = torch.tensor([EOS, *table.frequent.tolist()])
    return Shortlist(torch.from_numpy(table.likely[:, :size].astype("int64")), always)


def lexical_table(run: RunDirectory, notify: Callable[[str], None]) -> LexicalTable:
    """Translations of pieces: those in the run's file, or else learnt from its token store.

    Raises CheckpointError for a damaged file, and ConfigError where the store is no longer there.
    """
    store_sha256, path = run.provenance["store"]["sha256"], run.path / SHORTLIST
    if path.is_file():
        return LexicalTable.read(path, store_sha256=store_sha256)
    store = _store(run)
    notify(f"learning a shortlist from {store.path}, once for this run")
    table = learn_table(
        store.split("train"),
        same_pieces(run.tokenizer("source"), run.tokenizer("target")),
        target_vocabulary=run.provenance["target_vocabulary"],
    )
    try:
        table.write(path, store_sha256=store_sha256)
    except OSError as error:
        notify(f"{path} cannot be written: {error.strerror}; it will be learnt again")
    return table


def _store(run: RunDirectory) -> TokenStore:
    path = Path(run.provenance["store"]["path"])
    try:
        store = TokenStore.open(path)
    except CorpusError as error:
        raise _missing(run, path) from error
    if store.sha256 != run.provenance["store"]["sha256"]:
        raise _missing(run, path)
    return store


def _missing(run: RunDirectory, path: Path) -> ConfigError:
    return ConfigError(
        f"a shortlist is learnt from the token store that {run.path} was trained on, and {path} is "
        "no longer that",
        hint="put the store back there, or leave out --shortlist",
    )
