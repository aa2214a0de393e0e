"""Trainings into run directories that a test stops, and hashes of what they leave behind."""

import hashlib
import json
import os
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cli.runs.config import resolve
from cli.runs.directory import RunDirectory
from cli.runs.history import Sample
from cli.runs.training import Outcome, train_run
from data.token_store import TokenStore
from seq2seq.training.events import Finished, TrainingState, Update, Validation
from seq2seq.training.loop import fit

Event = Update | Validation
MODEL = {
    "cell": "lstm",
    "embedding_size": 6,
    "encoder_size": 4,
    "decoder_size": 8,
    "attention_size": 5,
    "embedding_dropout": 0.2,
    "dropout": 0.3,
}
TRAINING = {
    "updates": 20,
    "batch_tokens": 170,
    "learning_rate": 1e-2,
    "warmup": 4,
    "validate_every": 6,
    "metric": "perplexity",
    "patience": 0,
    "log_every": 1,
}
SEARCH = {"max_length": 16}  # so little trained, a model writes as long as it may


class Crash(BaseException):
    """End as a killed process does: nothing is saved."""


class Silent:
    """A reporter that shows nothing and calls `on` with every event."""

    def __init__(self, on: Callable[[Event], None] = lambda event: None) -> None:
        self.on = on
        self.events: list[Event | Finished] = []
        self.messages: list[str] = []
        self.model: nn.Module | None = None
        self.began: TrainingState | None = None

    def start(self, model: nn.Module, state: TrainingState) -> None:
        self.model, self.began = model, state

    def update(self, event: Update) -> None:
        self.events.append(event)
        self.on(event)

    def validation(self, event: Validation, samples: Sequence[Sample]) -> None:
        self.events.append(event)
        self.on(event)

    def message(self, line: str) -> None:
        self.messages.append(line)

    def finished(self, event: Finished) -> None:
        self.events.append(event)

    def close(self) -> None:
        pass


def new_run(path: Path, store: TokenStore, **sections: dict[str, Any]) -> RunDirectory:
    config = resolve(
        {"data": store.meta["config"]},
        {"model": MODEL, "training": TRAINING, "search": SEARCH},
        sections,
    )
    return RunDirectory.create(path, config, store)


def train(
    run: RunDirectory, store: TokenStore, on: Callable[[Event], None] = lambda event: None
) -> tuple[Outcome, Silent]:
    """Train as a new process would: the run is opened again, and torch's seed is random."""
    torch.manual_seed(random.SystemRandom().getrandbits(60))
    reporter = Silent(on)
    return train_run(RunDirectory.open(run.path), store, device="cpu", reporter=reporter), reporter


def fit_timed_by(seconds: float) -> Callable[..., Iterator[Event | Finished]]:
    """`fit`, in which every update and every validation takes so many seconds by its clock."""
    calls = count()
    return partial(fit, clock=lambda: next(calls) * seconds)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def remains(run: RunDirectory) -> dict[str, str]:
    """Hashes of all that must be the same when a run is repeated."""
    last, best = run.checkpoint("last"), run.checkpoint("best")
    found = {
        f"{name}/{part}": hashlib.sha256((path / part).read_bytes()).hexdigest()
        for name, path in (("last", last), ("best", best))
        for part in ("model.safetensors", "optimizer.safetensors")
        if (path / part).exists()  # an average has no optimizer
    }
    state = json.loads((last / "state.json").read_text())
    for clock in ("seconds", "processor_seconds", "validated_at", "validation_seconds"):
        state.pop(clock, None)
    for path in (run.metrics, run.samples):
        found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found | {"state": json.dumps(state, sort_keys=True)}
