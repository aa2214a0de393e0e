"""Corpora by name: made-up archives, injected hashes, no network beyond this machine."""

import functools
import gzip
import hashlib
import json
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from data import catalogue
from data.catalogue import greek_nt, multi30k, packages, smart_home
from data.catalogue.entry import FetchedCorpus, fold_text, one_line
from data.catalogue.packages import Wheel, fetch_wheel
from data.corpus import SentencePair
from seq2seq.errors import ConfigError, CorpusError, ResourceError

SILENT = [].append  # a listener that ignores what it gets


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEQ2SEQ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# Names and languages


def test_unknown_names_and_languages_are_refused_with_the_nearest():
    with pytest.raises(ConfigError) as caught:
        catalogue.find("smarthome")
    assert "did you mean 'smart-home'?" in (caught.value.hint or "")
    with pytest.raises(ConfigError) as caught:
        catalogue.choose("smart-home", source_language="en", target_language="zh-hant")
    assert "did you mean 'zh-Hant'?" in (caught.value.hint or "")
    with pytest.raises(ConfigError, match="both 'de'"):
        catalogue.choose("emoji", source_language="de", target_language="de")


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (None, None, ("de", "en")),
        ("en", None, ("en", "de")),
        (None, "de", ("en", "de")),
        ("fr", None, ("fr", "en")),
        (None, "fr", ("de", "fr")),
        ("en", "fr", ("en", "fr")),
    ],
)
def test_a_language_that_is_not_named_is_the_default_or_what_is_left(source, target, expected):
    direction = catalogue.choose("multi30k", source_language=source, target_language=target)
    assert (direction.source_language, direction.target_language) == expected


@pytest.mark.parametrize("entry", catalogue.ENTRIES, ids=lambda entry: entry.name)
def test_every_entry_can_be_found_and_its_defaults_hold(entry: catalogue.Entry):
    direction = catalogue.choose(entry.name, source_language=None, target_language=None)
    assert direction.entry is entry
    assert len(set(entry.languages)) == len(entry.languages)
    assert entry.held_out[0] == "valid"


# Writing

PAIRS = FetchedCorpus(
    splits={
        "train": [SentencePair("ein Hund", "a dog"), SentencePair("zwei\u2028Hunde", "two dogs")],
        "valid": [SentencePair("Katze", "cat")],
    },
    origin={"made": "up"},
    links={"train": ["0-0 1-1", "0-0"], "valid": ["0-0"]},
)


def directions() -> catalogue.Direction:
    return catalogue.choose("multi30k", source_language="de", target_language="en")


@pytest.mark.parametrize("there_before", [False, True], ids=["fresh", "empty"])
def test_a_corpus_is_written_as_line_files_with_a_description(tmp_path: Path, there_before: bool):
    directory = tmp_path / "deep" / "corpus"
    if there_before:
        directory.mkdir(parents=True)
    written = catalogue.write_corpus(directions(), PAIRS, directory)
    assert (directory / "train.de").read_bytes() == "ein Hund\nzwei\u2028Hunde\n".encode()
    assert (directory / "train.en").read_bytes() == b"a dog\ntwo dogs\n"
    assert (directory / "train.de-en.pharaoh").read_bytes() == b"0-0 1-1\n0-0\n"
    description = json.loads((directory / "corpus.json").read_text(encoding="utf-8"))
    assert description["pairs"] == {"train": 2, "valid": 1}
    assert description["origin"] == {"made": "up"}
    assert set(description["files"]) == {file.path.name for file in written}
    for file in written:
        assert file.sha256 == sha256(file.path.read_bytes())
        assert description["files"][file.path.name] == {"lines": file.lines, "sha256": file.sha256}
    assert {path.name for path in directory.iterdir()} == {*description["files"], "corpus.json"}


def test_a_taken_directory_is_refused_before_any_work(tmp_path: Path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    messages: list[str] = []
    for path in (tmp_path / "taken", tmp_path / "taken" / "file"):
        with pytest.raises(ConfigError, match="taken"):
            catalogue.get(directions(), path, notify=messages.append)
    assert messages == []
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["file"]


def test_the_current_directory_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="current directory"):
        catalogue.refuse_occupied(Path())


@pytest.mark.parametrize("there_before", [False, True], ids=["fresh", "empty"])
def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, there_before: bool):
    if there_before:
        (tmp_path / "corpus").mkdir()
    broken = replace(PAIRS, splits={"train": [SentencePair("one\nline", "two lines")]})
    with pytest.raises(ValueError, match="line break"):
        catalogue.write_corpus(directions(), broken, tmp_path / "corpus")
    assert [path.name for path in tmp_path.rglob("*")] == ["corpus"] * there_before


def test_line_breaks_become_one_space_and_other_spaces_stay():
    assert one_line(" a\u00a0b  c \n\n d\u2028e\r\nf ") == "a\u00a0b  c d e f"
    assert fold_text("Ｆｕｌｌ  Straße") == "full strasse"


# Multi30k


@pytest.fixture
def captions(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A folder like that of the real corpus, and the hashes of its files."""
    folder = tmp_path / "captions"
    folder.mkdir()
    for split, lines in (("train", 3), ("val", 2), ("test_2016_flickr", 1)):
        for language in ("de", "en"):
            text = "".join(f"{language} {split} {number}\n" for number in range(lines))
            (folder / f"{split}.{language}.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    return folder, {path.name: sha256(path.read_bytes()) for path in folder.iterdir()}


def check_captions(corpus: FetchedCorpus) -> None:
    assert {split: len(pairs) for split, pairs in corpus.splits.items()} == {
        "train": 3,
        "valid": 2,
        "test": 1,
    }
    assert corpus.splits["valid"][1] == SentencePair("de val 1", "en val 1")


@pytest.mark.parametrize("inside", ["flat", "clone/data/task1/raw"])
def test_captions_are_read_from_a_folder_or_a_clone(tmp_path: Path, captions, inside: str):
    folder, hashes = captions
    (tmp_path / inside).parent.mkdir(parents=True, exist_ok=True)
    folder.rename(tmp_path / inside)
    named = str(tmp_path / inside.split("/")[0])
    check_captions(multi30k.fetch("de", "en", location=named, notify=SILENT, hashes=hashes))


def test_captions_with_other_bytes_are_refused(captions):
    folder, hashes = captions
    (folder / "val.en.gz").write_bytes(gzip.compress(b"other\nbytes\n"))
    with pytest.raises(CorpusError, match=r"val\.en\.gz is not the file the catalogue means"):
        multi30k.fetch("de", "en", location=str(folder), notify=SILENT, hashes=hashes)
    (folder / "val.en.gz").unlink()
    with pytest.raises(CorpusError, match="does not exist"):
        multi30k.fetch("de", "en", location=str(folder), notify=SILENT, hashes=hashes)


def test_captions_of_unequal_length_are_refused(captions):
    folder, hashes = captions
    (folder / "val.en.gz").write_bytes(gzip.compress(b"only one\n"))
    hashes["val.en.gz"] = sha256((folder / "val.en.gz").read_bytes())
    with pytest.raises(CorpusError, match="2 lines but"):
        multi30k.fetch("de", "en", location=str(folder), notify=SILENT, hashes=hashes)


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def mirror(captions) -> Iterator[str]:
    handler = functools.partial(Silent, directory=str(captions[0]))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_captions_are_downloaded_once_and_then_come_from_the_cache(mirror: str, captions, cache):
    messages: list[str] = []
    check_captions(
        multi30k.fetch("de", "en", location=mirror, notify=messages.append, hashes=captions[1])
    )
    assert len(messages) == 6
    assert {path.name for path in (cache / "multi30k").iterdir()} == set(captions[1])
    check_captions(
        multi30k.fetch("de", "en", location=None, notify=messages.append, hashes=captions[1])
    )
    assert len(messages) == 6


def test_a_damaged_file_in_the_cache_is_refused(mirror: str, captions, cache: Path):
    multi30k.fetch("de", "en", location=mirror, notify=SILENT, hashes=captions[1])
    (cache / "multi30k" / "train.de.gz").write_bytes(b"damaged")
    with pytest.raises(CorpusError) as caught:
        multi30k.fetch("de", "en", location=None, notify=SILENT, hashes=captions[1])
    assert "delete it" in (caught.value.hint or "")
    assert (cache / "multi30k" / "train.de.gz").read_bytes() == b"damaged"


def test_a_download_with_a_wrong_hash_is_refused_and_not_kept(mirror: str, captions, cache: Path):
    hashes = {**captions[1], "train.de.gz": "0" * 64}
    with pytest.raises(CorpusError) as caught:
        multi30k.fetch("de", "en", location=mirror, notify=SILENT, hashes=hashes)
    assert f"{mirror}/train.de.gz" in caught.value.message
    assert not list(cache.rglob("*"))


def test_no_network_is_one_clear_error_and_leaves_nothing(cache: Path):
    with pytest.raises(ResourceError) as caught:  # port 9 discards, and here nobody listens
        multi30k.fetch("de", "en", location="http://127.0.0.1:9/", notify=SILENT)
    assert caught.value.message.startswith("http://127.0.0.1:9/train.de.gz could not be downloaded")
    assert "--from" in (caught.value.hint or "")
    assert not list(cache.rglob("*"))


def test_a_missing_page_is_named(mirror: str, captions, cache: Path):
    (captions[0] / "train.de.gz").unlink()
    with pytest.raises(ResourceError, match="404"):
        multi30k.fetch("de", "en", location=mirror, notify=SILENT, hashes=captions[1])
    assert not list(cache.rglob("*"))


# Package archives


@pytest.fixture
def wheel(tmp_path: Path) -> tuple[Wheel, Path]:
    """A wheel that pip takes for one, in a folder that serves as its index."""
    path = tmp_path / "index" / "made_up-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("made_up/text.json", "{}")
        about = "made_up-1.0.dist-info"
        archive.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n"
        )
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        archive.writestr(f"{about}/RECORD", "")
    data = path.read_bytes()
    return Wheel("made-up", "1.0", path.name, sha256(data), len(data)), path


@pytest.fixture
def index(wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip searches this folder only."""
    pytest.importorskip("pip", reason="wheels are fetched with pip")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel[1].parent))


def test_a_wheel_is_found_by_its_path_or_its_folder(wheel):
    pinned, path = wheel
    for location in (path, path.parent):
        assert fetch_wheel(pinned, location=str(location), notify=SILENT) == path


def test_a_wheel_with_other_bytes_is_refused(wheel):
    pinned, path = wheel
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(CorpusError, match="sha256"):
        fetch_wheel(pinned, location=str(path), notify=SILENT)


def test_a_wheel_that_is_not_there_or_an_address_is_refused(wheel, tmp_path: Path):
    with pytest.raises(CorpusError, match="does not exist"):
        fetch_wheel(wheel[0], location=str(tmp_path), notify=SILENT)
    with pytest.raises(ConfigError, match="address"):
        fetch_wheel(wheel[0], location="https://example.org", notify=SILENT)


@pytest.mark.usefixtures("index")
def test_a_wheel_is_downloaded_once_by_pip_and_kept(wheel, cache: Path):
    pinned, path = wheel
    messages: list[str] = []
    kept = fetch_wheel(pinned, location=None, notify=messages.append)
    assert kept == cache / path.name
    assert kept.read_bytes() == path.read_bytes()
    assert [found.name for found in cache.iterdir()] == [path.name]
    path.unlink()
    assert fetch_wheel(pinned, location=None, notify=messages.append) == kept
    assert len(messages) == 1


@pytest.mark.usefixtures("index")
def test_pip_refuses_a_wheel_with_a_wrong_hash_and_nothing_is_kept(wheel, cache: Path):
    with pytest.raises(CorpusError, match="not the pinned 0000"):
        fetch_wheel(replace(wheel[0], sha256="0" * 64), location=None, notify=SILENT)
    assert not list(cache.rglob("*"))


@pytest.mark.usefixtures("index")
def test_a_wheel_no_index_has_is_one_clear_error_and_nothing_is_kept(wheel, cache: Path):
    wheel[1].unlink()
    with pytest.raises(ResourceError, match="could not be downloaded") as caught:
        fetch_wheel(wheel[0], location=None, notify=SILENT)
    assert "--from" in (caught.value.hint or "")
    assert not list(cache.rglob("*"))


def test_a_wheel_in_the_cache_with_a_wrong_hash_is_refused_not_used(wheel, cache: Path):
    cache.mkdir()
    (cache / wheel[0].filename).write_bytes(b"something else")
    with pytest.raises(CorpusError) as caught:
        fetch_wheel(wheel[0], location=None, notify=SILENT)
    assert "delete it" in (caught.value.hint or "")


def test_without_pip_the_error_says_what_to_do(wheel, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ResourceError, match="pip") as caught:
        fetch_wheel(wheel[0], location=None, notify=SILENT)
    assert "ensurepip" in (caught.value.hint or "")


# Smart home


def interface(tmp_path: Path, integrations: dict[str, tuple[object, object]]) -> Path:
    path = tmp_path / "interface.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, (english, german) in integrations.items():
            for language, strings in (("en", english), ("de", german)):
                archive.writestr(
                    f"homeassistant/components/{name}/translations/{language}.json",
                    json.dumps(strings),
                )
    return path


def house(shared: str) -> dict[str, tuple[object, object]]:
    """Enough integrations for each split, each with a text of its own and one they all share."""
    return {
        f"thing{number}": (
            {"title": f"Thing {number}", "step": {"own": f"Own {number}", "shared": shared}},
            {"title": f"Ding {number}", "step": {"own": f"Eigen {number}", "shared": "Gemeinsam"}},
        )
        for number in range(200)
    }


def test_strings_are_aligned_by_integration_and_key(tmp_path: Path):
    splits = smart_home.read_splits(interface(tmp_path, house("Shared")), "en", "de")
    pairs = {pair for split in splits.values() for pair in split}
    assert SentencePair("Own 7", "Eigen 7") in pairs
    assert SentencePair("Thing 7", "Ding 7") in pairs
    assert len(pairs) == 401


def test_an_integration_is_in_one_split_and_tests_hold_only_unseen_sources(tmp_path: Path):
    splits = smart_home.read_splits(interface(tmp_path, house("Shared")), "en", "de")
    numbers = {
        split: {pair.source.split()[-1] for pair in pairs if pair.source != "Shared"}
        for split, pairs in splits.items()
    }
    assert splits["train"].count(SentencePair("Shared", "Gemeinsam")) == 1
    for split in ("valid", "test"):
        assert numbers[split]
        assert numbers[split].isdisjoint(numbers["train"])
        assert "Shared" not in {pair.source for pair in splits[split]}
    assert numbers["valid"].isdisjoint(numbers["test"])
    swapped = smart_home.read_splits(interface(tmp_path, house("Shared")), "de", "en")
    assert {pair.target for pair in swapped["test"]} == {pair.source for pair in splits["test"]}


@pytest.mark.parametrize(
    ("english", "german"),
    [
        ("{name}: {value}", "{name} – {value}"),
        ("Wi-Fi", "wi-fi"),
        ("", "leer"),
        ("25%", "25 %"),
        ("Turn on {name}", "{entity} einschalten"),
    ],
    ids=["placeholders only", "identical", "blank", "no letters", "other placeholders"],
)
def test_pairs_that_are_not_translations_are_left_out(tmp_path: Path, english: str, german: str):
    things = house("Shared")
    things["thing0"][0]["odd"], things["thing0"][1]["odd"] = english, german  # type: ignore[index]
    splits = smart_home.read_splits(interface(tmp_path, things), "en", "de")
    assert sum(len(pairs) for pairs in splits.values()) == 401


def test_line_breaks_and_unmatched_keys_do_not_reach_the_corpus(tmp_path: Path):
    things = house("Two\n\nparagraphs with **marks**")
    things["thing0"][0]["alone"] = "Nobody translated this"  # type: ignore[index]
    splits = smart_home.read_splits(interface(tmp_path, things), "en", "de")
    sources = {pair.source for split in splits.values() for pair in split}
    assert "Two paragraphs with **marks**" in sources
    assert "Nobody translated this" not in sources


def test_two_languages_that_share_too_little_are_refused(tmp_path: Path):
    with pytest.raises(
        CorpusError, match="too little of smart-home is translated into both en and fr"
    ):
        smart_home.read_splits(interface(tmp_path, house("Shared")), "en", "fr")


# Greek New Testament


@pytest.fixture
def testament(tmp_path: Path) -> Path:
    """Four verses: two of Matthew, one of Romans, one of Hebrews; the second repeats Romans."""
    greek = [
        *(("n40001001001", "Βίβλος"), ("n40001001002", "γενέσεως")),
        *(("n40001002001", "χάρις"), ("n45001007001", "Χάρις")),
        *(("n58013025001", "ἡ"), ("n58013025002", "χάρις")),
    ]
    english = [
        *(("40001001001", "40001001", "The"), ("40001001002", "40001001", '"record')),
        *(("40001001003", "40001001", "."), ("40001002001", "40001002", "Thanks")),
        *(("45001007001", "45001007", "Grace"), ("58013025001", "58013025", "Grace")),
        ("58013026001", "58013025", "indeed"),  # numbered otherwise in English
    ]
    records = [
        (["n40001001001"], ["40001001001", "40001001002"]),
        (["n40001001002"], ["40001001002"]),
        (["n40001002001"], ["40001002001"]),
        (["n45001007001"], ["45001007001", "58013025001"]),  # the second leaves the verse
        (["n58013025001", "n58013025002"], ["58013026001"]),
    ]
    path = tmp_path / "testament.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "data/sources/SBLGNT.tsv",
            "id\taltId\ttext\n" + "".join(f"{i}\t{word}-1\t{word}\n" for i, word in greek),
        )
        archive.writestr(
            "data/eng/targets/BSB/nt_BSB.tsv",
            "id\tsource_verse\ttext\texclude\n"
            + "".join(f"{i}\t{verse}\t{word}\t\n" for i, verse, word in english),
        )
        archive.writestr(
            "data/eng/alignments/BSB/SBLGNT-BSB-manual.json",
            json.dumps({"records": [{"source": s, "target": t} for s, t in records]}),
        )
    return path


def test_verses_become_lines_whose_words_the_links_count(testament: Path):
    corpus = greek_nt.read_verses(testament, reverse=False)
    assert corpus.splits == {
        "train": [SentencePair("Βίβλος γενέσεως", 'The "record .')],
        "valid": [SentencePair("ἡ χάρις", "Grace indeed")],
        "test": [SentencePair("Χάρις", "Grace")],
    }
    assert corpus.links == {"train": ["0-0 0-1 1-1"], "valid": ["0-1 1-1"], "test": ["0-0"]}


def test_english_to_greek_swaps_the_links_too(testament: Path):
    corpus = greek_nt.read_verses(testament, reverse=True)
    assert corpus.splits["train"] == [SentencePair('The "record .', "Βίβλος γενέσεως")]
    assert corpus.links["train"] == ["0-0 1-0 1-1"]
