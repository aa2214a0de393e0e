"""Writing a token store: what is asked for, what of it is there already, and what is done."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.config import DataConfig
from data.corpora import MAIN, Corpus, CorpusFiles, Manifest
from data.corpus import read_raw_lines
from data.preparation.encoding import Encoding, Progress
from data.preparation.ingredients import SINGLE_CORPUS, PreparationInputs
from data.preparation.pieces import copy_models, pieces_found, record_models, train_pieces
from data.preparation.working_folder import WorkingFolder, refuse_foreign, seal
from data.token_store import FORMAT_VERSION, PLAIN_VERSION, TokenStore
from seq2seq.errors import ConfigError
from seq2seq.system.cores import usable_cores


@dataclass(frozen=True)
class Prepared:
    store: TokenStore
    stages_reused: tuple[str, ...]  # "pieces", or "pieces" and "ids" when all was there


def prepare(
    train: CorpusFiles,
    valid: CorpusFiles,
    store: Path,
    config: DataConfig,
    *,
    source_language: str | None = None,
    target_language: str | None = None,
    manifest: Manifest = SINGLE_CORPUS,
    pieces: Sequence[Path] = (),
    processes: int | None = None,
    overwrite: bool = False,
    progress: Progress = lambda stage, done, total: None,
) -> Prepared:
    """Write the token store of a corpus, or find it written already.

    Pairs of further corpora, which the manifest names, follow those of `train`. `pieces` are the
    SentencePiece models of another store or run, used in place of new ones; `config` must say of
    pieces what that one's says. Raises CorpusError for unusable text, ConfigError when `store`
    holds something else or the given pieces lack a tag.
    """
    made_of = PreparationInputs.survey(train, valid, manifest, pieces)
    languages = {"source_language": source_language, "target_language": target_language}
    piece_key, store_key = made_of.piece_key(config), made_of.store_key(config, languages)
    if store.exists() and not overwrite:
        return _already_prepared(store, store_key)
    refuse_foreign(store)
    with WorkingFolder(store) as folder:
        reused = pieces_found(folder, store, piece_key)
        if not reused:
            progress("pieces", 0, 0)
            for left in folder.iterdir():  # by an interrupted run with other settings
                left.unlink()
            if pieces:
                copy_models(folder, pieces, config, made_of.tags)
            else:
                train_pieces(folder, made_of, config)
            record_models(folder, piece_key)
        meta: dict[str, Any] = {
            "format_version": PLAIN_VERSION if manifest == SINGLE_CORPUS else FORMAT_VERSION,
            "key": store_key,
            "piece_key": piece_key,
            **languages,
            "config": config.model_dump(),
            "inputs": made_of.inputs,
        }
        encoding = Encoding(folder, config, processes or usable_cores(), progress)
        meta |= encoding.describe_pieces()
        trained = encoding.encode("train", made_of.corpora, made_of.lines, clean=True)
        held_out = Corpus(MAIN, valid, tag=manifest.tag)
        validated = encoding.encode("valid", [held_out], made_of.valid_lines, clean=False)
        meta["splits"] = {"train": trained.facts, "valid": validated.facts}
        if manifest != SINGLE_CORPUS:
            meta["corpora"] = trained.corpora
        _keep_text(folder, valid)
        seal(folder, store, meta)
    return Prepared(TokenStore.open(store), ("pieces",) if reused else ())


def _already_prepared(store: Path, key: str) -> Prepared:
    refuse_foreign(store)
    found = TokenStore.open(store)
    if found.meta.get("key") != key:
        raise ConfigError(
            f"{store} was prepared from other files or with other settings",
            hint="choose another path, or --overwrite it",
        )
    found.verify()
    return Prepared(found, ("pieces", "ids"))


def _keep_text(folder: Path, valid: CorpusFiles) -> None:
    for side, path in zip(("source", "target"), valid, strict=True):
        with (folder / f"valid.{side}.txt").open("wb") as stream:
            stream.writelines(line + b"\n" for line in read_raw_lines(path))
