"""Corpora beside the main one: a TOML file names them, how much of each an epoch takes, their tags.

    [main]                      # the corpus on the command line; may be left out
    tag = "2en"

    [back]                      # any name
    source = "mono.back.de"     # paths are relative to this file
    target = "mono.en"
    weight = 0.5                # half of its pairs, drawn anew each epoch
    tag = "back"                # a symbol <back> in front of each of its sources

A tag tells the model what kind of pair it reads: text that was translated back (Caswell et al.,
2019), or the language that is wanted (Johnson et al., 2017).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from data.corpus import read_raw_lines
from seq2seq.errors import ConfigError
from seq2seq.system.files import parse_toml

MAIN = "main"
"""The corpus that `preprocess` is given beside its store; the validation set belongs to it."""
NO_TAG = "none"
"""Asks for no tag where a tag is asked for."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_TAKEN = re.compile(r"none|pad|unk|s|0x[0-9A-Fa-f]{2}")  # <pad>, <0x0A>, ... are pieces already
Weight = Annotated[float, Field(ge=0, le=100)]


class CorpusFiles(NamedTuple):
    """Line-aligned files of one split."""

    source: Path
    target: Path

    def raw_pairs(self) -> Iterator[tuple[bytes, bytes]]:
        """Raises ValueError where one file has more lines; `survey_pair` refuses those before."""
        return zip(read_raw_lines(self.source), read_raw_lines(self.target), strict=True)


@dataclass(frozen=True)
class Corpus:
    """One corpus of several that a model is trained on."""

    name: str
    files: CorpusFiles
    weight: float = 1.0  # how often an epoch takes each of its pairs
    tag: str | None = None


def _usable_tag(tag: str) -> str:
    if not _NAME.fullmatch(tag) or _TAKEN.fullmatch(tag):
        raise ValueError("a tag is a word of letters, digits, - and _, and no name of a piece")
    return tag


class _Settings(BaseModel):
    """What the file says of any corpus."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    weight: Weight = 1.0
    tag: Annotated[str, AfterValidator(_usable_tag)] | None = None


class _Further(_Settings):
    source: Path
    target: Path


@dataclass(frozen=True)
class Manifest:
    """What a file of corpora says: of the main one its weight and tag, and the others whole."""

    weight: float = 1.0
    tag: str | None = None
    further: tuple[Corpus, ...] = ()

    def with_main(self, files: CorpusFiles) -> tuple[Corpus, ...]:
        """All corpora, the main one first."""
        return (Corpus(MAIN, files, self.weight, self.tag), *self.further)


def read_manifest(path: Path) -> Manifest:
    """Raises ConfigError for what is no such file, with the name of the corpus it is about."""
    try:
        tables = parse_toml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", hint=_EXAMPLE) from error
    for name, table in tables.items():
        if not isinstance(table, dict) or not _NAME.fullmatch(name):
            raise ConfigError(f"{path}: {name} is not the table of a corpus", hint=_EXAMPLE)
    main = _checked(_Settings, tables.pop(MAIN, {}), path, MAIN)
    further = []
    for name, table in tables.items():
        entry = _checked(_Further, table, path, name)
        files = CorpusFiles(path.parent / entry.source, path.parent / entry.target)
        further.append(Corpus(name, files, entry.weight, entry.tag))
    if not any(weight for weight in (main.weight, *(corpus.weight for corpus in further))):
        raise ConfigError(f"{path}: every weight is 0", hint="give one corpus a weight above 0")
    return Manifest(main.weight, main.tag, tuple(further))


_EXAMPLE = (
    'a corpus is written as [back], source = "mono.de", target = "mono.en", and perhaps '
    'weight = 0.5, tag = "back"'
)


def _checked(kind: Any, table: Mapping[str, Any], path: Path, name: str) -> Any:
    try:
        return kind(**table)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join([name, *map(str, problem["loc"])])
        told = problem["msg"].removeprefix("Value error, ")
        raise ConfigError(
            f"{path}: {where}: {told[:1].lower()}{told[1:]}", hint=_EXAMPLE
        ) from error
