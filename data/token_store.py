"""The token store: a corpus as ids in memory-mapped files, with all that training needs.

meta.json            format version, languages, settings, counts, hashes, the cleaning report
pieces.model         the joint SentencePiece model, or source.model and target.model
train.ids            every token: source 1, target 1, source 2, target 2, ...
train.offsets        int64, where each of the 2n sentences begins, and the end
train.lines          int64, line number (from 1) of each of the n pairs; those of further corpora
                     continue the count, in the order of meta.json
output.ids           int32, ids of the target pieces that a model may write; not in stores of 0.1.0,
                     whose models may write any
train.words          int32, of every token the number of its word between spaces, -1 for a tag;
train.links          int32, source and target word of every link of the main corpus's pairs;
train.link_offsets   int64, where the links of each pair begin: these three are in a store that was
                     made with links, and meta.json has their hashes
valid.*              ids, offsets and lines of the validation set, and its original text
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from data.config import DataConfig
from data.corpora import MAIN
from data.corpus import read_lines
from data.output_pieces import OUTPUT_IDS, read_output_ids
from data.store_description import StoreDescription
from data.tokenization import PieceIds, Tokenizer
from seq2seq.errors import ConfigError, CorpusError
from seq2seq.system.files import read_json, sha256_of

PLAIN_VERSION, FORMAT_VERSION = 1, 2
"""Format versions of a store of one corpus, and of several, whose weights and tags a program that
knows only version 1 would ignore."""
META = "meta.json"
_PREPARE_AGAIN = "make the store again: preprocess ... --overwrite"
Side = Literal["source", "target"]
IntArray = npt.NDArray[np.integer[Any]]
Indices = npt.NDArray[np.int64]
Lengths = npt.NDArray[np.int32]


def replaced_path(store: Path) -> Path:
    """Where a store is for the moment in which another one takes its path."""
    return Path(f"{os.path.realpath(store)}.replaced")


@dataclass(frozen=True)
class TokenizedSplit:
    """n pairs of ids, read from disk when they are used."""

    ids: IntArray  # every token
    offsets: Indices  # [2n+1]
    lines: Indices  # [n]

    def __len__(self) -> int:
        return len(self.lines)

    def source(self, pair: int) -> IntArray:
        """The source ids of a pair, without EOS."""
        return self.ids[self.offsets[2 * pair] : self.offsets[2 * pair + 1]]

    def target(self, pair: int) -> IntArray:
        """The target ids of a pair, without BOS and EOS."""
        return self.ids[self.offsets[2 * pair + 1] : self.offsets[2 * pair + 2]]

    def sentences(self, numbers: Indices) -> tuple[IntArray, Indices]:
        """Sentences concatenated, and their lengths.

        Number 2 i is the source of pair i, number 2 i + 1 its target.
        """
        begins = self.offsets[numbers]
        lengths = self.offsets[numbers + 1] - begins
        new_begins = np.cumsum(lengths) - lengths
        index = np.repeat(begins - new_begins, lengths) + np.arange(lengths.sum())
        return self.ids[index], lengths

    @cached_property
    def source_lengths(self) -> Lengths:
        """Pieces of each source, without EOS. [n]"""
        return (self.offsets[1::2] - self.offsets[:-1:2]).astype(np.int32)

    @cached_property
    def target_lengths(self) -> Lengths:
        """Pieces of each target, without BOS and EOS. [n]"""
        return (self.offsets[2::2] - self.offsets[1::2]).astype(np.int32)


@dataclass(frozen=True)
class StoredCorpus:
    """The consecutive pairs of the training split that come from one corpus."""

    name: str
    pairs: range
    weight: float  # how often an epoch has each pair
    tag: str | None  # before each source


@dataclass(frozen=True)
class TokenStore:
    """A prepared corpus on disk."""

    path: Path
    meta: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> TokenStore:
        """Raises CorpusError when there is no store, or one of another format version."""
        if not (path / META).is_file():
            is_run = (path / "checkpoints").is_dir()
            hint = "make one with `seq2seq preprocess`"
            if is_run:
                hint = "name the token store first, as in `seq2seq train STORE RUN`"
            elif (replaced_path(path) / META).is_file():
                hint = f"rename {replaced_path(path)}, which a killed `preprocess` left, to it"
            elif Path(f"{path}.shards").is_dir():
                hint = "make it of its shards: preprocess ... --merge-shards"
            raise CorpusError(
                f"{path} is {'a run directory' if is_run else 'not a token store'}", hint=hint
            )
        try:
            meta = read_json(path / META)
            version = meta["format_version"]
            if version in (PLAIN_VERSION, FORMAT_VERSION):
                StoreDescription.model_validate(meta)
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise CorpusError(f"{path / META} is damaged", hint=_PREPARE_AGAIN) from error
        if version not in (PLAIN_VERSION, FORMAT_VERSION):
            raise CorpusError(
                f"{path} has format version {version}, this program reads {PLAIN_VERSION} and "
                f"{FORMAT_VERSION}",
                hint="preprocess again with this version",
            )
        return cls(path, meta)

    @property
    def config(self) -> DataConfig:
        """The settings that the store was made with."""
        return DataConfig(**self.meta["config"])

    @property
    def joint(self) -> bool:
        """Whether both languages have one SentencePiece model."""
        return self.config.joint

    @property
    def languages(self) -> tuple[str | None, str | None]:
        """Codes of source and target language, if they are known."""
        return self.meta["source_language"], self.meta["target_language"]

    @property
    def sha256(self) -> str:
        """The hash of meta.json, which has the hashes of all other files."""
        return sha256_of(self.path / META)

    @property
    def pieces_sha256(self) -> dict[str, str]:
        """The SentencePiece models' hashes by file name."""
        return {path.name: sha256_of(path) for path in self.path.glob("*.model")}

    @property
    def output_pieces(self) -> dict[str, Any] | None:
        """Count and hash of the ids that a model may write; None: all of the target vocabulary."""
        return self.meta.get("output_pieces")

    @property
    def links(self) -> dict[str, Any] | None:
        """Origin, counts and hashes of the links of words; None for a store without them."""
        return self.meta.get("links")

    @property
    def output_ids(self) -> PieceIds | None:
        """The ids that a model may write, ascending; None: all of the target vocabulary. [V']"""
        return read_output_ids(self.path) if self.output_pieces else None

    def tokenizer(self, side: Side) -> Tokenizer:
        return Tokenizer.load(self.path / model_name(side, joint=self.joint))

    def corpora(self, weights: Mapping[str, float] = MappingProxyType({})) -> list[StoredCorpus]:
        """The corpora of the training split; `weights` replaces those of some, by name.

        Raises ConfigError for an unknown name, and where every weight is 0.
        """
        corpora = stored_corpora(self.meta)
        names = [corpus.name for corpus in corpora]
        for name in weights:
            if name not in names:
                raise ConfigError(
                    f"training.corpus_weights names {name}, which is no corpus of {self.path}",
                    hint=f"it has {', '.join(names)}",
                )
        corpora = [replace(c, weight=weights.get(c.name, c.weight)) for c in corpora]
        if not any(corpus.weight for corpus in corpora):
            raise ConfigError(
                f"every corpus of {self.path} has weight 0: nothing is left to train on",
                hint="give one a weight above 0 in training.corpus_weights",
            )
        return corpora

    def epoch_tokens(self, weights: Mapping[str, float] = MappingProxyType({})) -> float:
        """Target tokens of an epoch, EOS included, with the weights of `corpora`."""
        lengths = self.split("train").target_lengths + 1
        return sum(
            corpus.weight * float(lengths[corpus.pairs.start : corpus.pairs.stop].sum())
            for corpus in self.corpora(weights)
        )

    def split(self, name: str) -> TokenizedSplit:
        """ "train" or "valid"; raises CorpusError when its files do not fit the counts."""
        counts, dtype = self.meta["splits"][name], np.dtype(self.meta["dtype"])
        return open_split(self.path, name, counts["pairs"], counts["tokens"], dtype)

    def valid_text(self, side: Side) -> list[str]:
        """The validation set as it was before cleaning and encoding, line by line."""
        return list(read_lines(self.path / f"valid.{side}.txt"))

    def verify(self) -> None:
        """Check every file against its hash; raises CorpusError for one that differs."""
        hashes = dict(self.meta["sha256"])
        if self.output_pieces:
            hashes[OUTPUT_IDS] = self.output_pieces["sha256"]
        if self.links:
            hashes |= self.links["sha256"]
        for name, split in self.meta["splits"].items():
            hashes |= {f"{name}.{kind}": digest for kind, digest in split["sha256"].items()}
        for name, digest in hashes.items():
            path = self.path / name
            if not path.is_file() or sha256_of(path) != digest:
                raise CorpusError(f"{path} is missing or damaged", hint=_PREPARE_AGAIN)


def open_split(
    folder: Path, name: str, pairs: int, tokens: int, dtype: np.dtype[Any]
) -> TokenizedSplit:
    """The split whose files are in a folder; raises CorpusError where their sizes are others."""
    return TokenizedSplit(
        memory_map(folder / f"{name}.ids", dtype, tokens),
        memory_map(folder / f"{name}.offsets", np.dtype(np.int64), 2 * pairs + 1),
        memory_map(folder / f"{name}.lines", np.dtype(np.int64), pairs),
    )


def memory_map(path: Path, dtype: np.dtype[Any], count: int) -> Any:
    """A file of numbers, read when they are used; raises CorpusError where its size is another."""
    if not path.is_file() or path.stat().st_size != count * dtype.itemsize:
        raise CorpusError(f"{path} is damaged: its size is wrong", hint="preprocess again")
    if count == 0:
        return np.empty(0, dtype)
    return np.memmap(path, dtype=dtype, mode="r", shape=(count,))


def stored_corpora(meta: dict[str, Any]) -> list[StoredCorpus]:
    """The corpora in a store's meta.json, the main one first."""
    total = meta["splits"]["train"]["pairs"]
    if "corpora" not in meta:
        return [StoredCorpus(MAIN, range(total), 1.0, None)]
    found, begin = list[StoredCorpus](), 0
    for entry in meta["corpora"]:
        pairs = range(begin, begin + entry["pairs"])
        found.append(StoredCorpus(entry["name"], pairs, float(entry["weight"]), entry["tag"]))
        begin = pairs.stop
    return found


def model_name(side: Side, *, joint: bool) -> str:
    """The file name of a side's SentencePiece model."""
    return "pieces.model" if joint else f"{side}.model"


class SplitWriter:
    """Appends pairs to the three files of a split and computes their hashes."""

    def __init__(self, files: dict[str, BinaryIO], dtype: np.dtype[Any]) -> None:
        self.pairs = 0
        self.tokens = 0
        self._files = files
        self._dtype = dtype
        self._hashes = {name: hashlib.sha256() for name in files}
        self._write("offsets", np.zeros(1, np.int64))

    def append(self, ids: IntArray, lengths: IntArray, lines: IntArray) -> None:
        """The concatenated ids of n pairs, lengths [2n] (source, target, ...) and lines [n]."""
        offsets = self.tokens + np.cumsum(lengths, dtype=np.int64)
        self._write("ids", ids.astype(self._dtype, copy=False))
        self._write("offsets", offsets)
        self._write("lines", lines.astype(np.int64, copy=False))
        self.pairs += len(lines)
        self.tokens += int(lengths.sum())

    @property
    def hashes(self) -> dict[str, str]:
        return {name: digest.hexdigest() for name, digest in self._hashes.items()}

    def _write(self, name: str, array: IntArray) -> None:
        data = array.tobytes()
        self._files[name].write(data)
        self._hashes[name].update(data)


@contextmanager
def writing_split(folder: Path, name: str, *, dtype: np.dtype[Any]) -> Iterator[SplitWriter]:
    """Open the files of a split for writing."""
    with ExitStack() as stack:
        files: dict[str, BinaryIO] = {
            kind: stack.enter_context((folder / f"{name}.{kind}").open("wb"))
            for kind in ("ids", "offsets", "lines")
        }
        yield SplitWriter(files, dtype)
