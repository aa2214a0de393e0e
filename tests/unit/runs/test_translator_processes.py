"""Several processes beside one: the same translations in order, errors, and bounded memory."""

import os
import signal
from collections.abc import Iterator
from multiprocessing.reduction import ForkingPickler

import pytest
import torch
from program import forking
from reruns import new_run, train
from tiny import corpus_lines

import cli.runs.translator_processes
from cli.runs.chunks import fixed_chunks
from cli.runs.translator import Translator
from cli.runs.translator_processes import TranslatorProcesses, devices_of
from data.corpus import SentencePair
from data.token_store import TokenStore
from seq2seq.errors import ResourceError

LINES = [source for source, _ in corpus_lines(11, seed=5)] + ["", "ba"]


@pytest.fixture(scope="module")
def translator(tmp_path_factory, store_path) -> Translator:
    store = TokenStore.open(store_path)
    run = new_run(tmp_path_factory.mktemp("runs") / "run", store, training={"updates": 8})
    train(run, store)
    return Translator.load(run.path, search={"beam": 2}, device="cpu", threads=1)


@pytest.fixture(scope="module")
def processes(translator) -> Iterator[TranslatorProcesses]:
    """Two processes, which are forked: starting them anew would take seconds."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cli.runs.translator_processes, "get_context", forking)
        started = TranslatorProcesses(translator, 2)
    with started:
        yield started
    ends = {worker.process.exitcode for worker in started._workers}
    assert ends <= {-signal.SIGTERM, -signal.SIGKILL}  # one is killed in the last test


def test_two_processes_translate_as_one_does(translator, processes):
    taken = []

    def chunks():
        for chunk in fixed_chunks(iter(LINES), size=2):
            taken.append(chunk)
            yield chunk

    expected = translator.translate(LINES, n_best=2)
    found = []
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


def test_what_a_process_begins_with_can_be_sent_to_it(translator):
    assert ForkingPickler.loads(ForkingPickler.dumps(translator.origin)) == translator.origin


def test_two_processes_score_pairs_as_one_does(translator, processes):
    pairs = [SentencePair(*pair) for pair in corpus_lines(7, seed=6)]
    in_twos = list(fixed_chunks(iter(pairs), size=2))
    scored = list(processes.score_pairs(in_twos))
    assert scored == [translator.score_pairs(chunk) for chunk in in_twos]


def test_a_killed_process_is_reported(processes):
    results = processes.translate([["ba"]] * 9)
    next(results)
    os.kill(processes._workers[0].process.pid, signal.SIGKILL)
    with pytest.raises(ResourceError, match="a worker process was killed"):
        list(results)


def test_processes_take_the_gpus_in_turn(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert devices_of("cpu", 2) == ["cpu", "cpu"]
    assert devices_of("cuda", 4) == ["cuda:0", "cuda:1", "cuda:2", "cuda:0"]
    assert devices_of("cuda:2", 2) == ["cuda:2", "cuda:0"]
