"""Checkpoints: what is saved is what is loaded, and damage to any file is noticed."""

import hashlib
import json
import os
import random
import shutil
import struct
from dataclasses import replace

import pytest
import torch
from tiny import Kind, padded, redraw, tiny_model

from seq2seq.batch import BatchPosition
from seq2seq.checkpoints.checkpoint import MANIFEST, load_average, load_state, verify
from seq2seq.checkpoints.folder import (
    averaged_updates,
    end_average,
    kept_checkpoints,
    newest_whole,
    point,
    pointed,
    prune,
    save_average,
    save_checkpoint,
)
from seq2seq.config import TrainingConfig
from seq2seq.errors import CheckpointError
from seq2seq.training.events import TrainingState, ValidationScores
from seq2seq.training.losses import batch_loss
from seq2seq.training.optimization import build_optimizer

FILES = ["model.safetensors", "optimizer.safetensors", "state.json", MANIFEST]
STATE = TrainingState(
    update=7,
    position=BatchPosition(2, 3),
    seconds=1.25,
    best_update=5,
    best_nats=0.1 + 0.2,
    stale=1,
    best_score=41.5,
    validated=6,
    measured=ValidationScores(1.5, bleu=30.25, length_ratio=0.9),
)
BATCH = padded([([5, 6], [7]), ([8], [9, 10])])


def trained(*, tie: str = "all"):
    """A model and its optimizer after two steps."""
    model = tiny_model(Kind("luong"), tie_embeddings=tie, readout_size=5, dtype=torch.float32)
    optimizer = build_optimizer(model, TrainingConfig())
    for _ in range(2):
        step(model, optimizer)
    return model, optimizer


def step(model, optimizer) -> None:
    optimizer.zero_grad()
    batch_loss(model, BATCH).nll.backward()
    optimizer.step()


def weights(model) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def assert_equal(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture
def saved(tmp_path):
    return save_checkpoint(tmp_path, *trained(), STATE)


@pytest.mark.parametrize("tie", ["none", "decoder", "all"])
def test_a_loaded_checkpoint_trains_on_like_the_original(tmp_path, tie):
    model, optimizer = trained(tie=tie)
    path = save_checkpoint(tmp_path, model, optimizer, STATE)
    other, _ = trained(tie=tie)
    redraw(other, seed=9)
    other_optimizer = build_optimizer(other, TrainingConfig())
    verify(path).load_weights(other)
    verify(path).load_moments(other, other_optimizer)
    assert load_state(path) == STATE
    assert isinstance(load_state(path).position, BatchPosition)
    assert_equal(weights(model), weights(other))
    for each in ((model, optimizer), (other, other_optimizer)):
        step(*each)
    assert_equal(weights(model), weights(other))


def test_the_state_of_a_new_run_is_saved_and_loaded(tmp_path):
    model = tiny_model(Kind("luong"))
    path = save_checkpoint(
        tmp_path, model, build_optimizer(model, TrainingConfig()), TrainingState()
    )
    assert load_state(path) == TrainingState()
    verify(path).load_moments(model, build_optimizer(model, TrainingConfig()))


def test_whoever_may_read_the_state_may_read_the_weights(saved):
    assert len({(saved / name).stat().st_mode for name in FILES}) == 1


def test_tied_weights_are_saved_once(tmp_path):
    model, optimizer = trained(tie="all")
    path = save_checkpoint(tmp_path, model, optimizer, STATE)
    header = (path / "model.safetensors").read_bytes()
    size = struct.unpack("<Q", header[:8])[0]
    names = set(json.loads(header[8 : 8 + size])) - {"__metadata__"}
    assert names == set(dict(model.named_parameters()))
    assert not {"output.vocabulary.weight", "decoder.embedding.weight"} & names


def test_the_same_state_gives_the_same_bytes(tmp_path):
    paths = [save_checkpoint(tmp_path / name, *trained(), STATE) for name in ("a", "b")]
    for file in FILES:
        assert (paths[0] / file).read_bytes() == (paths[1] / file).read_bytes()


@pytest.mark.parametrize("file", FILES)
def test_no_flipped_bit_goes_unnoticed(saved, file):
    whole, rng = (saved / file).read_bytes(), random.Random(file)
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        (saved / file).write_bytes(damaged)
        with pytest.raises(CheckpointError):
            verify(saved)
    (saved / file).write_bytes(whole)
    verify(saved)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("left", [0, 0.5, -1])
def test_a_file_cut_short_is_refused(saved, file, left):
    whole = (saved / file).read_bytes()
    keep = len(whole) - 1 if left == -1 else int(left * len(whole))
    (saved / file).write_bytes(whole[:keep])
    for load in (verify, load_state, lambda path: verify(path).load_weights(trained()[0])):
        with pytest.raises(CheckpointError) as caught:
            load(saved)
        assert caught.value.hint


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_refused(saved, file):
    (saved / file).unlink()
    with pytest.raises(CheckpointError):
        load_state(saved)


@pytest.mark.parametrize("file", FILES)
def test_a_directory_instead_of_a_file_is_refused(saved, file):
    (saved / file).unlink()
    (saved / file).mkdir()
    with pytest.raises(CheckpointError):
        load_state(saved)


def test_files_of_another_checkpoint_are_refused(tmp_path, saved):
    model, optimizer = trained()
    step(model, optimizer)
    other = save_checkpoint(tmp_path / "other", model, optimizer, STATE)
    shutil.copy(other / "model.safetensors", saved)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged"):
        verify(saved)


@pytest.mark.parametrize("manifest", ["[]", "7", "null", '{"format_version": 1}', '"text"', "\xff"])
def test_other_json_instead_of_a_manifest_is_refused(saved, manifest):
    (saved / MANIFEST).write_bytes(manifest.encode("latin-1"))
    with pytest.raises(CheckpointError):
        verify(saved)


def test_another_format_version_is_refused(saved):
    manifest = json.loads((saved / MANIFEST).read_text())
    del manifest["manifest_sha256"]
    (saved / MANIFEST).write_text(json.dumps(manifest | {"format_version": 2}))
    with pytest.raises(CheckpointError, match="format version 2, this program reads 1"):
        load_state(saved)


def write_manifest(path) -> None:
    """A manifest with the hashes of the files as they are, as an attacker would write it."""
    hashes = {f: hashlib.sha256((path / f).read_bytes()).hexdigest() for f in FILES[:3]}
    (path / MANIFEST).write_text(json.dumps({"format_version": 1, "sha256": hashes}) + "\n")


PICKLE = b"cos\nsystem\n(S'touch %s'\ntR."  # runs a command when it is unpickled


@pytest.mark.parametrize("file", FILES[:3])
def test_a_pickle_is_refused_and_not_executed(saved, tmp_path, file):
    marker = tmp_path / "marker"
    (saved / file).write_bytes(PICKLE % str(marker).encode())
    write_manifest(saved)
    model, optimizer = trained()
    with pytest.raises(CheckpointError) as caught:
        verify(saved).load_weights(model)
        verify(saved).load_moments(model, optimizer)
        load_state(saved)
    assert caught.value.hint
    assert not marker.exists()


@pytest.mark.parametrize("size", [0, 2**63, 100_000_000, 5])
def test_a_header_with_a_wrong_size_is_refused(saved, size):
    (saved / "model.safetensors").write_bytes(struct.pack("<Q", size) + b'{"a":')
    write_manifest(saved)
    with pytest.raises(CheckpointError):
        verify(saved).load_weights(trained()[0])


@pytest.mark.parametrize("state", ["{}", "[]", '{"update": 1, "spy": 2}', '{"position": 3}'])
def test_a_state_with_invalid_values_is_refused(saved, state):
    (saved / "state.json").write_text(state)
    write_manifest(saved)
    with pytest.raises(CheckpointError):
        load_state(saved)


@pytest.mark.parametrize("other", [{"decoder_layers": 2}, {"decoder_size": 8}, {"score": "concat"}])
def test_weights_of_another_model_are_refused(saved, other):
    kind = Kind("luong", other.pop("score", "general"))
    model = tiny_model(kind, tie_embeddings="all", readout_size=5, **other)
    before = weights(model)
    with pytest.raises(CheckpointError, match="another model than its configuration"):
        verify(saved).load_weights(model)
    assert_equal(weights(model), before)


def test_a_failed_save_leaves_no_files(tmp_path, monkeypatch):
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("seq2seq.checkpoints.checkpoint.write_json", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path, *trained(), STATE)
    assert not list(tmp_path.iterdir())


# Averages


def measured(nats: float, **scores: float) -> TrainingState:
    return TrainingState(measured=ValidationScores(nats, **scores))


def checkpoints_of(folder, *states: TrainingState) -> list:
    """Checkpoints of updates 1, 2, ... with these states."""
    model, optimizer = trained()
    return [
        save_checkpoint(folder, model, optimizer, replace(state, update=number))
        for number, state in enumerate(states, start=1)
    ]


def test_an_average_is_the_mean_in_float64(tmp_path):
    paths, originals = [], []
    for number in range(1, 4):
        model, optimizer = trained()
        redraw(model, seed=number, spread=10.0**number)
        paths.append(save_checkpoint(tmp_path, model, optimizer, TrainingState(update=number)))
        originals.append(weights(model))
    load_average([verify(path) for path in paths], model)
    for name, mean in weights(model).items():
        exact = sum(each[name].double() for each in originals) / 3
        assert torch.equal(mean, exact.float())
    load_average([verify(paths[0])], model)
    assert_equal(weights(model), originals[0])


def test_a_saved_average_is_verified_and_cannot_be_resumed_from(tmp_path):
    model, optimizer = trained()
    path = save_average(tmp_path, model, STATE, updates=[3, 7], metric="perplexity")
    assert averaged_updates(tmp_path) == [3, 7]
    other = trained()[0]
    redraw(other, seed=4)
    verify(path).load_weights(other)
    assert_equal(weights(other), weights(model))
    assert load_state(path) == STATE
    with pytest.raises(CheckpointError, match=r"has no optimizer\.safetensors"):
        verify(path).load_moments(model, optimizer)
    (path / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="is damaged"):
        averaged_updates(tmp_path)


def test_the_best_and_the_last_are_chosen_by_their_scores(tmp_path):
    paths = checkpoints_of(
        tmp_path,
        *(measured(3.0, bleu=9.0), measured(1.0, bleu=5.0), TrainingState()),
        *(measured(2.0, bleu=5.0), measured(4.0, bleu=0.0)),
    )
    cases = {
        ("best", "perplexity", 2): [2, 4],
        ("best", "bleu", 2): [1, 2],
        ("best", "bleu", 3): [1, 2, 4],
        ("last", "bleu", 3): [2, 4, 5],
        ("last", "perplexity", 9): [1, 2, 4, 5],
    }
    for (by, metric, count), updates in cases.items():
        found = kept_checkpoints(tmp_path, by=by, count=count, metric=metric)
        assert found == [paths[update - 1] for update in updates]


def test_pruning_keeps_the_given_numbers_of_best_and_last(tmp_path):
    paths = checkpoints_of(tmp_path, *(measured(n) for n in (5.0, 1.0, 2.0, 3.0, 4.0, 6.0)))
    point(tmp_path, "best", paths[1])
    point(tmp_path, "last", paths[5])
    prune(tmp_path, keep_best=3, keep_last=2)
    assert sorted(tmp_path.glob("update-*")) == [paths[i] for i in (1, 2, 3, 4, 5)]
    prune(tmp_path, keep_best=2)
    assert sorted(tmp_path.glob("update-*")) == [paths[i] for i in (1, 2, 5)]


@pytest.mark.parametrize("lost", [False, True])
def test_resuming_removes_the_average(tmp_path, lost):
    """`best` names the best single checkpoint or, where it is lost, the best one that is left."""
    paths = checkpoints_of(tmp_path, *(measured(nats) for nats in (2.5, 2.0, 4.0, 3.0)))
    state = TrainingState(update=4, best_update=1)
    average = save_average(tmp_path, trained()[0], state, updates=[1, 4], metric="perplexity")
    point(tmp_path, "best", average)
    if lost:
        shutil.rmtree(paths[0])
    for _ in range(2):
        end_average(tmp_path, state, metric="perplexity")
        assert pointed(tmp_path, "best") == paths[1 if lost else 0]
        assert averaged_updates(tmp_path) == []


# Pointers


def numbered(folder, *numbers: int) -> list:
    model, optimizer = trained()
    return [save_checkpoint(folder, model, optimizer, TrainingState(update=n)) for n in numbers]


def test_pruning_keeps_best_and_last(tmp_path):
    paths = numbered(tmp_path, 1, 2, 3, 4)
    point(tmp_path, "best", paths[1])
    point(tmp_path, "last", paths[3])
    prune(tmp_path)
    assert sorted(tmp_path.glob("update-*")) == [paths[1], paths[3]]
    assert pointed(tmp_path, "best") == paths[1] and pointed(tmp_path, "last") == paths[3]
    assert pointed(tmp_path, paths[3].name) == paths[3]


def test_partial_checkpoints_of_a_crash_are_ignored_and_removed(tmp_path):
    (path,) = numbered(tmp_path, 1)
    partial = tmp_path / f".update-000000002.{os.getpid() + 1}.partial"
    partial.mkdir()
    (partial / "model.safetensors").write_bytes(b"half")
    (tmp_path / "update-000000003").mkdir()
    point(tmp_path, "last", path)
    point(tmp_path, "best", path)
    (path_three,) = numbered(tmp_path, 3)  # replaces the empty one
    verify(path_three)
    prune(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "best",
        "last",
        path.name,
        path_three.name,
    ]


def test_a_checkpoint_that_a_pointer_names_is_never_replaced(tmp_path):
    (path,) = numbered(tmp_path, 5)
    point(tmp_path, "last", path)
    (again,) = numbered(tmp_path, 5)
    assert again != path
    verify(path)
    verify(again)
    point(tmp_path, "last", again)
    prune(tmp_path)
    assert sorted(tmp_path.glob("update-*")) == [path, again]  # one to fall back on


@pytest.mark.parametrize("name", ["../elsewhere", "/", "", ".", "update-000000009", "\0"])
def test_a_pointer_out_of_its_folder_names_nothing(tmp_path, name):
    folder = tmp_path / "checkpoints"
    numbered(folder, 1)
    (tmp_path / "elsewhere").mkdir()
    (folder / "last").write_text(name + "\n")
    assert pointed(folder, "last") is None
    assert pointed(folder, "best") is None


# The newest whole checkpoint


def test_whole_checkpoints_are_found_from_the_newest_on_and_the_average_last(tmp_path):
    paths = numbered(tmp_path, 1, 2, 10)
    state = TrainingState(update=10)
    average = save_average(tmp_path, trained()[0], state, updates=[2, 10], metric="perplexity")
    assert [each.path for each in newest_whole(tmp_path)] == [*reversed(paths), average]
    point(tmp_path, "best", paths[0])
    point(tmp_path, "last", paths[1])
    found = [each.path for each in newest_whole(tmp_path, first=["best", "last"])]
    assert found == [paths[0], paths[1], paths[2], average]


def test_damaged_checkpoints_are_passed_over_and_reported(tmp_path):
    paths = numbered(tmp_path, 1, 2, 3)
    (paths[2] / "state.json").unlink()
    point(tmp_path, "last", paths[2])
    damaged = {}
    found = list(newest_whole(tmp_path, first=["last"], on_damage=damaged.__setitem__))
    assert [each.path for each in found] == [paths[1], paths[0]]
    assert list(damaged) == [paths[2]] and "is damaged" in damaged[paths[2]].message
    assert list(newest_whole(tmp_path / "none")) == []
