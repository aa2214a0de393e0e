"""After damage training resumes from the newest whole checkpoint, and all of it is reported."""

import json
import os
import shutil
from collections import namedtuple

import pytest
from program import call
from reruns import new_run, remains, train

from cli.runs.directory import RunDirectory
from data.piece_links import PieceLinks
from data.token_store import TokenStore
from seq2seq.checkpoints.checkpoint import load_state, verify
from seq2seq.checkpoints.folder import averaged_updates, point, pointed
from seq2seq.errors import CheckpointError, ResourceError

SETTINGS = {"learning_rate": 0.05}


def flip(path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def halve(path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES = {
    "a flipped bit in the weights": lambda last: flip(last / "model.safetensors"),
    "half of the moments": lambda last: halve(last / "optimizer.safetensors"),
    "no state": lambda last: (last / "state.json").unlink(),
    "no manifest": lambda last: (last / "MANIFEST.json").unlink(),
    "an empty folder": lambda last: [file.unlink() for file in last.iterdir()],
    "no folder": shutil.rmtree,
}
POINTERS = {
    "empty": b"",
    "dangling": b"update-000000099\n",
    "odd bytes": b"\xff\xfe\x00\n",
    "NUL": b"update-\x00\n",
    "too long": b"x" * 5000,
    "elsewhere": b"../../etc\n",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, store_path) -> RunDirectory:
    store = TokenStore.open(store_path)
    run = new_run(tmp_path_factory.mktemp("whole") / "run", store, training=SETTINGS)
    train(run, store)
    return run


@pytest.fixture
def run(whole, tmp_path) -> RunDirectory:
    """A finished run that a test may damage."""
    return RunDirectory.open(shutil.copytree(whole.path, tmp_path / "run"))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_last_checkpoint_is_renamed_and_the_one_before_is_used(run, whole, store, damage):
    last = run.checkpoint("last")
    DAMAGES[damage](last)
    left = {file.name: file.read_bytes() for file in last.iterdir()} if last.exists() else None
    outcome, reporter = train(run, store)
    assert 0 < reporter.began.update < outcome.state.update == 20
    assert remains(run) == remains(whole)
    messages = "\n".join(reporter.messages)
    assert "warning: " in messages and "going on from update-0000000" in messages
    if left is None:
        assert f"{run.checkpoints / 'last'} names no checkpoint that exists" in messages
        return
    aside = run.checkpoints / f"damaged-{last.name}"
    assert str(last) in messages and aside.name in messages
    assert {file.name: file.read_bytes() for file in aside.iterdir()} == left
    verify(run.checkpoint("last"))


def test_wrong_file_times_change_nothing(run, whole, store):
    """The newest is found by its update: file times may be of tomorrow, or of 1970."""
    checkpoints = sorted(run.checkpoints.glob("update-*"))
    for day, path in zip((2**31 + 86_400, 0), checkpoints, strict=True):  # in 2038, in 1970
        for file in (*path.iterdir(), path):
            os.utime(file, (day, day))
    damaged = run.checkpoint("last")
    assert damaged == checkpoints[-1]
    flip(damaged / "model.safetensors")
    outcome, reporter = train(run, store)
    assert reporter.began.update < outcome.state.update == 20
    assert remains(run) == remains(whole)


@pytest.mark.parametrize("content", POINTERS)
@pytest.mark.parametrize("name", ["last", "best"])
def test_a_pointer_that_names_nothing_is_repaired(run, whole, store, name, content):
    (run.checkpoints / name).write_bytes(POINTERS[content])
    assert pointed(run.checkpoints, name) is None
    outcome, reporter = train(run, store)
    assert f"{run.checkpoints / name} names no checkpoint that exists" in reporter.messages[0]
    assert not outcome.trained
    assert remains(run) == remains(whole)


@pytest.mark.parametrize("name", ["last", "best"])
def test_a_missing_pointer_is_repaired(run, whole, store, name):
    (run.checkpoints / name).unlink()
    train(run, store)
    assert remains(run) == remains(whole)


def test_a_run_whose_checkpoints_are_all_damaged_does_not_start_again(run, store):
    metrics = run.metrics.read_bytes()
    for path in run.checkpoints.glob("update-*"):
        flip(path / "model.safetensors")
    for _ in range(2):
        with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged") as caught:
            train(run, store)
        assert "no checkpoint of the run is whole" in caught.value.hint
    assert run.metrics.read_bytes() == metrics
    for path in run.checkpoints.glob("update-*"):
        shutil.rmtree(path)
    with pytest.raises(CheckpointError, match="names no checkpoint"):
        train(run, store)
    assert run.metrics.read_bytes() == metrics


def test_best_names_the_best_whole_checkpoint_after_damage(tmp_path, store):
    run = new_run(tmp_path / "run", store, training=SETTINGS | {"keep_best": 3})
    train(run, store)
    best, before = run.checkpoint("best"), remains(run)
    point(run.checkpoints, "best", run.checkpoints / "update-000000012")
    flip(run.checkpoint("best") / "model.safetensors")
    _, reporter = train(run, store)
    assert run.checkpoint("best") == best and remains(run) == before
    assert "update-000000012/model.safetensors is damaged" in "\n".join(reporter.messages)


def test_a_checkpoint_of_a_newer_version_is_not_treated_as_damaged(run, store):
    path = run.checkpoint("last") / "MANIFEST.json"
    manifest = json.loads(path.read_text())
    del manifest["manifest_sha256"]
    path.write_text(json.dumps(manifest | {"format_version": 2}) + "\n")
    with pytest.raises(CheckpointError, match="has format version 2"):
        train(run, store)
    assert not list(run.checkpoints.glob("damaged-*"))


def test_damage_to_checkpoints_kept_for_an_average_is_found_when_resuming(tmp_path, store):
    settings = SETTINGS | {"keep_last": 3, "average": "last"}
    run = new_run(tmp_path / "run", store, training=settings | {"updates": 18, "decay": "none"})
    train(run, store)
    damaged = run.checkpoints / "update-000000012"
    (damaged / "state.json").write_text("{}")
    longer = run.config.training.model_copy(update={"updates": 30})
    run.write_config(run.config.model_copy(update={"training": longer}))
    _, reporter = train(run, store)
    assert f"{damaged / 'state.json'} is damaged" in "\n".join(reporter.messages)
    assert averaged_updates(run.checkpoints) == [18, 24, 30]


def test_a_full_disk_while_writing_metrics_is_reported_and_loses_nothing(tmp_path, whole, store):
    run = new_run(tmp_path / "run", store, training=SETTINGS)
    run.metrics.symlink_to("/dev/full")
    with pytest.raises(ResourceError, match="No space left on device") as caught:
        train(run, store)
    assert "--resume" in caught.value.hint
    verify(run.checkpoint("last"))
    run.metrics.unlink()
    train(run, store)
    assert remains(run) == remains(whole)


def test_a_disk_that_is_full_as_links_are_learnt_leaves_no_run(tmp_path, store, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "links.safetensors")

    monkeypatch.setattr(PieceLinks, "write", full)
    with pytest.raises(ResourceError, match="run cannot be created: No space left on device"):
        new_run(tmp_path / "run", store, training={"guided_alignment": 0.5})
    assert not [*tmp_path.iterdir()]


def test_a_refused_resumption_removes_nothing(run, store):
    run.metrics.unlink()
    for path in run.checkpoints.glob("update-*"):
        flip(path / "model.safetensors")
    before = sorted(run.path.rglob("*"))
    result = call("train", store.path, run.path, "--resume")
    assert result.code == 4, result.err
    assert {*before} <= {*run.path.rglob("*")}


# Translating


def test_a_damaged_checkpoint_does_not_translate_and_a_whole_one_is_suggested(run):
    best = run.checkpoint("best")
    flip(best / "model.safetensors")
    result = call("translate", run.path, stdin=b"ba ce\n")
    assert result.code == 4 and not result.out
    assert f"error: {best / 'model.safetensors'} is damaged" in result.err
    (other,) = (path for path in run.checkpoints.glob("update-*") if path != best)
    offered = "last" if run.checkpoint("last") == other else other.name
    assert f"{other.name} is whole: use --checkpoint {offered}" in result.err
    assert len(call("translate", run.path, "--checkpoint", offered, stdin=b"ba ce\n").lines) == 1
    flip(other / "state.json")
    assert "no checkpoint of the run is whole" in call("translate", run.path, stdin=b"ba\n").err


@pytest.mark.parametrize("content", POINTERS)
def test_a_best_that_names_nothing_is_refused_and_the_others_are_listed(run, content):
    (run.checkpoints / "best").write_bytes(POINTERS[content])
    result = call("translate", run.path, stdin=b"ba ce\n")
    assert result.code == 4 and not result.out
    assert "has no checkpoint 'best'" in result.err and "there are last, update-" in result.err


# Before training


def test_the_first_weights_are_saved_before_anything_is_trained(tmp_path, store):
    run, seen = new_run(tmp_path / "run", store), []
    with pytest.raises(ZeroDivisionError):
        train(run, store, lambda event: seen.append(load_state(run.checkpoint("last"))) or 1 // 0)
    assert seen[0].update == 0
    assert pointed(run.checkpoints, "best") is None  # these cannot translate yet


def test_the_log_says_how_many_checkpoints_are_kept_and_their_size(tmp_path, store):
    run = new_run(tmp_path / "run", store, training={"keep_best": 2, "keep_last": 2, "ema": 0.9})
    _, reporter = train(run, store)
    assert reporter.messages[0].startswith("checkpoints: up to 5 kept, about ")
    announced = float(reporter.messages[0].split()[-3]) * 1e6
    size = sum(file.stat().st_size for file in run.checkpoint("last").iterdir())
    assert announced == pytest.approx(size, rel=0.2, abs=5e4)
    assert len(list(run.checkpoints.glob("update-*"))) <= 5


def test_two_checkpoints_exist_from_the_first_validation_on(tmp_path, store):
    run, counts = new_run(tmp_path / "run", store), []
    count = lambda event: counts.append(len(list(run.checkpoints.glob("update-*"))))  # noqa: E731
    train(run, store, count)
    assert counts[0] == 1 and set(counts[7:]) == {2}


@pytest.mark.parametrize(("free", "warning"), [(0, None), (10**6, "warning: "), (10**9, "")])
def test_a_disk_without_space_for_two_checkpoints_is_refused(
    tmp_path, store, monkeypatch, free, warning
):
    usage = namedtuple("usage", "total used free")(10**9, 0, free)
    monkeypatch.setattr("cli.runs.disk_space.shutil.disk_usage", lambda path: usage)
    run = new_run(tmp_path / "run", store, training={"updates": 1, "keep_last": 60})
    if warning is None:
        with pytest.raises(ResourceError, match="the first checkpoints need") as caught:
            train(run, store)
        assert "free space" in caught.value.hint
        assert not run.metrics.exists() and not list(run.checkpoints.iterdir())
        return
    _, reporter = train(run, store)
    said = [line for line in reporter.messages if "all checkpoints need" in line]
    assert bool(said) == bool(warning)
