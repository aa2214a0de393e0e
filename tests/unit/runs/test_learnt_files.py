"""What runs learn from their token store, once for several of them."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from reruns import new_run, train

from cli.runs import directory, learnt_links
from cli.runs.config import resolve
from cli.runs.directory import LEXICON, PIECE_LINKS, RunDirectory
from cli.runs.learnt_files import write_learnt
from cli.runs.learnt_links import learning_note
from cli.runs.lexicons import learnt_table

SETTINGS = {"model": {"lexicon": 7}, "training": {"guided_alignment": 0.5, "updates": 2}}


def test_what_is_learnt_for_several_runs_is_learnt_once_and_is_the_same(
    tmp_path, store, monkeypatch
):
    alone = new_run(tmp_path / "alone", store, **SETTINGS)
    train(alone, store)
    shared = tmp_path / "learnt"
    first = RunDirectory.create(tmp_path / "first", alone.config, store, shared=shared)
    for name in ("learnt_table", "learnt_links"):
        monkeypatch.setattr(directory, name, lambda _: pytest.fail("learnt twice"))
    second = RunDirectory.create(tmp_path / "second", alone.config, store, shared=shared)
    for name in (LEXICON, PIECE_LINKS):
        expected = (alone.path / name).read_bytes()
        assert [(run.path / name).read_bytes() for run in (first, second)] == [expected] * 2
    train(second, store)


def test_a_run_waits_for_what_another_one_is_learning(tmp_path, store):
    begun = list[int]()

    def learn(store):
        begun.append(1)
        time.sleep(0.2)
        return learnt_table(store)

    def write(number: int) -> bytes:
        path = tmp_path / str(number) / LEXICON
        path.parent.mkdir()
        write_learnt(path, learn, store, tmp_path / "learnt")
        return path.read_bytes()

    with ThreadPoolExecutor(3) as pool:
        assert len({*pool.map(write, range(3))}) == len(begun) == 1


def test_that_links_are_learnt_is_said_where_it_takes_long(store, monkeypatch):
    guided = resolve({"training": {"guided_alignment": 0.5}}).training
    assert learning_note(guided, store) is None
    monkeypatch.setattr(learnt_links, "LARGE", 10)
    assert learning_note(guided, store).startswith("learning links of ")
    assert learning_note(resolve().training, store) is None
