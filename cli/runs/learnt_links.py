"""Links of the pieces of training pairs, for guided alignment where a token store has none."""

from collections.abc import Callable

from cli.runs.config import ignore
from data.piece_links import PieceLinks
from data.token_store import TokenStore, model_name
from data.tokenization import Tokenizer

LARGE = 200_000
"""Tokens of training pairs whose links are learnt in some seconds."""


def learnt_links(store: TokenStore, note: Callable[[str], None] = ignore) -> PieceLinks:
    """Learnt from the training pairs: 2 s for 100,000 tokens of sentences as long as verses.

    note: is given a line before, where it takes longer
    """
    train = store.meta["splits"]["train"]
    if train["tokens"] > LARGE:
        note(f"learning links of {train['pairs']:,} pairs, which guide attention ...")
    tokenizer = Tokenizer.load(store.path / model_name("source", joint=store.joint))
    return PieceLinks.learn(
        store.split("train"),
        source_vocabulary=store.meta["source_vocabulary"],
        target_vocabulary=store.meta["target_vocabulary"],
        tags=tokenizer.tags.values(),
    )
