"""The whole demo, on a part of its corpus, with a second of training."""

from dataclasses import replace

import pytest
from program import call

from data import catalogue


@pytest.fixture
def short_corpus(monkeypatch):
    """The demo gets some pairs of each split."""
    fetch = catalogue.fetch

    def some_pairs(*arguments, **options):
        whole = fetch(*arguments, **options)
        splits = {
            name: pairs[: 500 if name == "train" else 20] for name, pairs in whole.splits.items()
        }
        return replace(whole, splits=splits)

    monkeypatch.setattr(catalogue, "fetch", some_pairs)


def test_the_demo_does_the_whole_main_job(tmp_path, short_corpus):
    result = call(
        "demo", tmp_path / "demo", "--minutes", "0.02", "--threads", "1", "--target-language", "ja"
    )
    assert result.code == 0, result.err
    assert "new combinations" in result.out and "new names" in result.out
    assert result.out.count("BLEU|nrefs:1|") == 2  # a signature for each held-out set
    assert result.out.count("reference ") >= 11
    assert "⏎" in result.out  # the alignment table
    assert result.err.count("\nseq2seq ") == 3  # the commands to try next
    again = call("translate", tmp_path / "demo" / "run", stdin=b"cat face\n\n")
    assert len(again.lines) == 2 and again.lines[1] == ""
