"""The lexicon of a model, from the training pairs of a token store."""

import torch

from data.lexical_table import LexicalTable, learn_table
from data.token_store import TokenStore
from seq2seq.decoders.lexicon import Entries


def learnt_table(store: TokenStore) -> LexicalTable:
    """Translations of pieces, learnt from the training pairs, which takes seconds."""
    return learn_table(
        store.split("train"),
        source_vocabulary=store.meta["source_vocabulary"],
        target_vocabulary=store.meta["target_vocabulary"],
    )


def entries_of(table: LexicalTable) -> Entries:
    return Entries(torch.from_numpy(table.likely), torch.from_numpy(table.probabilities))
