"""The inputs of a token store, surveyed before any work, and the keys of finished work."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.config import DataConfig
from data.corpora import MAIN, Corpus, Manifest
from data.corpus import TextSurvey, survey_pair
from data.preparation.request import SINGLE_CORPUS, PreparationRequest
from data.token_store import PLAIN_VERSION
from seq2seq.system.files import sha256_of

_PIECE_SETTINGS = {
    "vocabulary_size", "joint", "piece_model", "character_coverage", "normalization",
    "sample_pairs", "seed", "unescape", "max_words", "max_characters", "max_ratio",
}  # fmt: skip


Sides = tuple[TextSurvey, TextSurvey]  # source and target


@dataclass(frozen=True)
class PreparationInputs:
    """The corpora, the validation set, and SentencePiece models to copy."""

    manifest: Manifest
    corpora: tuple[Corpus, ...]  # the main one first
    texts: Mapping[str, Sides]  # of each corpus, by name
    valid: Sides
    model_hashes: Mapping[str, str]  # of SentencePiece models to copy; empty: learn new ones
    links_key: str | None = None  # of the links of the main corpus, where it has some

    @classmethod
    def survey(cls, request: PreparationRequest) -> "PreparationInputs":
        """Read all texts once. Raises CorpusError for what cannot be used."""
        return cls(
            request.manifest,
            request.corpora,
            {corpus.name: survey_pair(*corpus.files) for corpus in request.corpora},
            survey_pair(*request.valid),
            hashes_of_models(request.pieces),
            request.links.key if request.links else None,
        )

    @property
    def lines(self) -> dict[str, int]:
        """Lines of each corpus, by name."""
        return {name: source.lines for name, (source, _) in self.texts.items()}

    @property
    def tags(self) -> list[str]:
        return sorted({corpus.tag for corpus in self.corpora if corpus.tag})

    def as_json(self) -> dict[str, Any]:
        """Paths, line counts and hashes of all texts, as meta.json has them."""
        described = {name: _describe(sides) for name, sides in self.texts.items()}
        texts = {"train": described.pop(MAIN), "valid": _describe(self.valid)}
        return texts | ({"corpora": described} if described else {})

    def piece_key(self, config: DataConfig) -> str:
        """Equal for inputs and settings that give equal SentencePiece models."""
        texts = [sides for name, sides in self.as_json().items() if name != "valid"]
        learnt_from = [*texts, *([self.tags] if self.tags else [])]
        sources = [self.model_hashes] if self.model_hashes else learnt_from
        settings = {name: v for name, v in config.as_json().items() if name in _PIECE_SETTINGS}
        return _key(*sources, settings)

    def store_key(self, config: DataConfig, languages: Mapping[str, str | None]) -> str:
        """Equal for inputs and settings that give equal stores."""
        corpora = [(corpus.name, corpus.weight, corpus.tag) for corpus in self.corpora]
        further = [
            *([] if self.manifest == SINGLE_CORPUS else [corpora]),
            *([self.model_hashes] if self.model_hashes else []),
            *([{"links": self.links_key}] if self.links_key else []),
        ]
        return _key(self.as_json(), config.as_json(), languages, *further)


def line_counts(inputs: Mapping[str, Any]) -> dict[str, int]:
    """Lines of each corpus by name, from the description of inputs in a meta.json."""
    corpora = {MAIN: inputs["train"], **inputs.get("corpora", {})}
    return {name: sides["source"]["lines"] for name, sides in corpora.items()}


def hashes_of_models(models: Sequence[Path]) -> dict[str, str]:
    return {model.name: sha256_of(model) for model in models}


def _describe(sides: Sides) -> dict[str, Any]:
    return {
        side: {"path": str(survey.path), "lines": survey.lines, "sha256": survey.sha256}
        for side, survey in zip(("source", "target"), sides, strict=True)
    }


def _key(*parts: Any) -> str:
    """A hash of settings and of texts; where the texts lie does not matter."""
    text = json.dumps(_without_paths(parts), sort_keys=True)
    return hashlib.sha256(f"{PLAIN_VERSION}:{text}".encode()).hexdigest()


def _without_paths(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_paths(v) for k, v in value.items() if k != "path"}
    return [_without_paths(v) for v in value] if isinstance(value, list | tuple) else value
