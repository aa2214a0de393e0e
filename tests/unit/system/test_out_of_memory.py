"""Memory that runs out names the batch and what helps."""

import pytest
import torch
from reruns import interrupt, new_run, train

from cli.runs.interruption import Interrupted
from data.batching import EpochPlan, largest_batch, padded_lengths, pair_groups
from seq2seq.config import TrainingConfig
from seq2seq.errors import ResourceError
from seq2seq.system.out_of_memory import explain_out_of_memory, is_out_of_memory
from seq2seq.training.loop import check_memory
from seq2seq.training.losses import batch_loss


def test_the_largest_batch_is_the_one_with_most_tokens(store):
    split = store.split("train")
    plan = EpochPlan(budget=170, seed=1)
    groups = pair_groups(split, plan, epoch=2)
    lengths = padded_lengths(split)
    most = max(lengths[pairs].max() * len(pairs) for pairs in groups)
    batch = largest_batch(split, plan, groups, epoch=2)
    longest = max(int(batch.source.lengths.max()), batch.labels.shape[1])
    assert longest * len(batch.lines) == most


def test_trying_a_batch_changes_nothing(store, tmp_path):
    model = new_run(tmp_path / "run", store).build_model().eval()
    before = [parameter.clone() for parameter in model.parameters()]
    torch.manual_seed(3)
    state = torch.get_rng_state()
    split, plan = store.split("train"), EpochPlan(budget=170, seed=1)
    groups = pair_groups(split, plan, epoch=1)
    check_memory(model, largest_batch(split, plan, groups, epoch=1), TrainingConfig())
    assert torch.equal(torch.get_rng_state(), state)
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
    [("accumulation", 1, "largest"), ("accumulation", 4, "update 3"), ("losses", 1, "validation")],
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

    monkeypatch.setattr(f"seq2seq.training.{module}.batch_loss", failing)
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


def test_the_largest_batch_is_tried_again_when_a_run_is_resumed(store, tmp_path, monkeypatch):
    run = new_run(tmp_path / "run", store)
    with pytest.raises(Interrupted):
        train(run, store, lambda event: interrupt() if event.state.update == 3 else None)

    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr("seq2seq.training.accumulation.batch_loss", full)
    with pytest.raises(ResourceError, match="the largest batch"):
        train(run, store)
