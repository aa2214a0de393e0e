"""Alignments as a NumPy archive (npz), which holds plain arrays and no pickled object.

schema_version  [] int64: 1
shapes          [n, 2] int64: T target and S source labels of each of n lines; 0, 0 for a blank one
weights         [sum of T * S] float32: the weights [T, S] of each line, one after the other
source, target  [sum of S], [sum of T] text: the labels of each line, one after the other; as NumPy
                drops a NUL character at the end of a text, NUL is written as its symbol
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from seq2seq.errors import CorpusError
from seq2seq.evaluation.alignment import Alignment
from seq2seq.system.files import replacing

SCHEMA_VERSION = 1


def write_archive(path: Path, alignments: Iterable[Alignment | None]) -> None:
    """Write a file whole, or not at all; equal alignments give equal bytes."""
    shapes, weights = list[tuple[int, int]](), list[np.ndarray[tuple[int], np.dtype[np.float32]]]()
    source, target = list[str](), list[str]()
    for each in alignments:
        if each is None:
            shapes.append((0, 0))
            continue
        shapes.append((len(each.target), len(each.source)))
        weights.append(each.weights.astype(np.float32).reshape(-1))
        source += each.source
        target += each.target
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            schema_version=np.int64(SCHEMA_VERSION),
            shapes=np.array(shapes, np.int64).reshape(-1, 2),
            weights=np.concatenate([*weights, np.zeros(0, np.float32)]),
            source=_texts(source),
            target=_texts(target),
        )


def read_archive(path: Path) -> Iterator[Alignment | None]:
    """The alignments of a file that `write_archive` wrote; None for a blank line.

    Raises CorpusError for another schema version.
    """
    with np.load(path, allow_pickle=False) as arrays:
        if arrays["schema_version"] != SCHEMA_VERSION:
            raise CorpusError(
                f"{path} has schema version {arrays['schema_version']}, this program reads "
                f"{SCHEMA_VERSION}",
                hint="write it again with `seq2seq align --format npz`",
            )
        shapes, weights = arrays["shapes"].tolist(), arrays["weights"].astype(np.float64)
        source, target = arrays["source"].tolist(), arrays["target"].tolist()
    at_weight = at_source = at_target = 0
    for rows, columns in shapes:
        if not rows and not columns:
            yield None
            continue
        matrix = weights[at_weight : at_weight + rows * columns].reshape(rows, columns)
        yield Alignment(
            tuple(source[at_source : at_source + columns]),
            tuple(target[at_target : at_target + rows]),
            matrix,
        )
        at_weight, at_source = at_weight + rows * columns, at_source + columns
        at_target += rows


def _texts(labels: list[str]) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    return np.array([label.replace("\0", "␀") for label in labels], np.str_)
