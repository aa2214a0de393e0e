"""Encoding a split: the ids of one corpus after the other, streamed to disk."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from data.cleaning import CleaningReport
from data.config import DataConfig
from data.corpora import Corpus, CorpusFiles
from data.preparation.chunks import EncodedChunk, TextEncoder, read_chunks
from data.preparation.workers import encode_in_workers
from data.token_store import model_name, writing_split
from data.tokenization import PieceIds, Tokenizer
from seq2seq.errors import CorpusError

FEWEST_FOR_WORKERS = 20_000  # pairs; with fewer, worker processes cost more than they save

Progress = Callable[[str, int, int], None]
"""Called with the stage, the pairs done and the pairs in all."""


class EncodedSplit(NamedTuple):
    """The description of a split in meta.json, and which pieces its targets have."""

    summary: dict[str, Any]  # counts, hashes and cleaning report
    corpora: list[dict[str, Any]]  # of each corpus: name, weight, tag, counts, cleaning report
    target_pieces: npt.NDArray[np.bool_]  # [V] whether an id occurs in a target


class SplitEncoder:
    """Encodes splits with the SentencePiece models in `folder` and writes their ids there."""

    def __init__(
        self, folder: Path, config: DataConfig, processes: int, progress: Progress
    ) -> None:
        self._folder, self._config, self._progress = folder, config, progress
        self._processes = processes
        self._models = (
            (folder / model_name("source", joint=config.joint)).read_bytes(),
            (folder / model_name("target", joint=config.joint)).read_bytes(),
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
        corpora: Sequence[Corpus],
        lines: Mapping[str, int],
        *,
        clean: bool,
        output_ids: PieceIds | None = None,
    ) -> EncodedSplit:
        """Write a split, its targets in output pieces if they are given.

        `lines` are the lines of each corpus, by name. Raises CorpusError where no pair of a corpus
        is usable.
        """
        whole, summaries, before = CleaningReport(), list[dict[str, Any]](), 0
        target_pieces = np.zeros(self._sizes[1], dtype=bool)
        dtype = np.dtype(self.describe_vocabulary()["dtype"])
        with writing_split(self._folder, split, dtype=dtype) as writer:
            for corpus in corpora:
                report, pairs, tokens = CleaningReport(), writer.pairs, writer.tokens
                # Closed at once: workers that outlive a signal print tracebacks.
                chunks = self._encoded_chunks(corpus, lines[corpus.name], clean, output_ids)
                with closing(chunks):
                    for chunk in chunks:
                        target_pieces[chunk.target_ids] = True
                        writer.append(chunk.ids, chunk.lengths, chunk.lines + before)
                        report.add(chunk.report)
                        self._progress(split, whole.read + report.read, sum(lines.values()))
                if writer.pairs == pairs:
                    raise _unusable(corpus.files, report)
                summaries.append(
                    {
                        "name": corpus.name,
                        "weight": corpus.weight,
                        "tag": corpus.tag,
                        "lines": lines[corpus.name],
                        "pairs": writer.pairs - pairs,
                        "tokens": writer.tokens - tokens,
                        "cleaning": report.as_json(),
                    }
                )
                whole.add(report.with_line_offset(before))
                before += lines[corpus.name]
        counts = {"pairs": writer.pairs, "tokens": writer.tokens, "sha256": writer.hashes}
        return EncodedSplit(counts | {"cleaning": whole.as_json()}, summaries, target_pieces)

    def _encoded_chunks(
        self, corpus: Corpus, lines: int, clean: bool, output_ids: PieceIds | None
    ) -> Generator[EncodedChunk, None, None]:
        chunks = read_chunks(corpus)
        if lines < FEWEST_FOR_WORKERS or self._processes == 1:
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
