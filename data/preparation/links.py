"""Links of words given with a corpus: checked, and written beside the ids of its pairs."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from data.config import DataConfig
from data.corpora import CorpusFiles
from data.corpus import SentencePair, read_lines, read_pairs, survey
from data.inputs import display_name
from data.links import LINKS, NO_WORD, OFFSETS, WORDS, stored, write_arrays
from data.token_store import Indices, model_name
from data.tokenization import Tokenizer, WordNumbers
from seq2seq.errors import CorpusError
from seq2seq.system.files import sha256_of
from seq2seq.system.pharaoh import parse_entries

_CHUNK = 2000  # pairs encoded together
Link: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class LinkFile:
    """A file in the Pharaoh format, a line for each pair."""

    path: Path

    @property
    def origin(self) -> str:
        return display_name(self.path)

    @property
    def key(self) -> str:
        return survey(self.path).sha256

    def lines(self) -> Iterator[str]:
        return read_lines(self.path)


def write_links(
    folder: Path, files: CorpusFiles, link_file: LinkFile, config: DataConfig
) -> dict[str, Any]:
    """Write the links of the main corpus for the training split that is in `folder`.

    Returns counts and hashes, as meta.json has them. Pairs of further corpora have no links. Raises
    CorpusError for links that do not fit the text.
    """
    tokenizers = [
        Tokenizer.load(folder / model_name(side, joint=config.joint))
        for side in ("source", "target")
    ]
    lines = np.fromfile(folder / "train.lines", np.int64)  # [n]
    sizes = np.diff(np.fromfile(folder / "train.offsets", np.int64))  # [2n]
    counts = np.zeros(len(lines), np.int64)
    kept = _kept_pairs(files, link_file, config, lines)
    number = 0  # of the next pair
    with (folder / WORDS).open("wb") as words_file, (folder / LINKS).open("wb") as links_file:
        while chunk := list(islice(kept, _CHUNK)):
            words, links = list[WordNumbers](), list[Link]()
            sides = zip(*(pair for pair, _ in chunk), strict=True)
            encoded = [t.encode_with_words(side) for t, side in zip(tokenizers, sides, strict=True)]
            for (_, found), *spelt in zip(chunk, *encoded, strict=True):
                for side, (_, numbers) in enumerate(spelt):
                    tags = sizes[2 * number + side] - len(numbers)
                    words += [np.full(tags, NO_WORD, np.int32), numbers]
                links += found
                counts[number] = len(found)
                number += 1
            words_file.write(stored(WORDS, np.concatenate(words)))
            links_file.write(stored(LINKS, links))
        rest = np.full(sizes[2 * number :].sum(), NO_WORD, np.int32)
        words_file.write(stored(WORDS, rest))
    write_arrays(folder, {OFFSETS: np.concatenate([[0], np.cumsum(counts)])})
    return {
        "origin": link_file.origin,
        "pairs": int((counts > 0).sum()),
        "links": int(counts.sum()),
        "sha256": {name: sha256_of(folder / name) for name in (WORDS, LINKS, OFFSETS)},
    }


def _kept_pairs(
    files: CorpusFiles, link_file: LinkFile, config: DataConfig, lines: Indices
) -> Iterator[tuple[SentencePair, list[Link]]]:
    """The pairs of the main corpus that were kept, with their links; checks all links."""
    numbered = zip_longest(read_pairs(*files), link_file.lines())
    kept = np.zeros(lines.max(initial=0) + 1, dtype=bool)
    kept[lines] = True
    n_pairs = n_links = 0
    for number, (pair, line) in enumerate(numbered, start=1):
        n_pairs += pair is not None
        n_links += line is not None
        if pair is None or line is None:
            continue
        links = _parse(line, pair, where=f"{link_file.origin}:{number}")
        if number < len(kept) and kept[number]:
            text = pair.unescaped() if config.unescape else pair
            yield text, links if _word_counts(text) == _word_counts(pair) else []
    if n_pairs != n_links:
        raise CorpusError(
            f"{link_file.origin} has links of {n_links:,} pairs, but "
            f"{display_name(files.source)} has {n_pairs:,} lines",
            hint="line n has the links of line n of the text, and is blank where there is none",
        )


def _parse(line: str, pair: SentencePair, *, where: str) -> list[Link]:
    """The links of a pair, in order and without repetitions; possible links count too."""
    try:
        entries = parse_entries(line)
    except CorpusError as error:
        raise CorpusError(f"{where}: {error.message}", hint=error.hint) from error
    n_source, n_target = _word_counts(pair)
    for entry in entries:
        if entry.source >= n_source or entry.target >= n_target:
            raise CorpusError(
                f"{where}: {entry.source}{entry.mark}{entry.target} is a link beyond the "
                f"{n_source} source and {n_target} target words of its pair",
                hint="words are what stands between spaces, counted from 0, the source's first",
            )
    return sorted({(entry.source, entry.target) for entry in entries})


def _word_counts(pair: SentencePair) -> tuple[int, int]:
    return len(pair.source.split()), len(pair.target.split())
