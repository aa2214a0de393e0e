"""Writing a token store, or reusing what is written already."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from data.config import DataConfig
from data.corpora import MAIN, Corpus, CorpusFiles
from data.corpus import SentencePair, read_raw_lines
from data.output_pieces import output_ids, write_output_ids
from data.preparation.choice import choose_settings
from data.preparation.chunks import whole_corpora
from data.preparation.encoding import EncodedSplit, SplitEncoder
from data.preparation.inputs import PreparationInputs, line_counts
from data.preparation.links import write_links
from data.preparation.overlap import overlapping_lines
from data.preparation.piece_models import (
    record_models,
    refuse_missing_tags,
    remove_leftovers,
    reuse_models,
    sample_pairs,
    sampled_share,
    train_models,
)
from data.preparation.request import SINGLE_CORPUS, PreparationRequest
from data.preparation.statistics import measure
from data.preparation.working_folder import (
    WorkingFolder,
    refuse_other_content,
    refuse_to_replace,
    restore_replaced,
    seal,
)
from data.token_store import FORMAT_VERSION, META, PLAIN_VERSION, TokenStore, model_name
from data.tokenization import Tokenizer
from seq2seq.errors import ConfigError
from seq2seq.system.plain_text import unescape


@dataclass(frozen=True)
class PreparationResult:
    """A store that is complete, and what was reused for it."""

    store: TokenStore
    stages_reused: tuple[str, ...]  # (), ("pieces",) or, where nothing was to do, ("pieces", "ids")


@dataclass(frozen=True)
class PlannedStore:
    """A store of which all but its pieces and ids is known."""

    head: dict[str, Any]  # the beginning of meta.json: keys, languages, settings
    inputs: dict[str, Any]  # in meta.json, too

    @property
    def key(self) -> str:
        """Equal for inputs and settings that give equal stores."""
        return str(self.head["key"])

    @property
    def piece_key(self) -> str:
        """Equal for inputs and settings that give equal SentencePiece models."""
        return str(self.head["piece_key"])

    @property
    def config(self) -> DataConfig:
        return DataConfig(**self.head["config"])


def prepare(request: PreparationRequest) -> PreparationResult:
    """Write the token store of a corpus, or open it where it is written already.

    Raises CorpusError for unusable text, ConfigError when the store's path is something else or
    SentencePiece models lack a tag.
    """
    restore_replaced(request.store)
    inputs = PreparationInputs.survey(request)
    planned, sample = plan_store(request, inputs)
    if request.store.exists() and not request.overwrite:
        return already_prepared(request.store, planned.key)
    refuse_to_replace(request.store)
    with WorkingFolder(request.store) as folder:
        reused = provide_models(folder, request, inputs, planned, sample)
        encoder = SplitEncoder(folder, folder, planned.config, request.processes, request.progress)
        training = chain.from_iterable(corpus.files.raw_pairs() for corpus in request.corpora)
        overlap = len(overlapping_lines(request.valid, training))
        split = encoder.encode("train", whole_corpora(request.corpora, inputs.lines), clean=True)
        complete(folder, request, planned, encoder, split, overlap=overlap)
    return PreparationResult(TokenStore.open(request.store), ("pieces",) if reused else ())


def plan_store(
    request: PreparationRequest, inputs: PreparationInputs
) -> tuple[PlannedStore, Sequence[SentencePair]]:
    """Choose settings; also returns the pairs that were sampled for it, if it needed them."""
    config, sample, choice = request.config, list[SentencePair](), dict[str, Any]()
    if request.choose:
        sample = sample_pairs(inputs, config)
        statistics = measure(sample, share=sampled_share(inputs, config))
        config = choose_settings(statistics, config, request.choose)
        choice = {"choice": {"settings": sorted(request.choose), **statistics.as_json()}}
    single = request.manifest == SINGLE_CORPUS
    head = {
        "format_version": PLAIN_VERSION if single else FORMAT_VERSION,
        "key": inputs.store_key(config, request.languages),
        "piece_key": inputs.piece_key(config),
        **request.languages,
        "config": config.as_json(),
        **choice,
    }
    return PlannedStore(head, inputs.as_json()), sample


def already_prepared(store: Path, key: str) -> PreparationResult:
    """Raises ConfigError where the store has another key."""
    refuse_other_content(store)
    found = TokenStore.open(store)
    if found.meta.get("key") != key:
        raise ConfigError(
            f"{store} was prepared from other files or with other settings",
            hint="choose another path, or --overwrite it",
        )
    found.verify()
    return PreparationResult(found, ("pieces", "ids"))


def provide_models(
    folder: Path,
    request: PreparationRequest,
    inputs: PreparationInputs,
    planned: PlannedStore,
    sample: Sequence[SentencePair],
) -> bool:
    """Learn or copy SentencePiece models into a working folder; whether some were reused.

    sample: the pairs to learn from, where they were sampled already
    """
    joint = planned.config.joint
    if request.pieces:
        refuse_missing_tags(request.pieces, planned.config, inputs.tags)
    if reuse_models(folder, request.store / META, planned.piece_key, joint=joint):
        return True
    request.progress("pieces", 0, 0)
    remove_leftovers(folder)
    if request.pieces:
        for model in request.pieces:
            shutil.copy(model, folder / model.name)
    else:
        pairs = sample or sample_pairs(inputs, planned.config)
        train_models(folder, pairs, planned.config, inputs.tags)
    record_models(folder, planned.piece_key)
    return False


def complete(
    folder: Path,
    request: PreparationRequest,
    planned: PlannedStore,
    encoder: SplitEncoder,
    train: EncodedSplit,
    *,
    overlap: int,
) -> None:
    """Write all of a store but its training split, and rename its working folder.

    overlap: lines of the validation set that are training pairs
    """
    config, joint = planned.config, planned.config.joint
    meta = planned.head | {"overlap": overlap, "inputs": planned.inputs}
    meta |= encoder.describe_vocabulary()
    train_summary, corpora = train.describe(request.corpora, line_counts(planned.inputs))
    target = Tokenizer.load(folder / model_name("target", joint=joint))
    outputs = output_ids(target, train.target_pieces)
    meta["output_pieces"] = write_output_ids(folder, outputs)
    held_out = [Corpus(MAIN, request.valid, tag=request.manifest.tag)]
    lines = {MAIN: planned.inputs["valid"]["source"]["lines"]}
    parts = whole_corpora(held_out, lines)
    valid = encoder.encode("valid", parts, clean=False, output_ids=outputs)
    meta["splits"] = {"train": train_summary, "valid": valid.describe(held_out, lines)[0]}
    if request.links is not None:
        request.progress("links", 0, 0)
        meta["links"] = write_links(folder, request.train, request.links, config)
    if request.manifest != SINGLE_CORPUS:
        meta["corpora"] = corpora
    _copy_text(folder, request.valid, unescaped=config.unescape)
    seal(folder, request.store, meta)


def _copy_text(folder: Path, valid: CorpusFiles, *, unescaped: bool) -> None:
    """The validation set as text, for the scores of a validation."""
    for side, path in zip(("source", "target"), valid, strict=True):
        with (folder / f"valid.{side}.txt").open("wb") as stream:
            for line in read_raw_lines(path):
                stream.write((unescape(line.decode()).encode() if unescaped else line) + b"\n")
