"""The file of further corpora: what it says, and what is refused in our words."""

from pathlib import Path

import pytest

from data.corpora import CorpusFiles, Manifest, read_manifest
from seq2seq.errors import ConfigError

WHOLE = """
[main]
tag = "2en"
[back]
source = "back/mono.de"
target = "/elsewhere/mono.en"
weight = 0.5
tag = "back"
[news-2]
source = "a"
target = "b"
"""


def manifest(folder: Path, text: str) -> Manifest:
    path = folder / "corpora.toml"
    path.write_text(text)
    return read_manifest(path)


def test_a_file_names_corpora_with_paths_beside_it(tmp_path):
    found = manifest(tmp_path, WHOLE)
    assert (found.weight, found.tag) == (1.0, "2en")
    back, news = found.further
    assert (back.name, back.weight, back.tag) == ("back", 0.5, "back")
    assert back.files == (tmp_path / "back/mono.de", Path("/elsewhere/mono.en"))
    assert (news.name, news.weight, news.tag) == ("news-2", 1.0, None)
    files = CorpusFiles(Path("x"), Path("y"))
    assert [corpus.name for corpus in found.with_main(files)] == ["main", "back", "news-2"]
    assert found.with_main(files)[0].files == files


def test_an_empty_file_is_the_main_corpus_alone(tmp_path):
    assert manifest(tmp_path, "") == Manifest()


PAIR = 'source = "a"\ntarget = "b"\n'
BAD = {
    "not TOML": ("[back", "cannot be read"),
    "not a table": ("back = 1", "back is not a table of a corpus"),
    "a name with a space": (f'["a b"]\n{PAIR}', "a b is not a table"),
    "no target": ('[back]\nsource = "a"', r"back\.target: field required"),
    "a negative weight": (f"[back]\n{PAIR}weight = -1", r"back\.weight: .*greater than or equal"),
    "an infinite weight": (f"[back]\n{PAIR}weight = inf", r"back\.weight"),
    "a weight that is not a number": (f'[back]\n{PAIR}weight = "much"', r"back\.weight"),
    "another setting": (f"[back]\n{PAIR}wieght = 1", r"back\.wieght"),
    "text for the main corpus": (f"[main]\n{PAIR}", r"main\.(source|target)"),
    "a tag with a space": (f'[back]\n{PAIR}tag = "a b"', r"back\.tag: a tag has letters"),
    "the name of a piece": (f'[back]\n{PAIR}tag = "pad"', r"back\.tag: a tag has letters"),
    "the name of a byte": (f'[back]\n{PAIR}tag = "0x0A"', r"back\.tag: a tag has letters"),
    "the word for no tag": (f'[back]\n{PAIR}tag = "none"', r"back\.tag: a tag has letters"),
    "nothing to train on": ("[main]\nweight = 0", "every weight is 0"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_file_that_is_not_a_corpora_file_is_refused(tmp_path, what):
    text, message = BAD[what]
    with pytest.raises(ConfigError, match=message) as caught:
        manifest(tmp_path, text)
    assert "corpora.toml" in caught.value.message and caught.value.hint


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_manifest(tmp_path / "missing.toml")
