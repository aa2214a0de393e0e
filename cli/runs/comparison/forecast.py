"""How long a comparison will take: by its minutes, or by a few updates of each system, timed."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cli.runs.choice import UNLIMITED
from cli.runs.comparison.trial import Task, parameters_of, untrained_model
from cli.runs.config import RunConfig
from cli.runs.device import choose_device
from cli.runs.directory import RunDirectory
from cli.runs.lexicons import entries_of, learnt_table
from cli.runs.trials import failure_of
from data.batching import EpochPlan, token_budget_batches
from data.token_store import TokenStore
from seq2seq.batch import FIRST_BATCH
from seq2seq.checkpoints.checkpoint import read_state
from seq2seq.checkpoints.folder import pointed
from seq2seq.decoders.lexicon import Entries
from seq2seq.errors import CheckpointError, DivergenceError, ResourceError
from seq2seq.model import EncoderDecoder
from seq2seq.system.out_of_memory import explain_out_of_memory
from seq2seq.training.events import TrainingState, Update, ValidationScores
from seq2seq.training.loop import fit
from seq2seq.training.optimization import build_optimizer

START_SECONDS = 6.0
"""Of a process: imports, the model, the check of memory, translations of the test set."""
VALIDATION_SHARE = 0.05  # of the time of a training
TIMED_UPDATES = 4  # of which the first, which is slow, does not count


@dataclass(frozen=True)
class Cost:
    """The size of a system, and the time of its trials."""

    parameters: int
    seconds: float  # of a whole trial


def cost_of(config: RunConfig, store: TokenStore, *, device: str, threads: int) -> Cost:
    """The cost of one trial, by its minutes or by the time that a few updates take."""
    device = choose_device(device, threads)
    training = config.training
    parameters = parameters_of(config.model, store)
    if training.minutes is not None and training.updates >= UNLIMITED:
        return Cost(parameters, 60 * training.minutes + START_SECONDS)
    try:
        with explain_out_of_memory("the model"):
            entries = _entries(store.path) if config.model.lexicon else None
            model = untrained_model(config.model, store, entries).to(device)
            seconds = training.updates * _seconds_per_update(model, config, store, device)
    except (DivergenceError, ResourceError) as error:
        if failure_of(error) is None:
            raise
        seconds = 0.0  # its trials will fail in the same way, and that is their result
    seconds *= 1 + VALIDATION_SHARE
    if training.minutes is not None:
        seconds = min(seconds, 60 * training.minutes)
    return Cost(parameters, seconds + START_SECONDS)


@cache
def _entries(store: Path) -> Entries:
    """The entries of the lexicon that all systems on a store have."""
    return entries_of(learnt_table(TokenStore.open(store)))


def _seconds_per_update(
    model: EncoderDecoder, config: RunConfig, store: TokenStore, device: str
) -> float:
    few = {"updates": TIMED_UPDATES, "minutes": None, "validate_every": None, "average": "none"}
    few |= {"decay": "none", "patience": 0}  # a plateau would need validations
    training = config.training.model_copy(update=few)
    plan = EpochPlan(budget=training.batch_tokens, seed=training.seed)
    began, seconds, counted = time.monotonic(), 0.0, 0
    for event in fit(
        model,
        build_optimizer(model, training),
        token_budget_batches(store.split("train"), plan, start=FIRST_BATCH),
        lambda: ValidationScores(1.0),
        training,
        state=TrainingState(),
        device=device,
    ):
        if isinstance(event, Update):
            if event.state.update > 1:
                seconds, counted = seconds + time.monotonic() - began, counted + 1
            began = time.monotonic()
    return seconds / max(counted, 1)


def seconds_left(tasks: Sequence[Task], costs: dict[str, Cost], *, jobs: int) -> float:
    """Seconds until all tasks are done, if several trials at once are as fast as each alone.

    costs: by the name of a system
    """
    ends = [0.0] * jobs  # of each of the jobs
    for task in tasks:
        first = min(range(jobs), key=ends.__getitem__)
        ends[first] += costs[task.system].seconds * (1 - share_trained(task))
    return max(ends)


def time_left(share: float, *, before: float, elapsed: float, planned: float) -> float:
    """Seconds left: by the plan until a twentieth is done, then by the pace so far.

    share, before: of all training that is done, and that was done at the start, 0 to 1
    """
    if share - before > 0.05:
        return elapsed * (1 - share) / (share - before)
    return max(planned - elapsed, 0.0)


def share_trained(task: Task) -> float:
    """How much of a trial's training is in its last checkpoint, 0 to 1; 0 if that is damaged."""
    if not task.run.exists():
        return 0.0
    path = pointed(RunDirectory(task.run).checkpoints, "last")
    if path is None:
        return 0.0
    try:
        state, training = read_state(path), task.config.training
    except (CheckpointError, OSError):
        return 0.0  # training looks for one that is whole
    shares = [state.update / training.updates] if training.updates else [1.0]
    if training.minutes is not None:
        shares.append(state.seconds / (60 * training.minutes))
    return min(1.0, max(shares))
