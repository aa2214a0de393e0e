"""Multi30k, task 1: image captions in English, German and French, fetched from its repository."""

import gzip
import logging
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from data.catalogue.entry import Entry, FetchedCorpus, Notify, one_line
from data.catalogue.packages import cache_directory, verify_file
from data.corpus import SentencePair, line_count_error
from seq2seq.errors import CorpusError, ResourceError

COMMIT = "a3d2e0d26b56f3846f66a952536ffed4e401d05a"
FOLDER = "data/task1/raw"  # of the repository
ADDRESS = f"https://raw.githubusercontent.com/multi30k/dataset/{COMMIT}/{FOLDER}"
SPLITS = {"train": "train", "valid": "val", "test": "test_2016_flickr"}  # their file names
SHA256 = {
    "train.de.gz": "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
    "train.en.gz": "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
    "train.fr.gz": "622e75069e9f4c577425c4f277116ce66e63a2401c0a2312d90073cb12379a3c",
    "val.de.gz": "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
    "val.en.gz": "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
    "val.fr.gz": "ca3106f1a72390591d25f6c45cb4cd39dec4cd3f123e099748a3ce5256c160e9",
    "test_2016_flickr.de.gz": "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
    "test_2016_flickr.en.gz": "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
    "test_2016_flickr.fr.gz": "6d326e188d259fb1d04ac19eae3af956559b3a0b93d7635e56c90987c40c8b90",
}


def fetch(
    source_language: str,
    target_language: str,
    *,
    location: str | None,
    notify: Notify,
    hashes: Mapping[str, str] = SHA256,
) -> FetchedCorpus:
    """Read each file at `location` (a folder or another address), in the cache, or from GitHub."""
    splits: dict[str, list[SentencePair]] = {}
    used: dict[str, str] = {}
    for split, stem in SPLITS.items():
        sides: list[list[str]] = []
        for language in (source_language, target_language):
            name = f"{stem}.{language}.gz"
            used[name] = hashes[name]
            sides.append(_lines(_fetch_file(name, hashes[name], location=location, notify=notify)))
        if len(sides[0]) != len(sides[1]):
            names = [Path(f"{stem}.{lang}.gz") for lang in (source_language, target_language)]
            raise line_count_error(names[0], len(sides[0]), names[1], len(sides[1]))
        splits[split] = [SentencePair(*pair) for pair in zip(*sides, strict=True)]
    return FetchedCorpus(
        splits=splits,
        origin={"repository": "multi30k/dataset", "commit": COMMIT, "path": FOLDER, "sha256": used},
    )


ENTRY = Entry(
    name="multi30k",
    summary="image captions: the small benchmark of the field",
    pairs=31_014,
    held_out=("valid", "test"),
    languages=("de", "en", "fr"),
    source_language="de",
    target_language="en",
    terms="non-commercial research and education only (derived from Flickr30K)",
    origin="GitHub, multi30k/dataset",
    download_bytes=1_300_000,
    fetch=fetch,
)


def _fetch_file(name: str, sha256: str, *, location: str | None, notify: Notify) -> Path:
    if location is not None and not location.startswith(("http://", "https://")):
        folder = Path(location)
        if not (folder / name).is_file() and (folder / FOLDER / name).is_file():
            folder = folder / FOLDER  # a clone of the repository
        if not (folder / name).is_file():
            raise CorpusError(
                f"{folder / name} does not exist",
                hint=f"--from takes a folder, or the address of one, that holds {name}",
            )
        return verify_file(folder / name, sha256, hint="fetch that file again")
    cached = cache_directory() / "multi30k" / name
    if cached.exists():
        return verify_file(cached, sha256, hint="delete it and run the command again")
    address = f"{(location or ADDRESS).rstrip('/')}/{name}"
    notify(f"downloading {address}")
    return _download_split(address, sha256, cached)


def _download_split(address: str, sha256: str, cached: Path) -> Path:
    """Raises CorpusError for a wrong hash, ResourceError where the download fails."""
    import pooch
    from requests.exceptions import RequestException

    pooch.get_logger().setLevel(logging.ERROR)  # we report downloads ourselves
    hint = (
        f"fetch the files of {FOLDER} at commit {COMMIT[:12]} of multi30k/dataset on GitHub by "
        "another way, and name their folder or mirror with --from"
    )
    try:
        pooch.retrieve(
            address,
            known_hash=f"sha256:{sha256}",
            fname=cached.name,
            path=cached.parent,
            downloader=pooch.HTTPDownloader(timeout=30),
        )
    except RequestException as error:
        raise ResourceError(
            f"{address} could not be downloaded: {_reason(error)}", hint=hint
        ) from error
    except ValueError as error:  # pooch's error for a wrong hash; it has deleted the file
        raise CorpusError(
            f"{address} is not the file the catalogue means: its sha256 is not {sha256}", hint=hint
        ) from error
    finally:
        with suppress(OSError):  # it has other files, or was never made
            cached.parent.rmdir()
    return verify_file(cached, sha256, hint="delete it and run the command again")


def _reason(error: Exception) -> str:
    """The text of the innermost cause, on one line."""
    deepest: BaseException = error
    while deepest.__cause__ or deepest.__context__:
        deepest = deepest.__cause__ or deepest.__context__ or deepest
    text = getattr(deepest, "strerror", None) or str(deepest) or type(deepest).__name__
    return one_line(text)


def _lines(path: Path) -> list[str]:
    """Split on "\\n" alone; other line breaks inside a sentence become spaces."""
    try:
        text = gzip.decompress(path.read_bytes()).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise CorpusError(f"{path} is damaged: {error}", hint="fetch that file again") from error
    return [one_line(line) for line in text.removesuffix("\n").split("\n")]
