"""Corpora by name: embedded, or downloaded with a pinned hash, and split.

Held-out sets are fixed by the corpus, not by a seed, so that all who use the same corpus and
languages measure on the same lines.
"""

import difflib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from data.catalogue import emoji_names, greek_nt, multi30k, smart_home
from data.catalogue.entry import Entry, FetchedCorpus, Notify
from seq2seq.errors import ConfigError
from seq2seq.system.files import replacing_directory, write_json

FORMAT = 1  # of corpus.json
DESCRIPTION = "corpus.json"

ENTRIES = (emoji_names.ENTRY, multi30k.ENTRY, smart_home.ENTRY, greek_nt.ENTRY)


@dataclass(frozen=True, slots=True)
class Direction:
    """A corpus, and which of its languages is translated into which."""

    entry: Entry
    source_language: str
    target_language: str


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A text file of a corpus that was written."""

    path: Path
    lines: int
    sha256: str


def find(name: str) -> Entry:
    """Raises ConfigError for an unknown name, with the nearest known one."""
    for entry in ENTRIES:
        if entry.name == name:
            return entry
    names = [entry.name for entry in ENTRIES]
    raise ConfigError(f"no corpus is called {name!r}", hint=_nearest(name, names))


def choose(name: str, *, source_language: str | None, target_language: str | None) -> Direction:
    """A corpus and its languages; one that is not given is the default, or the other of the two."""
    entry = find(name)
    for language in (source_language, target_language):
        if language is not None and language not in entry.languages:
            raise ConfigError(
                f"{name} is not available in {language!r}",
                hint=_nearest(language, list(entry.languages)),
            )
    source = source_language or (
        entry.source_language if target_language != entry.source_language else entry.target_language
    )
    target = target_language or (
        entry.target_language if source != entry.target_language else entry.source_language
    )
    if source == target:
        raise ConfigError(
            f"source and target language are both {source!r}",
            hint=f"name two of {', '.join(entry.languages)}",
        )
    return Direction(entry, source, target)


def refuse_occupied(directory: Path) -> None:
    """Raises ConfigError unless `directory` is missing, or empty and not the current one."""
    if not directory.exists() and not directory.is_symlink():
        return
    if not directory.is_dir():
        raise ConfigError(f"{directory} is not a directory", hint="name a new directory")
    if any(directory.iterdir()):
        raise ConfigError(
            f"{directory} exists already and is not empty",
            hint="name a new directory, or remove that one first",
        )
    if directory.samefile(Path.cwd()):
        raise ConfigError(
            f"{directory} is the current directory, which cannot be replaced",
            hint="name a new directory inside it",
        )


def get(
    direction: Direction, directory: Path, *, location: str | None = None, notify: Notify
) -> list[WrittenFile]:
    """Fetch a corpus and write its files; the directory appears with all of them or not at all.

    `location` is a file, folder or address to read instead of the network and the cache. Raises
    ConfigError if the directory is not free, before anything is fetched.
    """
    refuse_occupied(directory)
    return write_corpus(direction, fetch(direction, location=location, notify=notify), directory)


def fetch(direction: Direction, *, location: str | None = None, notify: Notify) -> FetchedCorpus:
    """The corpus in memory. Raises CorpusError for a wrong hash, ResourceError for no network."""
    return direction.entry.fetch(
        direction.source_language, direction.target_language, location=location, notify=notify
    )


def write_corpus(direction: Direction, corpus: FetchedCorpus, directory: Path) -> list[WrittenFile]:
    """Write the text of each split in both languages, links if there are any, and corpus.json."""
    refuse_occupied(directory)
    path = directory.resolve()
    was_empty = path.exists()
    if was_empty:
        path.rmdir()
    try:
        with replacing_directory(path) as partial:
            written = _write_files(direction, corpus, partial)
            write_json(partial / DESCRIPTION, _description(direction, corpus, written))
    except BaseException:
        if was_empty:
            path.mkdir(exist_ok=True)
        raise
    return [WrittenFile(directory / file.path.name, file.lines, file.sha256) for file in written]


def _write_files(direction: Direction, corpus: FetchedCorpus, directory: Path) -> list[WrittenFile]:
    source, target = direction.source_language, direction.target_language
    written: list[WrittenFile] = []
    for split, pairs in corpus.splits.items():
        for language, lines in (
            (source, (pair.source for pair in pairs)),
            (target, (pair.target for pair in pairs)),
        ):
            written.append(_write_lines(directory / f"{split}.{language}", lines))
        if split in corpus.links:
            path = directory / f"{split}.{source}-{target}.pharaoh"
            written.append(_write_lines(path, corpus.links[split]))
    return written


def _write_lines(path: Path, lines: Iterable[str]) -> WrittenFile:
    digest, count = hashlib.sha256(), 0
    with path.open("wb") as stream:
        for line in lines:
            if "\n" in line or "\r" in line:
                raise ValueError(f"a line of {path.name} holds a line break: {line!r}")
            data = line.encode("utf-8") + b"\n"
            stream.write(data)
            digest.update(data)
            count += 1
    return WrittenFile(path, count, digest.hexdigest())


def _description(
    direction: Direction, corpus: FetchedCorpus, written: list[WrittenFile]
) -> dict[str, object]:
    return {
        "format": FORMAT,
        "name": direction.entry.name,
        "source_language": direction.source_language,
        "target_language": direction.target_language,
        "terms": direction.entry.terms,
        "origin": corpus.origin,
        "pairs": {split: len(pairs) for split, pairs in corpus.splits.items()},
        "files": {file.path.name: {"lines": file.lines, "sha256": file.sha256} for file in written},
    }


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word.casefold(), known, n=1, cutoff=0.5)
    suggestion = f"did you mean {close[0]!r}? " if close else ""
    return f"{suggestion}available: {', '.join(known)}"
