"""Preparing a store: what the names of the files say."""

from pathlib import Path

import pytest

from cli.runs.preparation import _language_of


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
