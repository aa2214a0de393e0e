"""Links of the pieces of training pairs, for guided alignment where a token store has none."""

from data.piece_links import PieceLinks
from data.token_store import TokenStore, model_name
from data.tokenization import Tokenizer
from seq2seq.config import TrainingConfig

LARGE = 200_000
"""Tokens of training pairs whose links are learnt in some seconds."""


def learning_note(config: TrainingConfig, store: TokenStore) -> str | None:
    """A line to print before links are learnt; None if there are none to learn, or few."""
    train = store.meta["splits"]["train"]
    if not config.guided_alignment or store.links or train["tokens"] <= LARGE:
        return None
    return f"learning links of {train['pairs']:,} pairs, which guide attention ..."


def learnt_links(store: TokenStore) -> PieceLinks:
    """Learnt from the training pairs: 2 s for 100,000 tokens of sentences as long as verses."""
    tokenizer = Tokenizer.load(store.path / model_name("source", joint=store.joint))
    return PieceLinks.learn(
        store.split("train"),
        source_vocabulary=store.meta["source_vocabulary"],
        target_vocabulary=store.meta["target_vocabulary"],
        tags=tokenizer.tags.values(),
    )
