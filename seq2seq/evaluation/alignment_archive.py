"""Alignments as a NumPy archive (npz), which holds plain arrays and no pickled object.

schema_version  [] int64: 1
shapes          [n, 2] int64: T target and S source labels of each of n lines; 0, 0 for a blank one
weights         [sum of T * S] float32: the weights [T, S] of each line, one after the other
source, target  [sum of S], [sum of T] text: the labels of each line, one after the other; as NumPy
                drops a NUL character at the end of a text, NUL is written as its symbol
"""

import json
import shutil
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np

from seq2seq.errors import CorpusError
from seq2seq.evaluation.alignment import Alignment
from seq2seq.system.files import writing

SCHEMA_VERSION = 1
_CHUNK = 1 << 20  # bytes


def write_archive(path: Path, alignments: Iterable[Alignment | None]) -> None:
    """Write an archive as `writing` does, with one alignment in memory at a time.

    Equal alignments give equal bytes.
    """
    shapes = array("q")
    with (
        TemporaryFile() as weights,
        TemporaryFile("w+") as source_lines,
        TemporaryFile("w+") as target_lines,
        TemporaryFile() as archive,
    ):
        source, target = _Labels(source_lines), _Labels(target_lines)
        for each in alignments:
            shapes.extend((0, 0) if each is None else each.weights.shape)
            if each is not None:
                weights.write(each.weights.astype("<f4").tobytes())
                source.add(each.source)
                target.add(each.target)
        numbers = weights.tell() // 4
        with ZipFile(archive, "w", ZIP_DEFLATED) as entries:
            _write_array(entries, "schema_version", np.array(SCHEMA_VERSION, "<i8"))
            _write_array(entries, "shapes", np.array(shapes, "<i8").reshape(-1, 2))
            _write_parts(entries, "weights", "<f4", numbers, _chunks(weights))
            for name, labels in (("source", source), ("target", target)):
                _write_parts(entries, name, labels.dtype, labels.count, labels.parts())
        archive.seek(0)
        with writing(path) as file:
            shutil.copyfileobj(archive, file)


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


class _Labels:
    """Labels in a temporary file: an array of texts begins with the length of the longest."""

    def __init__(self, lines: IO[str]) -> None:
        self._lines, self._longest = lines, 1
        self.count = 0

    @property
    def dtype(self) -> str:
        return f"<U{self._longest}"

    def add(self, labels: Sequence[str]) -> None:
        self.count += len(labels)
        self._longest = max([self._longest, *map(len, labels)])
        self._lines.write(json.dumps([label.replace("\0", "␀") for label in labels]) + "\n")

    def parts(self) -> Iterator[bytes]:
        """The bytes of the array, of one sentence after the other."""
        self._lines.seek(0)
        return (np.array(json.loads(line), self.dtype).tobytes() for line in self._lines)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    return iter(lambda: file.read(_CHUNK), b"")


def _write_array(archive: ZipFile, name: str, values: np.ndarray[Any, np.dtype[np.int64]]) -> None:
    with archive.open(f"{name}.npy", "w") as entry:
        np.lib.format.write_array(entry, values, allow_pickle=False)


def _write_parts(
    archive: ZipFile, name: str, dtype: str, count: int, parts: Iterable[bytes]
) -> None:
    """An array of one dimension, in the format of `numpy.save`, of its bytes in parts."""
    header: dict[str, Any] = {"descr": dtype, "fortran_order": False, "shape": (count,)}
    with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
        np.lib.format.write_array_header_1_0(entry, header)
        entry.writelines(parts)
