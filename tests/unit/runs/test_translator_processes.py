"""Several processes beside one: the same translations in order, errors, and bounded memory."""

import os
import signal

import pytest
from reruns import new_run, train
from tiny import corpus_lines

from cli.runs.chunks import fixed_chunks
from cli.runs.translator import Translator
from cli.runs.translator_processes import TranslatorProcesses
from data.token_store import TokenStore
from seq2seq.errors import ConfigError, ResourceError

LINES = [source for source, _ in corpus_lines(11, seed=5)] + ["", "ba"]


@pytest.fixture(scope="module")
def translator(tmp_path_factory, store_path) -> Translator:
    store = TokenStore.open(store_path)
    run = new_run(tmp_path_factory.mktemp("runs") / "run", store, training={"updates": 8})
    train(run, store)
    return Translator.load(run.path, search={"beam": 2}, device="cpu", threads=1)


def test_two_processes_translate_as_one_does(translator):
    taken = []

    def chunks():
        for chunk in fixed_chunks(iter(LINES), size=2):
            taken.append(chunk)
            yield chunk

    expected = translator.translate(LINES, n_best=2)
    found = []
    with TranslatorProcesses(translator, 2) as processes:
        for number, chunk in enumerate(processes.translate(chunks(), n_best=2), start=1):
            assert len(taken) <= number + 2 * 2  # chunks ahead
            found += chunk
        assert [each.source for each in found] == LINES
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.text == theirs.text and ours.alignment is None
            assert [c.score for c in ours.candidates] == pytest.approx(
                [c.score for c in theirs.candidates]
            )
        ((aligned,),) = processes.translate([["ba ce"]], alignments=True)
        assert len(aligned.alignment.weights) == len(aligned.candidates[0].pieces)
        with pytest.raises(IndexError):
            list(processes.translate([["ba"]], head=9))
        with pytest.raises(ZeroDivisionError):
            list(processes.translate([1 / 0] for _ in range(3)))
        assert len(list(processes.translate([["ba"], ["ce"]]))) == 2  # they go on after an error
    for worker in processes._workers:
        assert worker.process.exitcode == -signal.SIGTERM


def test_a_killed_process_is_reported(translator):
    with TranslatorProcesses(translator, 1) as processes:
        results = processes.translate([["ba"]] * 9)
        next(results)
        os.kill(processes._workers[0].process.pid, signal.SIGKILL)
        with pytest.raises(ResourceError, match="a worker process was killed"):
            list(results)


def test_processes_are_for_the_cpu(translator, monkeypatch):
    monkeypatch.setattr(translator, "_device", "cuda")
    with pytest.raises(ConfigError, match="--workers 3 is for the CPU, not for cuda"):
        TranslatorProcesses(translator, 3)
