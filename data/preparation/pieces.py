"""SentencePiece models of a store: learnt from a sample, taken from another store, or found."""

import random
import shutil
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from data.cleaning import cleaning_rules, reason_to_drop
from data.config import DataConfig
from data.corpus import SentencePair
from data.preparation.ingredients import PreparationInputs
from data.preparation.working_folder import PIECES
from data.token_store import META, model_name
from data.tokenization import Tokenizer, train_tokenizer
from seq2seq.errors import ConfigError, CorpusError
from seq2seq.system.files import read_json, sha256_of, sync, write_json


def pieces_found(folder: Path, store: Path, key: str) -> bool:
    """Whether pieces for this key are in the folder, or can be taken from the store replaced."""
    if _intact_models(folder / PIECES, key):
        return True
    models = _intact_models(store / META, key)
    for model in models:
        shutil.copy(model, folder / model.name)
    if models:
        record_models(folder, key)
    return bool(models)


def record_models(folder: Path, key: str) -> None:
    for model in folder.glob("*.model"):
        sync(model)
    hashes = {model.name: sha256_of(model) for model in folder.glob("*.model")}
    write_json(folder / PIECES, {"piece_key": key, "sha256": hashes})


def _intact_models(description: Path, key: str) -> list[Path]:
    """The models beside a description, if it is of this key and tells their hashes."""
    try:
        facts = read_json(description)
        models = {description.with_name(n): h for n, h in facts["sha256"].items()}
        models = {path: digest for path, digest in models.items() if path.suffix == ".model"}
        if facts["piece_key"] == key and all(sha256_of(p) == h for p, h in models.items()):
            return list(models)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # missing, or not what we write
    return []


def train_pieces(folder: Path, made_of: PreparationInputs, config: DataConfig) -> None:
    """Raises CorpusError where no pair is clean."""
    pairs = list(_sampled(made_of, config))
    if not pairs:
        source, target = made_of.corpora[0].files
        raise CorpusError(
            f"no pair of {source} and {target} survives cleaning",
            hint="`seq2seq check` tells why",
        )
    sources, targets = zip(*pairs, strict=True)
    learnt: dict[str, tuple[tuple[str, ...], list[str]]]  # model -> its sentences and tags
    if config.joint:
        learnt = {"pieces.model": ((*sources, *targets), made_of.tags)}
    else:
        learnt = {"source.model": (sources, made_of.tags), "target.model": (targets, [])}
    for name, (sentences, symbols) in learnt.items():
        (folder / name).write_bytes(train_tokenizer(sentences, config, tags=symbols).model)


def copy_models(folder: Path, pieces: Sequence[Path], config: DataConfig, tags: list[str]) -> None:
    for model in pieces:
        shutil.copy(model, folder / model.name)
    known = Tokenizer.load(folder / model_name("source", joint=config.joint)).tags
    if missing := [tag for tag in tags if tag not in known]:
        raise ConfigError(
            f"the pieces of {pieces[0].parent} have no tag {', '.join(missing)}",
            hint=f"they have {', '.join(known)}"
            if known
            else "tags come into pieces when these are learnt: learn them from all corpora",
        )


def _sampled(made_of: PreparationInputs, config: DataConfig) -> Iterator[SentencePair]:
    """A seeded draw from the lines of all corpora, cleaned; all of them when there are few."""
    rules, lines = cleaning_rules(config), sum(made_of.lines.values())
    wanted = None
    if lines > config.sample_pairs:
        draw = random.Random(f"pieces:{config.seed}").sample(range(lines), config.sample_pairs)
        wanted = np.zeros(lines, dtype=bool)
        wanted[draw] = True
    every = chain.from_iterable(corpus.files.raw_pairs() for corpus in made_of.corpora)
    for number, (source, target) in enumerate(every):
        if wanted is None or wanted[number]:
            pair = SentencePair(source.decode("utf-8"), target.decode("utf-8"))
            if not reason_to_drop(pair, rules):
                yield pair
