"""The Greek New Testament and the Berean Standard Bible, with word links drawn by people.

One line is one verse, with spaces between words and punctuation, so that the n-th word between
spaces is token n of the links. Whole books are held out: Romans as the test set, Hebrews as the
validation set. A verse with the same Greek or English text as one of them is not in training.
"""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

from data.catalogue.entry import Entry, FetchedCorpus, Notify, fold_text
from data.catalogue.packages import Wheel, fetch_wheel
from data.corpus import SentencePair

WHEEL = Wheel(
    project="bible-alignments",
    version="0.4.2",
    filename="bible_alignments-0.4.2-py3-none-any.whl",
    sha256="84f6b15e706657777824aac811567cb5cb2b38ad2b94497209f5f3c3f67b0984",
    size=8_807_345,
)

_GREEK = "data/sources/SBLGNT.tsv"
_ENGLISH = "data/eng/targets/BSB/nt_BSB.tsv"
_LINKS = "data/eng/alignments/BSB/SBLGNT-BSB-manual.json"
_BOOKS = {"45": "test", "58": "valid"}  # Romans, Hebrews; every other book is training data


def fetch(
    source_language: str, target_language: str, *, location: str | None, notify: Notify
) -> FetchedCorpus:
    archive = fetch_wheel(WHEEL, location=location, notify=notify)
    return read_verses(archive, reverse=source_language == "en")


ENTRY = Entry(
    name="greek-nt",
    summary="New Testament by verse, with gold word alignments",
    pairs=7_919,
    held_out=("valid", "test"),
    languages=("grc", "en"),
    source_language="grc",
    target_language="en",
    terms="CC BY 4.0 (Greek text: SBLGNT; links: Biblica), public domain (English: BSB)",
    origin=f"the package index, {WHEEL.project} {WHEEL.version}",
    download_bytes=WHEEL.size,
    fetch=fetch,
)


def read_verses(archive: Path, *, reverse: bool) -> FetchedCorpus:
    """Verses that have links, in the order of the Bible; `reverse` is English to Greek."""
    with ZipFile(archive) as wheel:
        greek = _verses(
            (row["id"].lstrip("n"), row["id"].lstrip("n")[:8], row["text"])
            for row in _rows(wheel, _GREEK)
        )
        english = _verses(
            (row["id"], row["source_verse"], row["text"]) for row in _rows(wheel, _ENGLISH)
        )
        links = _links(wheel, greek, english)
    splits: dict[str, list[SentencePair]] = {"train": [], "valid": [], "test": []}
    pharaoh: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    pairs = {
        verse: SentencePair(" ".join(greek[verse].values()), " ".join(english[verse].values()))
        for verse in sorted(links)
    }
    held_out = {
        fold_text(text) for verse, pair in pairs.items() if verse[:2] in _BOOKS for text in pair
    }
    for verse, pair in pairs.items():
        split = _BOOKS.get(verse[:2], "train")
        if split == "train" and not held_out.isdisjoint(fold_text(text) for text in pair):
            continue
        splits[split].append(SentencePair(pair.target, pair.source) if reverse else pair)
        ends = sorted((right, left) if reverse else (left, right) for left, right in links[verse])
        pharaoh[split].append(" ".join(f"{left}-{right}" for left, right in ends))
    return FetchedCorpus(splits=splits, origin=WHEEL.origin(), links=pharaoh)


def _rows(wheel: ZipFile, path: str) -> Iterator[dict[str, str]]:
    with wheel.open(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        yield from csv.DictReader(text, delimiter="\t", quoting=csv.QUOTE_NONE)


def _verses(tokens: Iterator[tuple[str, str, str]]) -> dict[str, dict[str, str]]:
    """Verse -> token id -> token, both in the order of the file."""
    verses: dict[str, dict[str, str]] = {}
    for identifier, verse, text in tokens:
        verses.setdefault(verse, {})[identifier] = text
    return verses


def _links(
    wheel: ZipFile, greek: dict[str, dict[str, str]], english: dict[str, dict[str, str]]
) -> dict[str, set[tuple[int, int]]]:
    """Verse -> pairs of Greek and English word numbers; links between two verses are left out."""
    left = _word_numbers(greek)
    right = _word_numbers(english)
    links: dict[str, set[tuple[int, int]]] = {}
    for record in json.loads(wheel.read(_LINKS))["records"]:
        for source in record["source"]:
            for target in record["target"]:
                verse, number = left.get(source.lstrip("n"), ("", 0))
                other_verse, other_number = right.get(target, ("", 0))
                if verse and verse == other_verse:
                    links.setdefault(verse, set()).add((number, other_number))
    return links


def _word_numbers(verses: dict[str, dict[str, str]]) -> dict[str, tuple[str, int]]:
    """Token id -> its verse and its number there, from 0."""
    return {
        identifier: (verse, number)
        for verse, tokens in verses.items()
        for number, identifier in enumerate(tokens)
    }
