"""Several corpora for one model: a TOML file with their paths, weights and tags.

    [main]                      # the corpus on the command line; may be left out
    tag = "2en"

    [back]                      # any name
    source = "mono.back.de"     # paths are relative to this file; - is standard input
    target = "mono.en"
    weight = 0.5                # half of its pairs in each epoch, drawn anew
    tag = "back"                # the symbol <back> before each of its sources

A tag tells the model where a pair comes from, such as back-translation (Caswell et al., 2019), or
which language to translate into (Johnson et al., 2017).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from data.corpus import read_raw_lines
from data.inputs import STDIN, display_name, read_text
from seq2seq.errors import ConfigError
from seq2seq.system.files import parse_toml

MAIN = "main"
"""Name of the corpus on the command line of `preprocess`; the validation set has its tag."""
NO_TAG = "none"
"""The value of option --tag for no tag."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_TAKEN = re.compile(r"none|pad|unk|s|0x[0-9A-Fa-f]{2}")  # <pad>, <0x0A>, ... are pieces
Weight = Annotated[float, Field(ge=0, le=100)]


class CorpusFiles(NamedTuple):
    """Line-aligned files of one split."""

    source: Path
    target: Path

    def raw_pairs(self) -> Iterator[tuple[bytes, bytes]]:
        """Pairs of lines. Raises ValueError where one file has more than the other."""
        return zip(read_raw_lines(self.source), read_raw_lines(self.target), strict=True)


@dataclass(frozen=True)
class Corpus:
    """One of the corpora that a model is trained on."""

    name: str
    files: CorpusFiles
    weight: float = 1.0  # how often an epoch has each of its pairs
    tag: str | None = None


def _usable_tag(tag: str) -> str:
    if not _NAME.fullmatch(tag) or _TAKEN.fullmatch(tag):
        raise ValueError("a tag has letters, digits, - and _ only, and is not the name of a piece")
    return tag


class _CorpusTable(BaseModel):
    """A table of the file, as [main] has it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    weight: Weight = 1.0
    tag: Annotated[str, AfterValidator(_usable_tag)] | None = None


class _FurtherTable(_CorpusTable):
    """The table of a corpus that is not the main one."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Manifest:
    """The contents of a corpora file: weight and tag of the main corpus, and all other corpora."""

    weight: float = 1.0
    tag: str | None = None
    further: tuple[Corpus, ...] = ()

    def with_main(self, files: CorpusFiles) -> tuple[Corpus, ...]:
        """All corpora, the main one first."""
        return (Corpus(MAIN, files, self.weight, self.tag), *self.further)


def read_manifest(path: Path) -> Manifest:
    """Raises ConfigError, with the name of the corpus at fault, for a file that is not valid."""
    try:
        tables = parse_toml(read_text(path))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{display_name(path)} cannot be read: {error}", hint=_EXAMPLE) from error
    for name, table in tables.items():
        if not isinstance(table, dict) or not _NAME.fullmatch(name):
            raise ConfigError(
                f"{display_name(path)}: {name} is not a table of a corpus", hint=_EXAMPLE
            )
    main = _parse_table(_CorpusTable, tables.pop(MAIN, {}), path, MAIN)
    further = []
    for name, table in tables.items():
        entry = _parse_table(_FurtherTable, table, path, name)
        files = CorpusFiles(_text_path(path, entry.source), _text_path(path, entry.target))
        further.append(Corpus(name, files, entry.weight, entry.tag))
    if not any(weight for weight in (main.weight, *(corpus.weight for corpus in further))):
        raise ConfigError(
            f"{display_name(path)}: every weight is 0", hint="give one corpus a weight above 0"
        )
    return Manifest(main.weight, main.tag, tuple(further))


def _text_path(manifest: Path, text: Path) -> Path:
    """Relative to the folder of the manifest; where that is a pipe, to the current folder."""
    return manifest.parent / text if manifest.is_file() and text != STDIN else text


_EXAMPLE = (
    'write a corpus as [back], source = "mono.de", target = "mono.en", and optionally '
    'weight = 0.5, tag = "back"'
)


def _parse_table(model: Any, table: Mapping[str, Any], path: Path, name: str) -> Any:
    try:
        return model(**table)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join([name, *map(str, problem["loc"])])
        message = problem["msg"].removeprefix("Value error, ")
        raise ConfigError(
            f"{display_name(path)}: {where}: {message[:1].lower()}{message[1:]}", hint=_EXAMPLE
        ) from error
