"""Writing a token store, or reusing what is written already."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.config import DataConfig
from data.corpora import MAIN, Corpus, CorpusFiles, Manifest
from data.corpus import SentencePair, read_raw_lines
from data.output_pieces import output_ids, write_output_ids
from data.preparation.choice import choose_settings
from data.preparation.encoding import Progress, SplitEncoder
from data.preparation.inputs import SINGLE_CORPUS, PreparationInputs
from data.preparation.links import LinkSource, write_links
from data.preparation.overlap import count_overlap
from data.preparation.piece_models import (
    copy_models,
    record_models,
    reuse_models,
    sample_pairs,
    sampled_share,
    train_models,
)
from data.preparation.statistics import measure
from data.preparation.working_folder import WorkingFolder, refuse_other_content, seal
from data.token_store import FORMAT_VERSION, PLAIN_VERSION, TokenStore, model_name
from data.tokenization import Tokenizer
from seq2seq.errors import ConfigError
from seq2seq.system.cores import usable_cores
from seq2seq.system.plain_text import unescape


@dataclass(frozen=True)
class PreparationResult:
    """A store that is complete, and what was reused for it."""

    store: TokenStore
    stages_reused: tuple[str, ...]  # (), ("pieces",) or, where nothing was to do, ("pieces", "ids")


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
    choose: Collection[str] = (),
    links: LinkSource | None = None,
    processes: int | None = None,
    overwrite: bool = False,
    progress: Progress = lambda stage, done, total: None,
) -> PreparationResult:
    """Write the token store of a corpus, or open it where it is written already.

    Pairs of further corpora, which the manifest names, follow those of `train`. `pieces` are the
    SentencePiece models of another store or run, used in place of new ones; `config` must have the
    settings that they were learnt with. `choose` names the settings that are chosen by the corpus,
    whatever `config` has for them: some of `CHOSEN_SETTINGS`. `links` are of words of the pairs of
    `train`, for guided alignment. Raises CorpusError for unusable text,
    ConfigError when `store` is something else or the models lack a tag.
    """
    inputs = PreparationInputs.survey(
        train, valid, manifest, pieces, links_key=links.key if links else None
    )
    sample, choice = list[SentencePair](), dict[str, Any]()
    if choose:
        sample = sample_pairs(inputs, config)
        statistics = measure(sample, share=sampled_share(inputs, config))
        config = choose_settings(statistics, config, choose)
        choice = {"choice": {"settings": sorted(choose), **statistics.as_json()}}
    languages = {"source_language": source_language, "target_language": target_language}
    piece_key, store_key = inputs.piece_key(config), inputs.store_key(config, languages)
    if store.exists() and not overwrite:
        return _already_prepared(store, store_key)
    refuse_other_content(store)
    with WorkingFolder(store) as folder:
        reused = reuse_models(folder, store, piece_key)
        if not reused:
            progress("pieces", 0, 0)
            for leftover in folder.iterdir():  # of an interrupted run with other settings
                leftover.unlink()
            if pieces:
                copy_models(folder, pieces, config, inputs.tags)
            else:
                pairs = sample or sample_pairs(inputs, config)
                train_models(folder, pairs, config, inputs.tags)
            record_models(folder, piece_key)
        meta: dict[str, Any] = {
            "format_version": PLAIN_VERSION if manifest == SINGLE_CORPUS else FORMAT_VERSION,
            "key": store_key,
            "piece_key": piece_key,
            **languages,
            "config": config.as_json(),
            **choice,
            "overlap": count_overlap(valid, inputs.corpora),
            "inputs": inputs.as_json(),
        }
        encoder = SplitEncoder(folder, config, processes or usable_cores(), progress)
        meta |= encoder.describe_vocabulary()
        train_split = encoder.encode("train", inputs.corpora, inputs.lines, clean=True)
        target = Tokenizer.load(folder / model_name("target", joint=config.joint))
        outputs = output_ids(target, train_split.target_pieces)
        meta["output_pieces"] = write_output_ids(folder, outputs)
        held_out = Corpus(MAIN, valid, tag=manifest.tag)
        valid_split = encoder.encode(
            "valid", [held_out], inputs.valid_lines, clean=False, output_ids=outputs
        )
        meta["splits"] = {"train": train_split.summary, "valid": valid_split.summary}
        if links is not None:
            progress("links", 0, 0)
            meta["links"] = write_links(folder, train, links, config)
        if manifest != SINGLE_CORPUS:
            meta["corpora"] = train_split.corpora
        _copy_text(folder, valid, unescaped=config.unescape)
        seal(folder, store, meta)
    return PreparationResult(TokenStore.open(store), ("pieces",) if reused else ())


def _already_prepared(store: Path, key: str) -> PreparationResult:
    refuse_other_content(store)
    found = TokenStore.open(store)
    if found.meta.get("key") != key:
        raise ConfigError(
            f"{store} was prepared from other files or with other settings",
            hint="choose another path, or --overwrite it",
        )
    found.verify()
    return PreparationResult(found, ("pieces", "ids"))


def _copy_text(folder: Path, valid: CorpusFiles, *, unescaped: bool) -> None:
    """The validation set as text, for the scores of a validation."""
    for side, path in zip(("source", "target"), valid, strict=True):
        with (folder / f"valid.{side}.txt").open("wb") as stream:
            for line in read_raw_lines(path):
                stream.write((unescape(line.decode()).encode() if unescaped else line) + b"\n")
