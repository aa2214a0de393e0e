"""Preparing a token store: text, settings, and perhaps pieces of an earlier store or run."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from cli.runs.config import build_section
from cli.runs.output import refuse_inputs
from data.corpora import CorpusFiles, Manifest, read_manifest
from data.inputs import refuse_pipes, refuse_repeated, rereadable
from data.preparation.choice import CHOSEN_SETTINGS
from data.preparation.links import LinkFile
from data.preparation.request import PreparationRequest, Progress
from data.token_store import TokenStore
from seq2seq.errors import ConfigError

PIECE_SETTINGS = (
    "vocabulary_size", "joint", "piece_model", "character_coverage", "normalization",
)  # fmt: skip
"""The settings of section `data` that say how pieces are learnt."""


@contextmanager
def preparation_request(
    train: tuple[Path, Path],
    valid: tuple[Path, Path],
    store: Path,
    *,
    settings: dict[str, Any],
    languages: tuple[str | None, str | None],
    corpora: Path | None = None,
    pieces_of: Path | None = None,
    alignments: Path | None = None,
    processes: int | None = None,
    overwrite: bool = False,
    sharded: bool = False,
    progress: Progress = lambda stage, done, total: None,
    note: Callable[[str], None] = lambda line: None,
) -> Iterator[PreparationRequest]:
    """The request for a token store, whose texts can be read any number of times in the context.

    train, valid: source and target text; any of them may be standard input or a pipe
    settings: of section `data`, as far as they are given; of the others some are chosen by the
        corpus, and the rest have their defaults
    languages: codes of source and target language; where one is None, the ending of its file
    corpora: a TOML file that names further corpora
    note: is given a line about texts that can be read only once
    pieces_of: a store or run whose pieces are used again
    alignments: a file with links of the words of `train`, for guided alignment
    sharded: whether the store is prepared in shards, which read their text again

    Raises ConfigError for pipes of a store in shards, before any of them is read.
    """
    links = LinkFile(alignments) if alignments else None
    models: list[Path] = []
    if pieces_of is not None:
        learnt = LearntPieces.of(pieces_of)
        learnt.refuse_other_settings(settings)
        models, settings = learnt.models, settings | learnt.settings
    config = build_section("data", settings)
    extra = [path for path in (corpora, alignments) if path is not None]
    refuse_repeated([*train, *valid, *extra])
    manifest = read_manifest(corpora) if corpora else Manifest()
    texts = [*train, *valid, *(path for corpus in manifest.further for path in corpus.files)]
    if sharded:
        refuse_pipes(texts, reason="shards read their text again")
    texts += [alignments] if alignments else []
    if overwrite:
        refuse_inputs(store, [*texts, *models])
    with rereadable(*texts, notify=note):
        yield PreparationRequest(
            CorpusFiles(*train),
            CorpusFiles(*valid),
            store,
            config,
            source_language=languages[0] or _language_of(train[0]),
            target_language=languages[1] or _language_of(train[1]),
            manifest=manifest,
            pieces=models,
            choose=[name for name in CHOSEN_SETTINGS if name not in settings],
            links=links,
            processes=processes,
            overwrite=overwrite,
            progress=progress,
        )


class LearntPieces(NamedTuple):
    """The SentencePiece models of a store or run, and the settings that they were learnt with."""

    origin: Path
    models: list[Path]
    settings: dict[str, Any]

    @classmethod
    def of(cls, path: Path) -> "LearntPieces":
        """Raises CheckpointError or CorpusError where the models of a run or store are damaged."""
        from cli.runs.directory import CONFIG, RunDirectory  # imports torch, which takes seconds

        if (path / CONFIG).is_file():
            run = RunDirectory.open(path)
            _ = run.tokenizer("source"), run.tokenizer("target")  # refuses damaged models
            config = run.config.data
        else:
            store = TokenStore.open(path)
            store.verify()
            config = store.config
        settings = {name: getattr(config, name) for name in PIECE_SETTINGS}
        return cls(path, sorted(path.glob("*.model")), settings)

    def refuse_other_settings(self, settings: dict[str, Any]) -> None:
        """Raises ConfigError where settings of section `data` ask for other pieces than these."""
        for name, value in self.settings.items():
            if name in settings and settings[name] != value:
                raise ConfigError(
                    f"data.{name} is to be {settings[name]}, but the pieces of {self.origin} were "
                    f"learnt with {value}",
                    hint="leave it out, or learn new pieces without --pieces-of",
                )


_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,8})?")
"""Codes such as de, grc, pt-BR and zh-Hans."""


def _language_of(path: Path) -> str | None:
    """The ending of a file that looks like a language code: "de" for train.de and train.de.gz."""
    suffixes = [suffix[1:] for suffix in path.suffixes if suffix not in (".gz", ".bz2", ".xz")]
    ending = suffixes[-1] if suffixes else "txt"
    return ending if ending != "txt" and _LANGUAGE.fullmatch(ending) else None
