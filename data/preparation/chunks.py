"""Chunks of consecutive lines and their encoding as ids: the work of a worker process."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from data.cleaning import CleaningReport, cleaning_rules, reason_to_drop
from data.config import DataConfig
from data.corpora import Corpus
from data.corpus import TEXT_START, LineStart, SentencePair, read_raw_lines
from data.output_pieces import OutputTokenizer
from data.tokenization import PieceIds, Tokenizer

CHUNK_PAIRS = 2000


class CorpusPart(NamedTuple):
    """Consecutive lines of a corpus."""

    corpus: Corpus
    first: int  # lines of the corpus before it
    lines: int
    before: int  # lines of the corpora before this one
    starts: tuple[LineStart, LineStart] = (TEXT_START, TEXT_START)  # of source and target

    def raw_pairs(self) -> Iterator[tuple[bytes, bytes]]:
        """Pairs of lines. Raises ValueError where one file ends before the other."""
        sources, targets = map(read_raw_lines, self.corpus.files, self.starts)
        return islice(zip(sources, targets, strict=True), self.lines)


def whole_corpora(corpora: Sequence[Corpus], lines: Mapping[str, int]) -> list[CorpusPart]:
    """All lines of every corpus; `lines` has their number by name."""
    parts, before = list[CorpusPart](), 0
    for corpus in corpora:
        parts.append(CorpusPart(corpus, 0, lines[corpus.name], before))
        before += lines[corpus.name]
    return parts


def lines_of_shard(lines: Mapping[str, int], number: int, count: int) -> dict[str, range]:
    """The lines of each corpus, from 0, that shard `number` of `count` has: whole chunks."""
    chunks = {name: -(-total // CHUNK_PAIRS) for name, total in lines.items()}
    begin, end = (sum(chunks.values()) * n // count for n in (number - 1, number))
    found, before = dict[str, range](), 0
    for name, total in lines.items():
        bounds = (min(max(at - before, 0) * CHUNK_PAIRS, total) for at in (begin, end))
        found[name] = range(*bounds)
        before += chunks[name]
    return found


class Chunk(NamedTuple):
    """Consecutive lines of both sides, each side as one blob: cheap to send to a process."""

    first_line: int  # from 1
    sources: bytes
    targets: bytes
    tag: str | None  # in front of each source


class EncodedChunk(NamedTuple):
    """The n pairs of a chunk that were kept."""

    ids: npt.NDArray[np.int32]  # concatenated: source 1, target 1, source 2, ...
    lengths: npt.NDArray[np.int32]  # [2n]
    lines: npt.NDArray[np.int64]  # [n] line numbers in the corpus
    report: CleaningReport

    @property
    def target_ids(self) -> npt.NDArray[np.int32]:
        """The ids of all targets, concatenated."""
        sides = np.arange(len(self.lengths)) % 2  # [2n] 0 for a source, 1 for a target
        targets: npt.NDArray[np.int32] = self.ids[np.repeat(sides, self.lengths) == 1]
        return targets


def read_chunks(part: CorpusPart) -> Iterator[Chunk]:
    """A part of a corpus in chunks of `CHUNK_PAIRS` lines."""
    raw = part.raw_pairs()
    first = part.first + 1
    while lines := list(islice(raw, CHUNK_PAIRS)):
        sources, targets = zip(*lines, strict=True)
        yield Chunk(first, b"\n".join(sources), b"\n".join(targets), part.corpus.tag)
        first += len(lines)


class TextEncoder:
    """Cleans chunks of text and encodes them as ids, targets in output pieces if they are given."""

    def __init__(
        self,
        source_model: bytes,
        target_model: bytes,
        config: DataConfig,
        output_ids: PieceIds | None = None,
    ) -> None:
        self._source = Tokenizer(source_model)
        if output_ids is not None:
            self._target: Tokenizer = OutputTokenizer(target_model, output_ids)
        else:
            self._target = self._source if config.joint else Tokenizer(target_model)
        self._rules = cleaning_rules(config)
        self._max_pieces, self._unescape = config.max_pieces, config.unescape

    def encode(self, chunk: Chunk, *, clean: bool) -> EncodedChunk:
        """Without `clean`, as for validation, only pairs with a blank side are dropped."""
        report = CleaningReport()
        kept: list[tuple[int, SentencePair]] = []
        for line, pair in _numbered_pairs(chunk):
            report.read += 1
            pair = pair.unescaped() if self._unescape else pair
            reason = reason_to_drop(pair, self._rules if clean else self._rules[:1])
            if reason:
                report.drop(reason, line=line)
            else:
                kept.append((line, pair))
        sources = self._source.encode_all([pair.source for _, pair in kept])
        targets = self._target.encode_all([pair.target for _, pair in kept])
        tag = np.array([self._source.tags[chunk.tag]] if chunk.tag else [], np.int32)
        ids: list[npt.NDArray[np.int32]] = []
        lines = []
        for (line, _), source, target in zip(kept, sources, targets, strict=True):
            if clean and max(len(source), len(target)) > self._max_pieces:
                report.drop(f"over {self._max_pieces} pieces", line=line)
            elif not len(source) or not len(target):
                report.drop("nothing left after normalisation", line=line)
            else:
                ids += (np.concatenate([tag, source]), target)
                lines.append(line)
        lengths = np.fromiter(map(len, ids), dtype=np.int32, count=len(ids))
        joined = np.concatenate(ids) if ids else np.empty(0, np.int32)
        return EncodedChunk(joined, lengths, np.array(lines, dtype=np.int64), report)


def _numbered_pairs(chunk: Chunk) -> Iterator[tuple[int, SentencePair]]:
    sources, targets = chunk.sources.decode().split("\n"), chunk.targets.decode().split("\n")
    for offset, (source, target) in enumerate(zip(sources, targets, strict=True)):
        yield chunk.first_line + offset, SentencePair(source, target)
