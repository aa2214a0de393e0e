"""Preparing a store: what the names of the files say, and pipes of stores in shards."""

from pathlib import Path

import pytest

from cli.runs.preparation import _language_of, preparation_request
from seq2seq.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("train.de", "de"),
        ("train.grc.gz", "grc"),
        ("train.de.xz", "de"),
        ("train.de.bz2", "de"),
        ("train.zh-Hans", "zh-Hans"),
        ("train.pt-BR", "pt-BR"),
        ("train.txt", None),
        ("train", None),
    ],
)
def test_the_ending_of_a_file_is_a_language_where_it_looks_like_a_code(name, language):
    assert _language_of(Path(name)) == language


def test_a_pipe_of_a_store_in_shards_is_refused_before_it_is_copied(tmp_path):
    texts, notes = (tmp_path / "a", tmp_path / "b"), list[str]()
    options = {"settings": {}, "languages": (None, None), "sharded": True, "note": notes.append}
    with (
        pytest.raises(ConfigError, match="standard input can be read only once; shards"),
        preparation_request(texts, (Path("-"), texts[1]), tmp_path / "store", **options),
    ):
        pass
    assert not notes
