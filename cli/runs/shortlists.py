"""The lexical table of a run, learnt when a shortlist is first asked for."""

from collections.abc import Callable

import numpy as np
import torch

from cli.runs.directory import LEXICON, RunDirectory
from cli.runs.lexicons import learnt_table
from data.lexical_table import Ids, LexicalTable
from data.tokenization import Tokenizer
from seq2seq.batch import EOS
from seq2seq.errors import ConfigError
from seq2seq.search.shortlist import Shortlist


def shortlist_of(run: RunDirectory, size: int, notify: Callable[[str], None]) -> Shortlist | None:
    """The run's shortlist, with `size` translations of each source piece; None where that is 0.

    In front of them is the piece itself, if the target has it: what is copied, as names and numbers
    are, can always be written.

    notify: called with what is done, where that takes long

    Raises what `lexical_table` raises.
    """
    if not size:
        return None
    table = lexical_table(run, notify)
    copies = same_pieces(run.tokenizer("source"), run.tokenizer("target"))
    likely = np.column_stack([copies, table.likely[:, :size]]).astype(np.int64)
    return Shortlist(torch.from_numpy(likely), torch.tensor([EOS, *table.frequent.tolist()]))


def lexical_table(run: RunDirectory, notify: Callable[[str], None]) -> LexicalTable:
    """Translations of pieces: those in the run's file, or else learnt from its token store.

    Raises CheckpointError for a damaged file, and ConfigError where the store is no longer there.
    """
    path = run.path / LEXICON
    if path.is_file():
        return run.lexical_table()
    store = run.trained_store()
    if store is None:
        raise ConfigError(
            f"a shortlist is learnt from the token store that {run.path} was trained on, and "
            f"{run.store_path} is no longer that",
            hint="put the store back there, or leave out --shortlist",
        )
    notify(f"learning a shortlist from {store.path}, once for this run")
    table = learnt_table(store)
    try:
        table.write(path, store_sha256=store.sha256)
    except OSError as error:
        notify(f"{path} cannot be written: {error.strerror}; it will be learnt again")
    return table


def same_pieces(source: Tokenizer, target: Tokenizer) -> Ids:
    """The target id of the piece or byte that each source id stands for, -1 if none does. [V_s]"""
    found = np.full(len(source), -1, dtype=np.int32)
    theirs = target.vocabulary().ids
    for piece, number in source.vocabulary().ids.items():
        found[number] = theirs.get(piece, -1)
    found[source.byte_ids] = target.byte_ids
    return found
