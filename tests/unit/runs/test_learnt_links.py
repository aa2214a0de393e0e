"""What eflomal is given and what becomes of its links; a stand-in takes the place of eflomal."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from tiny import write_corpus

from cli.runs import learnt_links
from data.corpora import CorpusFiles


class Aligner:
    """Links the n-th words forward; backward also the first source word with every target word."""

    given: ClassVar[list[tuple[list[str], list[str]]]] = []

    def align(self, sources, targets, *, links_filename_fwd, links_filename_rev):
        self.given.append((sources, targets))
        forward, backward = [], []
        for source, target in zip(sources, targets, strict=True):
            n, m = len(source.split()), len(target.split())
            forward.append(" ".join(f"{i}-{i}" for i in range(min(n, m))))
            backward.append(" ".join(f"0-{j}" for j in range(m)))
        Path(links_filename_fwd).write_text("\n".join(forward) + "\n")
        Path(links_filename_rev).write_text("\n".join(backward) + "\n")


@pytest.fixture
def eflomal(monkeypatch):
    monkeypatch.setattr(Aligner, "given", [])
    monkeypatch.setitem(sys.modules, "eflomal", SimpleNamespace(Aligner=Aligner, __spec__=object()))
    monkeypatch.setattr(learnt_links.metadata, "version", lambda name: "2.0.0")


def test_a_line_of_links_comes_out_for_each_pair(eflomal, tmp_path):
    pairs = [("Ein  Hund", "A DOG"), ("", "blank"), ("wort " * 300, "word"), ("ja", "Oh yes")]
    files = CorpusFiles(*write_corpus(tmp_path, "train", pairs))
    source = learnt_links.LearntLinks.available()
    assert source.origin == source.key == "eflomal 2.0.0, grow-diag-final-and"
    # of the first pair both directions have (0, 0); (0, 1) brings a free target word, and (1, 1),
    # diagonally beside it, a free source word
    assert list(source.lines(files)) == ["0-0 0-1 1-1", "", "", "0-0 0-1"]
    assert Aligner.given == [(["ein hund\n", "ja\n"], ["a dog\n", "oh yes\n"])]


def test_nothing_is_learnt_of_nothing(eflomal):
    assert learnt_links.learn_links([]) == []
    assert not Aligner.given
