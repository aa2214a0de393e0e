"""What runs learn from their token store, once for several of them."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from reruns import Crash, new_run, remains, train

from cli.runs import directory, learnt_links
from cli.runs.config import RunConfig
from cli.runs.directory import LEXICON, PIECE_LINKS, RunDirectory
from cli.runs.learnt_files import write_learnt
from cli.runs.lexicons import learnt_table
from cli.runs.training_job import resume_job
from data.piece_links import PieceLinks

SETTINGS = {"model": {"lexicon": 7}, "training": {"guided_alignment": 0.5, "updates": 2}}


def test_what_is_learnt_for_several_runs_is_learnt_once_and_is_the_same(
    tmp_path, store, monkeypatch
):
    alone = new_run(tmp_path / "alone", store, **SETTINGS)
    shared = tmp_path / "learnt"
    first = RunDirectory.create(tmp_path / "first", alone.config, store, shared=shared)
    for name in ("learnt_table", "learnt_links"):
        monkeypatch.setattr(directory, name, lambda *_, **__: pytest.fail("learnt twice"))
    second = RunDirectory.create(tmp_path / "second", alone.config, store, shared=shared)
    for name in (LEXICON, PIECE_LINKS):
        expected = (alone.path / name).read_bytes()
        assert [(run.path / name).read_bytes() for run in (first, second)] == [expected] * 2
    train(alone, store)
    train(second, store)
    assert remains(alone) == remains(second)


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


def test_that_links_are_learnt_is_said_before_where_it_takes_long(tmp_path, store, monkeypatch):
    guided, plain = (
        new_run(tmp_path / name, store, **sections).config
        for name, sections in (("guided", SETTINGS), ("plain", {}))
    )
    shared, said = tmp_path / "learnt", list[str]()

    def create(name: str, config: RunConfig, shared: Path | None = None) -> list[str]:
        """What is said as a run is created."""
        said.clear()
        RunDirectory.create(tmp_path / name, config, store, shared=shared, note=said.append)
        return [line.partition(" of ")[0] for line in said]

    assert create("few pairs", guided) == []
    monkeypatch.setattr(learnt_links, "LARGE", 10)
    assert create("unguided", plain) == []
    assert create("alone", guided) == create("first", guided, shared) == ["learning links"]
    assert create("second", guided, shared) == []  # of which they are taken

    def killed(*_: object, **__: object) -> None:
        assert said, "learnt before it was said"
        raise Crash

    monkeypatch.setattr(PieceLinks, "learn", killed)
    before = {*tmp_path.iterdir()}
    with pytest.raises(Crash):
        create("killed", guided)
    assert {*tmp_path.iterdir()} == before


@pytest.mark.parametrize("begins", ["before its links are learnt", "unguided"])
def test_a_run_that_is_resumed_without_links_learns_them(
    tmp_path, store_path, store, monkeypatch, begins
):
    """One that an earlier version created, which learnt links later, and one guided from now on."""
    whole = new_run(tmp_path / "whole", store, **SETTINGS)
    run, settings = new_run(tmp_path / "run", store, **SETTINGS), {}
    (run.path / PIECE_LINKS).unlink()
    if begins == "unguided":
        training = run.config.training.model_copy(update={"guided_alignment": 0.0})
        run.write_config(run.config.model_copy(update={"training": training}))
        settings = {"training": {"guided_alignment": 0.5}}
    monkeypatch.setattr(learnt_links, "LARGE", 10)
    said = list[str]()
    job = resume_job(
        run.path, store_path, settings=settings, device="cpu", threads=None, note=said.append
    )
    assert len(said) == 1 and said[0].startswith("learning links of ")
    assert (run.path / PIECE_LINKS).read_bytes() == (whole.path / PIECE_LINKS).read_bytes()
    for each in (whole, job.run):
        train(each, store)
    assert remains(run) == remains(whole)
