"""Our token store as text that the peers read, and their pieces as text again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from benchmarks.job import write_json
from data.batching import SIZE_MULTIPLE, padded_lengths, split_by_budget
from data.token_store import Side, TokenizedSplit, TokenStore, writing_split
from data.tokenization import Tokenizer
from seq2seq.batch import BOS, EOS, PAD, UNK

SIDES: tuple[Side, Side] = ("source", "target")


def write_pieces(store: TokenStore, folder: Path) -> None:
    """Write {train,valid}.{source,target}, one sentence a line, and the joint vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = store.tokenizer("source")
    for name in ("train", "valid"):
        split = store.split(name)
        for side in SIDES:
            write_lines(folder / f"{name}.{side}", sentences(split, side, tokenizer))
    write_lines(folder / "vocabulary", vocabulary(tokenizer))


def sentences(split: TokenizedSplit, side: Side, tokenizer: Tokenizer) -> list[str]:
    """The sentences of one side as pieces separated by spaces."""
    ids = getattr(split, side)
    return [" ".join(tokenizer.pieces(ids(pair).tolist())) for pair in range(len(split))]


def vocabulary(tokenizer: Tokenizer) -> list[str]:
    """Every piece but the four special ones, which each system names differently."""
    return tokenizer.pieces([i for i in range(len(tokenizer)) if i not in (PAD, UNK, BOS, EOS)])


def write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def join_pieces(lines: list[str], tokenizer: Tokenizer) -> list[str]:
    """Text of lines of pieces separated by spaces; a piece that we do not have is unknown."""
    ids = {piece: i for i, piece in enumerate(tokenizer.pieces(range(len(tokenizer))))}
    return [tokenizer.decode([ids.get(piece, UNK) for piece in line.split()]) for line in lines]


def target_tokens(split: TokenizedSplit) -> int:
    """Target tokens of an epoch, EOS included."""
    return int(split.target_lengths.sum()) + len(split)


def budget_for(split: TokenizedSplit, sentences: int) -> int:
    """The least budget of padded tokens for this many sentences in a batch on average."""
    order = np.lexsort((split.source_lengths, split.target_lengths))
    lengths = padded_lengths(split)[order]
    low, high = 1, int(lengths.max()) * sentences
    while low < high:
        middle = (low + high) // 2
        batches = split_by_budget(lengths, budget=middle, multiple=SIZE_MULTIPLE)
        if len(lengths) / len(batches) >= min(sentences, len(lengths)):
            high = middle
        else:
            low = middle + 1
    return low


def first_pairs(store: TokenStore, pairs: int, folder: Path) -> TokenStore:
    """A store of the first training pairs, with the same pieces and the same validation set."""
    train = store.split("train")
    if pairs >= len(train):
        return store
    folder.mkdir(parents=True, exist_ok=True)
    for path in store.path.iterdir():
        if not path.name.startswith("train."):
            shutil.copy(path, folder / path.name)
    with writing_split(folder, "train", dtype=np.dtype(store.meta["dtype"])) as writer:
        end = int(train.offsets[2 * pairs])
        writer.append(train.ids[:end], np.diff(train.offsets[: 2 * pairs + 1]), train.lines[:pairs])
    written = {"pairs": pairs, "tokens": end, "sha256": writer.hashes}
    splits = store.meta["splits"]
    splits = splits | {"train": splits["train"] | written}
    write_json(folder / "meta.json", store.meta | {"splits": splits})
    return TokenStore.open(folder)
