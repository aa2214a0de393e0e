"""Two ranks, in a process each, train as one process does."""

from typing import Any

import pytest
import torch
from fitting import endless, events_of
from forked_ranks import results_of_ranks
from tiny import LUONG, tiny_model

from seq2seq.config import TrainingConfig
from seq2seq.training import ranks as ranks_module
from seq2seq.training.events import Update
from seq2seq.training.ranks import Ranks

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


def work(ranks: Ranks) -> dict[str, Any]:
    return losses_and_weights(ranks) | {"gathered": ranks.gather([ranks.rank, "é", None])}


def test_two_ranks_train_as_one_process_does(tmp_path, monkeypatch):
    monkeypatch.setattr(ranks_module, "SMALL", 20)  # entries, so that some gradients are large
    first, second = results_of_ranks(work, tmp_path)
    assert first == second  # digit for digit, the seconds too
    assert first["gathered"] == [[0, "é", None], [1, "é", None]]
    alone = losses_and_weights(Ranks())
    for name, tolerance in (("losses", 1e-6), ("norms", 1e-5), ("weights", 1e-5)):
        assert first[name] == pytest.approx(alone[name], rel=tolerance, abs=tolerance)
