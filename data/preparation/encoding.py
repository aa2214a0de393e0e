"""Encoding a split: the ids of one corpus after the other, streamed to disk."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from data.cleaning import CleaningReport
from data.config import DataConfig
from data.corpora import Corpus, CorpusFiles
from data.preparation.chunks import CorpusPart, EncodedChunk, TextEncoder, read_chunks
from data.preparation.request import Progress
from data.preparation.workers import encode_in_workers
from data.token_store import model_name, writing_split
from data.tokenization import PieceIds, Tokenizer
from seq2seq.errors import CorpusError
from seq2seq.system.cores import usable_cores

FEWEST_FOR_WORKERS = 20_000  # pairs; with fewer, worker processes cost more than they save


class EncodedPart(NamedTuple):
    """Counts of an encoded part of a corpus."""

    corpus: str
    pairs: int
    tokens: int
    report: CleaningReport  # whose lines are counted in the corpus


class EncodedSplit(NamedTuple):
    """An encoded split: of each corpus one part, or several of consecutive lines."""

    parts: Sequence[EncodedPart]
    sha256: dict[str, str]  # of its files, by their endings
    target_pieces: npt.NDArray[np.bool_]  # [V] whether an id occurs in a target

    @property
    def pairs(self) -> int:
        return sum(part.pairs for part in self.parts)

    @property
    def tokens(self) -> int:
        return sum(part.tokens for part in self.parts)

    def describe(
        self, corpora: Sequence[Corpus], lines: Mapping[str, int]
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The split and each of its corpora, as meta.json has them.

        `lines` are the lines of each corpus, by name. Raises CorpusError where no pair of a corpus
        is usable.
        """
        whole, described, before = CleaningReport(), list[dict[str, Any]](), 0
        for corpus in corpora:
            report, pairs, tokens = CleaningReport(), 0, 0
            for part in self.parts:
                if part.corpus == corpus.name:
                    report.add(part.report)
                    pairs, tokens = pairs + part.pairs, tokens + part.tokens
            if not pairs:
                raise _unusable(corpus.files, report)
            described.append(
                {
                    "name": corpus.name,
                    "weight": corpus.weight,
                    "tag": corpus.tag,
                    "lines": lines[corpus.name],
                    "pairs": pairs,
                    "tokens": tokens,
                    "cleaning": report.as_json(),
                }
            )
            whole.add(report.with_line_offset(before))
            before += lines[corpus.name]
        counts = {"pairs": self.pairs, "tokens": self.tokens, "sha256": self.sha256}
        return counts | {"cleaning": whole.as_json()}, described


class SplitEncoder:
    """Encodes splits with the SentencePiece models in `models` and writes their ids to `folder`."""

    def __init__(
        self,
        models: Path,
        folder: Path,
        config: DataConfig,
        processes: int | None,
        progress: Progress,
    ) -> None:
        """processes: that encode; None for one on each core"""
        self._folder, self._config, self._progress = folder, config, progress
        self._processes = processes or usable_cores()
        self._models = (
            (models / model_name("source", joint=config.joint)).read_bytes(),
            (models / model_name("target", joint=config.joint)).read_bytes(),
        )
        self._sizes = [len(Tokenizer(model)) for model in self._models]

    def describe_vocabulary(self) -> dict[str, Any]:
        """Vocabulary sizes and the data type of ids, as meta.json has them."""
        return {
            "source_vocabulary": self._sizes[0],
            "target_vocabulary": self._sizes[1],
            "dtype": "uint16" if max(self._sizes) <= 1 << 16 else "uint32",
        }

    def encode(
        self,
        split: str,
        parts: Sequence[CorpusPart],
        *,
        clean: bool,
        output_ids: PieceIds | None = None,
    ) -> EncodedSplit:
        """Write a split, its targets in output pieces if they are given."""
        encoded, read = list[EncodedPart](), 0
        total = sum(part.lines for part in parts)
        target_pieces = np.zeros(self._sizes[1], dtype=bool)
        dtype = np.dtype(self.describe_vocabulary()["dtype"])
        with writing_split(self._folder, split, dtype=dtype) as writer:
            for part in parts:
                report, pairs, tokens = CleaningReport(), writer.pairs, writer.tokens
                # Closed at once: workers that outlive a signal print tracebacks.
                with closing(self._encoded_chunks(part, clean, output_ids)) as chunks:
                    for chunk in chunks:
                        target_pieces[chunk.target_ids] = True
                        writer.append(chunk.ids, chunk.lengths, chunk.lines + part.before)
                        report.add(chunk.report)
                        self._progress(split, read + report.read, total)
                read += report.read
                counts = writer.pairs - pairs, writer.tokens - tokens
                encoded.append(EncodedPart(part.corpus.name, *counts, report))
        return EncodedSplit(encoded, writer.hashes, target_pieces)

    def _encoded_chunks(
        self, part: CorpusPart, clean: bool, output_ids: PieceIds | None
    ) -> Generator[EncodedChunk, None, None]:
        chunks = read_chunks(part)
        if part.lines < FEWEST_FOR_WORKERS or self._processes == 1:
            encoder = TextEncoder(*self._models, self._config, output_ids)
            yield from (encoder.encode(chunk, clean=clean) for chunk in chunks)
        else:
            yield from encode_in_workers(
                chunks,
                self._models,
                self._config,
                output_ids,
                processes=self._processes,
                clean=clean,
            )


def _unusable(files: CorpusFiles, report: CleaningReport) -> CorpusError:
    return CorpusError(
        f"no pair of {files.source} and {files.target} is usable: "
        + ", ".join(f"{count:,} {reason}" for reason, count in report.reasons.items()),
        hint="`seq2seq check` shows example lines",
    )
