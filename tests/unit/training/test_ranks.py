"""Several ranks in one process each: forked, connected by gloo over a file, and compared."""

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from fitting import endless, events_of
from tiny import LUONG, tiny_model

from seq2seq.config import TrainingConfig
from seq2seq.training import ranks as ranks_module
from seq2seq.training.events import Update
from seq2seq.training.ranks import ConnectedRanks, Ranks

CONFIG = TrainingConfig(
    precision="float32", updates=5, accumulate=2, learning_rate=0.01, clip_norm=0.5
)


def losses_and_weights(ranks: Ranks) -> dict[str, list[float]]:
    """Of a training with dropout; some batches have fewer rows than there are ranks."""
    model = tiny_model(LUONG[0], dtype=torch.float32, dropout=0.2, word_dropout=0.1)
    batches = (b for pair in zip(endless(), endless(sentences=1), strict=True) for b in pair)
    events = events_of(model, CONFIG, batches=batches, ranks=ranks)
    updates = [event for event in events if isinstance(event, Update)]
    return {
        "losses": [update.objective_per_token for update in updates],
        "norms": [update.gradient_norm for update in updates],
        "seconds": [update.state.seconds for update in updates],
        "weights": torch.cat([p.detach().flatten() for p in model.parameters()]).tolist(),
    }


def as_rank(rank: int, folder: Path) -> None:
    from torch import distributed

    distributed.init_process_group(
        "gloo",
        store=distributed.FileStore(str(folder / "store"), 2),
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=60),
    )
    ranks = ConnectedRanks(rank, 2)
    found = losses_and_weights(ranks) | {"gathered": ranks.gather([rank, "é", None])}
    (folder / f"{rank}.json").write_text(json.dumps(found))


@pytest.fixture
def forked_ranks(tmp_path, monkeypatch):
    """What two ranks found; forked, which costs no import."""
    monkeypatch.setattr(ranks_module, "SMALL", 20)  # entries, so that some gradients are large
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    children = []
    for rank in range(2):
        if not (child := os.fork()):
            try:
                as_rank(rank, tmp_path)
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    return [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]


def test_two_ranks_train_as_one_process_does(forked_ranks):
    first, second = forked_ranks
    assert first == second  # digit for digit, the seconds too
    assert first["gathered"] == [[0, "é", None], [1, "é", None]]
    alone = losses_and_weights(Ranks())
    for name, tolerance in (("losses", 1e-6), ("norms", 1e-5), ("weights", 1e-5)):
        assert first[name] == pytest.approx(alone[name], rel=tolerance, abs=tolerance)
