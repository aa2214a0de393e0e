"""SentencePiece models of a store: learnt from a sample, copied from elsewhere, or reused."""

import random
import shutil
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from data.cleaning import cleaning_rules, reason_to_drop
from data.config import DataConfig
from data.corpus import SentencePair
from data.preparation.inputs import PreparationInputs
from data.preparation.working_folder import MODEL_RECORD
from data.token_store import Side, model_name
from data.tokenization import Tokenizer, train_tokenizer
from seq2seq.errors import ConfigError, CorpusError
from seq2seq.system.files import read_json, sha256_of, sync, write_json


def reuse_models(folder: Path, record: Path, key: str, *, joint: bool) -> bool:
    """Whether the folder has intact models of this key; those beside another record are copied."""
    sides: tuple[Side, ...] = ("source", "target")
    names = {model_name(side, joint=joint) for side in sides}
    kept = {model.name for model in intact_models(folder / MODEL_RECORD, key)}
    if kept == names == {path.name for path in folder.glob("*.model")}:
        return True
    models = [model for model in intact_models(record, key) if model.name in names]
    if models:
        remove_leftovers(folder)
    for model in models:
        shutil.copy(model, folder / model.name)
    if models:
        record_models(folder, key)
    return bool(models)


def remove_leftovers(folder: Path) -> None:
    """Remove all files of an interrupted run with other settings."""
    for leftover in folder.iterdir():
        leftover.unlink()


def record_models(folder: Path, key: str) -> None:
    """Write the models' key and hashes beside them, for `reuse_models` of a later run."""
    for model in folder.glob("*.model"):
        sync(model)
    hashes = {model.name: sha256_of(model) for model in folder.glob("*.model")}
    write_json(folder / MODEL_RECORD, {"piece_key": key, "sha256": hashes})


def intact_models(record: Path, key: str) -> list[Path]:
    """The models beside a record of their hashes, if it has this key and they are undamaged."""
    try:
        found = read_json(record)
        models = {record.with_name(n): h for n, h in found["sha256"].items()}
        models = {path: digest for path, digest in models.items() if path.suffix == ".model"}
        if found["piece_key"] == key and all(sha256_of(p) == h for p, h in models.items()):
            return list(models)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # missing, or not what we write
    return []


def train_models(
    folder: Path, pairs: Sequence[SentencePair], config: DataConfig, tags: Sequence[str]
) -> None:
    """Learn pieces from these pairs; a tag is a symbol in front of sources."""
    sources, targets = zip(*pairs, strict=True)
    training_data: dict[str, tuple[tuple[str, ...], Sequence[str]]]  # model -> sentences, tags
    if config.joint:
        training_data = {"pieces.model": ((*sources, *targets), tags)}
    else:
        training_data = {"source.model": (sources, tags), "target.model": (targets, [])}
    for name, (sentences, tags) in training_data.items():
        (folder / name).write_bytes(train_tokenizer(sentences, config, tags=tags).model)


def refuse_missing_tags(models: Sequence[Path], config: DataConfig, tags: list[str]) -> None:
    """Raises ConfigError where the source model of a store or run lacks one of the tags."""
    known = Tokenizer.load(models[0].with_name(model_name("source", joint=config.joint))).tags
    if missing := [tag for tag in tags if tag not in known]:
        raise ConfigError(
            f"the pieces of {models[0].parent} have no tag {', '.join(missing)}",
            hint=f"they have {', '.join(known)}"
            if known
            else "tags are added when pieces are learnt: learn them from all corpora",
        )


def sample_pairs(inputs: PreparationInputs, config: DataConfig) -> list[SentencePair]:
    """Clean pairs from a seeded draw of lines of all corpora, or of all lines if there are few.

    Raises CorpusError where no pair is clean.
    """
    pairs = list(_clean_pairs(inputs, config))
    if not pairs:
        source, target = inputs.corpora[0].files
        raise CorpusError(
            f"no pair of {source} and {target} survives cleaning",
            hint="`seq2seq check` shows why",
        )
    return pairs


def sampled_share(inputs: PreparationInputs, config: DataConfig) -> float:
    """The share of all lines that `sample_pairs` draws."""
    return min(config.sample_pairs / sum(inputs.lines.values()), 1.0)


def _clean_pairs(inputs: PreparationInputs, config: DataConfig) -> Iterator[SentencePair]:
    rules, lines = cleaning_rules(config), sum(inputs.lines.values())
    wanted = None
    if lines > config.sample_pairs:
        draw = random.Random(f"pieces:{config.seed}").sample(range(lines), config.sample_pairs)
        wanted = np.zeros(lines, dtype=bool)
        wanted[draw] = True
    every = chain.from_iterable(corpus.files.raw_pairs() for corpus in inputs.corpora)
    for number, (source, target) in enumerate(every):
        if wanted is None or wanted[number]:
            pair = SentencePair(source.decode("utf-8"), target.decode("utf-8"))
            pair = pair.unescaped() if config.unescape else pair
            if not reason_to_drop(pair, rules):
                yield pair
