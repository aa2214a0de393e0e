"""Runs that earlier versions wrote, created by tests/support/golden_run.py, still work."""

import shutil
from pathlib import Path

import pytest
from program import call

from cli.runs.provenance import FORMAT_VERSION
from seq2seq.checkpoints.checkpoint import load_state

RUNS = sorted((Path(__file__).parent / "runs").iterdir())


@pytest.fixture(params=RUNS, ids=lambda path: path.name)
def golden(request, tmp_path):
    return shutil.copytree(request.param, tmp_path / request.param.name)


def candidates(text):
    """The sentence number and text of each translation, and their scores."""
    lines = [line.split(" ||| ") for line in text.splitlines()]
    return [words for *words, _ in lines], [float(score) for *_, score in lines]


def test_a_run_of_an_earlier_version_still_works(golden):
    given = (golden / "source.txt").read_bytes()
    translated = call("translate", golden / "run", "--n-best", 2, stdin=given)
    assert translated.code == 0, translated.err
    kept = (golden / "translations.txt").read_text(encoding="utf-8")
    (words, scores), (kept_words, kept_scores) = candidates(translated.out), candidates(kept)
    assert words == kept_words
    assert scores == pytest.approx(kept_scores, abs=1e-3)  # processors round in their own ways
    for part in ("store", "run"):
        described = call("describe", golden / part, "--verify")
        assert described.code == 0, described.out + described.err

    before = load_state(golden / "run" / "checkpoints" / "update-000000300")
    more = ("--resume", "--set=training.updates=310", "--threads", 1)
    resumed = call("train", golden / "store", golden / "run", *more)
    assert resumed.code == 0, resumed.err
    after = load_state(golden / "run" / "checkpoints" / "update-000000310")
    assert (before.update, after.update) == (300, 310)
    assert after.measured.nats_per_token < 1.1 * before.measured.nats_per_token


def test_there_is_a_run_of_every_format():
    assert [path.name for path in RUNS] == [f"format-{n}" for n in range(1, FORMAT_VERSION + 1)]
