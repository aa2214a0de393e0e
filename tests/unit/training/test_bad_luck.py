"""Memory that runs out, numbers that are none, and what a resumed run may change."""

import os
import signal

import pytest
import torch
from reruns import new_run, remains, train

import seq2seq.training.loop
from cli.runs.directory import RunDirectory
from cli.runs.interruption import Interrupted
from cli.runs.resumption import FREE, RECORDED, change, finished
from data.batching import epoch_plan, largest_batch, padded_lengths
from seq2seq.checkpoints.checkpoint import load_state, verify
from seq2seq.config import TrainingConfig
from seq2seq.errors import ConfigError, DivergenceError, ResourceError
from seq2seq.system.out_of_memory import explain_out_of_memory, is_out_of_memory
from seq2seq.training.loop import check_memory
from seq2seq.training.losses import batch_loss

WAYS = {
    "accumulate": {"accumulate": 2},
    "ema": {"ema": 0.9},
    "plateau": {"decay": "plateau", "plateau_patience": 1, "plateau_times": 9},
    "average": {"average": "best", "keep_best": 2},
}


# Memory


def test_the_largest_batch_is_the_one_with_most_tokens(store):
    split = store.split("train")
    plan = epoch_plan(split, budget=170, seed=1, epoch=2)
    lengths = padded_lengths(split)
    most = max(lengths[pairs].max() * len(pairs) for pairs in plan)
    batch = largest_batch(split, budget=170, seed=1, epoch=2)
    longest = max(int(batch.source_lengths.max()), batch.labels.shape[1])
    assert longest * len(batch.lines) == most


def test_trying_a_batch_changes_nothing(store, tmp_path):
    model = new_run(tmp_path / "run", store).build_model().eval()
    before = [parameter.clone() for parameter in model.parameters()]
    torch.manual_seed(3)
    chance = torch.get_rng_state()
    check_memory(model, largest_batch(store.split("train"), budget=170, seed=1, epoch=1),
              TrainingConfig())  # fmt: skip
    assert torch.equal(torch.get_rng_state(), chance)
    assert not model.training
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


ERRORS = [
    MemoryError(),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
    torch.OutOfMemoryError("CUDA out of memory"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    ("module", "call", "named"),
    [("gradients", 1, "largest"), ("gradients", 4, "update 3"), ("training", 1, "validation")],
    ids=["tried", "trained", "validated"],
)
def test_running_out_of_memory_names_the_batch_and_what_helps(
    store, tmp_path, monkeypatch, error, module, call, named
):
    calls = []

    def failing(*arguments, **options):
        calls.append(1)
        if len(calls) == call:
            raise error
        return batch_loss(*arguments, **options)

    monkeypatch.setattr(f"seq2seq.{module}.batch_loss", failing)
    run = new_run(tmp_path / "run", store)
    with pytest.raises(ResourceError, match=r"\d+ pairs, \d+ source by \d+ target") as caught:
        train(run, store)
    assert "training.batch_tokens" in caught.value.hint
    assert "training.accumulate" in caught.value.hint
    assert named in caught.value.message
    assert run.metrics.exists() == (named != "largest")
    assert not list(tmp_path.rglob("*.partial"))
    monkeypatch.undo()
    train(run, store)


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"), explain_out_of_memory("anything"):
        raise RuntimeError("shapes do not match")


# Divergence


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_no_checkpoint_has_a_number_that_is_none(store, tmp_path, monkeypatch, way, bad):
    """The gradient of update 15 is poisoned; the checkpoint of update 12 stays the last."""
    run = new_run(tmp_path / "run", store, training=WAYS[way])
    clip = seq2seq.training.loop.clip_grad_norm_
    calls = []

    def poisoned(parameters, limit):
        parameters = list(parameters)
        calls.append(1)
        if len(calls) == 15:
            parameters[0].grad[0, 0] = bad
        return clip(parameters, limit)

    monkeypatch.setattr("seq2seq.training.loop.clip_grad_norm_", poisoned)
    with pytest.raises(DivergenceError, match=r"at update 15: epoch \d+, batch \d+, corpus lines"):
        train(run, store)
    monkeypatch.undo()
    last = run.checkpoint("last")
    verify(last)
    assert load_state(last).update == 12
    assert not (run.checkpoints / "averaged").exists()
    train(run, store)
    unharmed = new_run(tmp_path / "unharmed", store, training=WAYS[way])
    train(unharmed, store)
    assert remains(run) == remains(unharmed)


def test_weights_that_are_not_finite_are_not_saved_by_a_signal(store, tmp_path):
    run = new_run(tmp_path / "run", store)
    reporter = {}

    def on(event):
        if event.state.update == 8:
            with torch.no_grad():
                next(iter(reporter["model"].parameters()))[-1, -1] = float("inf")
            os.kill(os.getpid(), signal.SIGINT)

    build = RunDirectory.build_model

    def built(self):
        reporter["model"] = build(self)
        return reporter["model"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunDirectory, "build_model", built)
        with pytest.raises(DivergenceError, match="not finite after update 8"):
            train(run, store, on)
    assert load_state(run.checkpoint("last")).update == 6
    with pytest.raises(Interrupted):
        train(run, store, lambda event: os.kill(os.getpid(), signal.SIGINT))


def test_an_average_that_is_no_number_is_no_checkpoint(store, tmp_path, monkeypatch):
    run = new_run(tmp_path / "run", store, training=WAYS["average"])

    def spoiled(paths, model):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(float("nan"))

    monkeypatch.setattr("seq2seq.checkpoints.checkpoint.load_average", spoiled)
    with pytest.raises(DivergenceError, match="averaged weights"):
        train(run, store)
    assert not (run.checkpoints / "averaged").exists()
    assert run.checkpoint("best").name.startswith("update-")


# What a resumed run may change


def test_every_setting_that_may_change_exists(store, tmp_path):
    values = new_run(tmp_path / "run", store).config.model_dump()
    for name in (*FREE, *RECORDED):
        section, _, field = name.partition(".")
        assert field in values[section]
    assert not {*FREE} & {*RECORDED}


def test_a_change_is_recorded_and_a_free_one_is_not(store, tmp_path):
    run = new_run(tmp_path / "run", store, training={"updates": 6})
    train(run, store)
    change(run, {"training": {"log_every": 3}}, {"training": {}})
    assert run.config.training.log_every == 3 and "changes" not in run.provenance
    change(run, {"training": {"learning_rate": 0.5}}, {"training": {"minutes": 2.0}})
    change(run, {"training": {"learning_rate": 0.5}}, {})  # no change
    told = RunDirectory.open(run.path).provenance["changes"]
    assert sorted((c["setting"], c["old"], c["new"], c["update"]) for c in told) == [
        ("training.learning_rate", 0.01, 0.5, 6),
        ("training.minutes", None, 2.0, 6),
    ]
    assert RunDirectory.open(run.path).config.training.learning_rate == 0.5


@pytest.mark.parametrize("section, name, value", [
    ("model", "decoder_size", 16), ("training", "seed", 9), ("training", "ema", 0.5),
    ("training", "metric", "bleu"), ("training", "curriculum", "length"), ("data", "seed", 9),
])  # fmt: skip
def test_what_makes_another_run_is_refused(store, tmp_path, section, name, value):
    run = new_run(tmp_path / "run", store)
    before = {p: p.read_bytes() for p in run.path.glob("*") if p.is_file()}
    with pytest.raises(ConfigError, match=rf"{section}\.{name} is .* cannot be changed"):
        change(run, {section: {name: value}, "training": {"updates": 3} | (
            {name: value} if section == "training" else {})}, {})  # fmt: skip
    assert {p: p.read_bytes() for p in run.path.glob("*") if p.is_file()} == before


def test_a_run_with_smaller_batches_goes_on(store, tmp_path):
    run = new_run(tmp_path / "run", store, training={"updates": 9, "validate_every": 3})
    train(run, store)
    change(run, {"training": {"updates": 15, "batch_tokens": 60, "accumulate": 2}}, {})
    outcome, _ = train(run, store)
    assert outcome.state.update == 15


def test_finished_means_with_report_and_average(store, tmp_path):
    run = new_run(tmp_path / "run", store, training=WAYS["average"])
    assert finished(run, {}, {}) is None
    train(run, store)
    assert finished(run, {}, {}) is None  # there is no report yet
    run.report.write_text("told")
    assert "all 20 updates are done" in str(finished(run, {}, {}))
    assert finished(run, {"training": {"updates": 30}}, {}) is None
    lines = run.metrics.read_text().splitlines(keepends=True)
    run.metrics.write_text("".join(lines[:-1]))
    assert finished(run, {}, {}) is None
