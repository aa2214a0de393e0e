"""What a token store is made of: surveyed before any work, and the keys by which work is found."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.config import DataConfig
from data.corpora import MAIN, Corpus, CorpusFiles, Manifest
from data.corpus import survey_pair
from data.token_store import PLAIN_VERSION
from seq2seq.system.files import sha256_of

SINGLE_CORPUS = Manifest()  # the main corpus, and nothing to be said of it

_PIECE_SETTINGS = {
    "vocabulary_size", "joint", "piece_model", "character_coverage", "normalization",
    "sample_pairs", "seed", "max_words", "max_characters", "max_ratio",
}  # fmt: skip


@dataclass(frozen=True)
class PreparationInputs:
    """Texts, tags and pieces of others."""

    manifest: Manifest
    corpora: tuple[Corpus, ...]  # the main one first
    texts: Mapping[str, Any]  # of each corpus: path, lines and hash, by side
    valid: Mapping[str, Any]  # the same
    given: Mapping[str, str]  # hashes of pieces that are not learnt here

    @classmethod
    def survey(
        cls, train: CorpusFiles, valid: CorpusFiles, manifest: Manifest, pieces: Sequence[Path]
    ) -> "PreparationInputs":
        """Read all texts once. Raises CorpusError for what cannot be used."""
        corpora = tuple(manifest.with_main(train))
        texts = {corpus.name: _surveyed(corpus.files) for corpus in corpora}
        given = {model.name: sha256_of(model) for model in pieces}
        return cls(manifest, corpora, texts, _surveyed(valid), given)

    @property
    def lines(self) -> dict[str, int]:
        """Of each corpus."""
        return {name: int(sides["source"]["lines"]) for name, sides in self.texts.items()}

    @property
    def valid_lines(self) -> dict[str, int]:
        return {MAIN: int(self.valid["source"]["lines"])}

    @property
    def tags(self) -> list[str]:
        return sorted({corpus.tag for corpus in self.corpora if corpus.tag})

    @property
    def inputs(self) -> dict[str, Any]:
        """For meta.json."""
        further = {name: sides for name, sides in self.texts.items() if name != MAIN}
        found = {"train": self.texts[MAIN], "valid": self.valid}
        return found | ({"corpora": further} if further else {})

    def piece_key(self, config: DataConfig) -> str:
        texts = [each for name, each in self.inputs.items() if name != "valid"]
        learnt_from = [*texts, *([self.tags] if self.tags else [])]
        made_from = [self.given] if self.given else learnt_from
        return _key(*made_from, config.model_dump(include=_PIECE_SETTINGS))

    def store_key(self, config: DataConfig, languages: Mapping[str, str | None]) -> str:
        told = [(corpus.name, corpus.weight, corpus.tag) for corpus in self.corpora]
        further = [
            *([] if self.manifest == SINGLE_CORPUS else [told]),
            *([self.given] if self.given else []),
        ]
        return _key(self.inputs, config.model_dump(), languages, *further)


def _surveyed(files: CorpusFiles) -> dict[str, Any]:
    return {
        side: {"path": str(survey.path), "lines": survey.lines, "sha256": survey.sha256}
        for side, survey in zip(("source", "target"), survey_pair(*files), strict=True)
    }


def _key(*parts: Any) -> str:
    """A hash that changes with any input's text or any setting, and not with a path."""
    text = json.dumps(_without_paths(parts), sort_keys=True)
    return hashlib.sha256(f"{PLAIN_VERSION}:{text}".encode()).hexdigest()


def _without_paths(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_paths(v) for k, v in value.items() if k != "path"}
    return [_without_paths(v) for v in value] if isinstance(value, list | tuple) else value
