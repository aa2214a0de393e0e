"""Corpora by name: what is embedded, what is downloaded with a pinned hash, how each is split.

Held-out sets are fixed by the corpus, not by a seed of the user's, so that two people who name the
same corpus and languages measure on the same lines.
"""

import difflib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from data.catalogue import emoji_names, greek_nt, multi30k, smart_home
from data.catalogue.entry import Contents, Entry, Tell
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
    """A corpus and its languages; one that is not named is the default, or what is left of it."""
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
    """Raises ConfigError unless `directory` is free: missing, or empty and not where we stand."""
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
    direction: Direction, directory: Path, *, location: str | None = None, tell: Tell
) -> list[WrittenFile]:
    """Fetch a corpus and write its files; the directory is there with all of them or not at all.

    `location` is a file, folder or address to read instead of the network and the cache. Raises
    ConfigError if the directory is taken, before anything is fetched.
    """
    refuse_occupied(directory)
    return write(direction, fetch(direction, location=location, tell=tell), directory)


def fetch(direction: Direction, *, location: str | None = None, tell: Tell) -> Contents:
    """The corpus in memory. Raises CorpusError for a wrong hash, ResourceError for no network."""
    name = direction.entry.name
    languages = (direction.source_language, direction.target_language)
    if name == emoji_names.ENTRY.name:
        if location is not None:
            raise ConfigError(
                f"{name} is embedded: there is nothing to read from {location}",
                hint="leave --from out",
            )
        return emoji_names.fetch(*languages)
    if name == multi30k.ENTRY.name:
        return multi30k.fetch(*languages, location=location, tell=tell)
    if name == smart_home.ENTRY.name:
        return smart_home.fetch(*languages, location=location, tell=tell)
    assert name == greek_nt.ENTRY.name, name
    return greek_nt.fetch(*languages, location=location, tell=tell)


def write(direction: Direction, contents: Contents, directory: Path) -> list[WrittenFile]:
    """Line files a split and language, links a split, and a description of it all."""
    refuse_occupied(directory)
    place = directory.resolve()
    was_empty = place.exists()
    if was_empty:
        place.rmdir()
    try:
        with replacing_directory(place) as partial:
            written = _write_files(direction, contents, partial)
            write_json(partial / DESCRIPTION, _description(direction, contents, written))
    except BaseException:
        if was_empty:
            place.mkdir(exist_ok=True)
        raise
    return [WrittenFile(directory / file.path.name, file.lines, file.sha256) for file in written]


def _write_files(direction: Direction, contents: Contents, directory: Path) -> list[WrittenFile]:
    source, target = direction.source_language, direction.target_language
    written: list[WrittenFile] = []
    for split, pairs in contents.splits.items():
        for language, lines in (
            (source, (pair.source for pair in pairs)),
            (target, (pair.target for pair in pairs)),
        ):
            written.append(_write_lines(directory / f"{split}.{language}", lines))
        if split in contents.links:
            path = directory / f"{split}.{source}-{target}.pharaoh"
            written.append(_write_lines(path, contents.links[split]))
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
    direction: Direction, contents: Contents, written: list[WrittenFile]
) -> dict[str, object]:
    return {
        "format": FORMAT,
        "name": direction.entry.name,
        "source_language": direction.source_language,
        "target_language": direction.target_language,
        "terms": direction.entry.terms,
        "origin": contents.origin,
        "pairs": {split: len(pairs) for split, pairs in contents.splits.items()},
        "files": {file.path.name: {"lines": file.lines, "sha256": file.sha256} for file in written},
    }


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word.casefold(), known, n=1, cutoff=0.5)
    suggestion = f"did you mean {close[0]!r}? " if close else ""
    return f"{suggestion}available: {', '.join(known)}"
