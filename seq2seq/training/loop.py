"""The training loop: it reports events; saving, printing and stopping are the caller's."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch.nn.utils import clip_grad_norm_

from seq2seq.batch import Batch
from seq2seq.config import TrainingConfig
from seq2seq.errors import DivergenceError
from seq2seq.kernels.precision import autocast_to, compute_dtype
from seq2seq.model import EncoderDecoder
from seq2seq.system.out_of_memory import explain_out_of_memory
from seq2seq.system.streams import stream_seed
from seq2seq.training.accumulation import build_forward_backward, eager_forward_backward
from seq2seq.training.events import (
    METRIC_NAMES,
    Finished,
    TrainingState,
    Update,
    Validation,
    ValidationScores,
)
from seq2seq.training.moving_average import MovingAverage
from seq2seq.training.optimization import set_learning_rate
from seq2seq.training.ranking import ranked
from seq2seq.training.ranks import ONE_RANK, Ranks, refuse_unequal_weights
from seq2seq.training.schedule import validation_due
from seq2seq.training.scheduled_sampling import sample_decoder_input, sampling_generator
from seq2seq.training.stopwatch import Part, untimed

HOPELESS = 1000.0  # nats per token; a fresh model has the logarithm of its vocabulary, about 9


def fit(
    model: EncoderDecoder,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[Batch],
    validate: Callable[[], ValidationScores],
    config: TrainingConfig,
    *,
    state: TrainingState,
    average: MovingAverage | None = None,
    restore_best: Callable[[], None] | None = None,
    part: Part = untimed,
    device: str = "cpu",
    ranks: Ranks = ONE_RANK,
    clock: Callable[[], float] = time.monotonic,
    processor_clock: Callable[[], float] = time.process_time,
) -> Iterator[Update | Validation | Finished]:
    """Train from `state` until updates, minutes or patience run out, and report each event.

    `batches` is endless and begins at `state.position`; `validate` draws no random numbers, and
    scores the weights of `average` where there is one. After each event model, optimizer, average
    and `event.state` are consistent and may be saved. `restore_best` loads model, optimizer and
    average as they were at the best validation so far. `part` times the parts of an update.
    `ranks` are the processes that train this model; all iterate over the same batches, and each
    reports the same events.

    Raises DivergenceError before the optimizer step for a loss or gradient that is not finite, and
    for a hopeless loss: with clipped gradients and bounded states a run can be lost for good and
    stay finite.
    """
    restarts = config.decay == "plateau" and config.plateau_restart
    if restarts and restore_best is None:
        raise ValueError("a restart on a plateau needs `restore_best`")
    timed = _timer(state, ranks, clock, processor_clock)
    dtype = compute_dtype(config.precision, device)
    forward_backward = build_forward_backward(model, config, device=device, dtype=dtype, part=part)
    while True:
        reason = stop_reason(state, config)
        due = reason or validation_due(state, config)
        if due and state.validated < state.update:
            with part("validation"), average.swapped_in() if average else nullcontext():
                refuse_non_finite_weights(model, state)
                refuse_unequal_weights(model, ranks)
                scores = validate()
            validation = _validation(scores, state, config, is_last=bool(reason))
            state = timed(validation.state)
            took = state.seconds - validation.state.seconds
            state = replace(state, validated_at=state.seconds, validation_seconds=took)
            leaves_best = validation.reduced and not validation.improved
            if leaves_best and restarts and restore_best is not None:
                restore_best()
                state = replace(state, measured=None)  # the scores are those of other weights
            yield replace(validation, state=state)
            reason = reason or stop_reason(state, config)
        if reason:
            yield Finished(state, reason)
            return

        number, progress = state.update + 1, share_done(state, config)
        with part("data"):
            group = [next(batches) for _ in range(config.accumulate)]
            shares = [ranks.share(batch) for batch in group]
            tokens = sum(batch.target_tokens for batch in group)
        if probability := config.scheduled_sampling * progress:
            rng = sampling_generator(config.seed, number)
            with part("scheduled sampling"), autocast_to(dtype, device):
                shares = [
                    sample_decoder_input(model, b.to(device), probability, rng) for b in shares
                ]

        rate = set_learning_rate(optimizer, config, number, progress, state.reductions)
        seed_update(config.seed, number, rank=ranks.rank)
        model.train()
        optimizer.zero_grad(set_to_none=device == "cpu")  # CUDA graphs need fixed addresses
        losses = []
        for batch in shares:
            with explain_out_of_memory(f"{batch.describe()}, at update {number:,}"):
                losses.append(forward_backward(batch, tokens))
        ranks.sum_gradients(model, losses, part)
        with part("optimizer"), explain_out_of_memory(f"the optimizer step of update {number:,}"):
            norm = clip_grad_norm_(model.parameters(), config.clip_norm)
            *sums, norm = torch.cat([*losses, norm.unsqueeze(0)]).tolist()  # the one wait for a GPU
            nll, objective = sum(sums[::2]) / tokens, sum(sums[1::2]) / tokens
            _refuse_divergence(nll, objective, norm, update=number, group=group)
            optimizer.step()
            if average:
                average.add(number)

        state = replace(
            state,
            update=number,
            position=group[-1].position.next(),
            tokens=state.tokens + tokens,
            measured=None,
        )
        state = timed(state)
        yield Update(
            state=state,
            batch=group[0].position,
            tokens=tokens,
            nats_per_token=nll,
            objective_per_token=objective,
            gradient_norm=norm,
            learning_rate=rate,
            progress=share_done(state, config),
        )


def check_memory(
    model: EncoderDecoder, batch: Batch, config: TrainingConfig, *, device: str = "cpu"
) -> None:
    """Run forward and backward pass on a batch and discard the gradient.

    So that too little memory is found out before training. Weights, the CPU's random state and mode
    are unchanged afterwards. Raises ResourceError where memory does not suffice.
    """
    rng_state, was_training = torch.get_rng_state(), model.training
    dtype = compute_dtype(config.precision, device)
    model.train()
    try:
        with explain_out_of_memory(f"the largest batch: {batch.describe()}"):
            eager_forward_backward(model, config, device=device, dtype=dtype)(batch, 1)
    finally:
        model.zero_grad(set_to_none=True)
        model.train(was_training)
        torch.set_rng_state(rng_state)


def refuse_non_finite_weights(model: EncoderDecoder, state: TrainingState) -> None:
    """Raise DivergenceError if a weight is not finite; called before weights are scored or saved.

    A finite gradient can still overflow the weights at a very high learning rate.
    """
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            raise DivergenceError(
                f"the weights {name} are not finite after update {state.update:,}",
                hint="lower training.learning_rate; the checkpoints from before are intact",
            )


def seed_update(seed: int, number: int, *, rank: int = 0) -> None:
    """Seed torch's generators for one update, so that a resumed update draws the same numbers.

    On a CPU every rank draws for the whole batch, from one stream; on GPUs each has its own.
    """
    torch.manual_seed(stream_seed("update", seed, number, bits=63))
    if rank:
        torch.cuda.manual_seed(stream_seed("update", seed, number, rank, bits=63))


def stop_reason(state: TrainingState, config: TrainingConfig) -> str | None:
    """Why training ends at this state, in words; None while it goes on."""
    if state.update > config.updates:
        return f"{state.update:,} updates are done, and training.updates is {config.updates:,}"
    if state.update == config.updates:
        return f"all {config.updates:,} updates are done"
    if config.minutes is not None and state.seconds >= 60 * config.minutes:
        return f"the {config.minutes:g} minutes are over"
    if config.patience and state.stale >= config.patience:
        return f"no better {METRIC_NAMES[config.metric]} in {state.stale} validations"
    if state.reductions >= config.plateau_times and _is_on_plateau(state, config):
        return (
            f"no better {METRIC_NAMES[config.metric]} in {state.waited} validations, after "
            f"{state.reductions} reductions of the learning rate"
        )
    return None


def _timer(
    state: TrainingState,
    ranks: Ranks,
    clock: Callable[[], float],
    processor_clock: Callable[[], float],
) -> Callable[[TrainingState], TrainingState]:
    """A function that gives a later state its seconds, counted on from those of `state`.

    Seconds are those of rank 0; processor seconds are of all ranks, and rank 0 adds the earlier
    ones.
    """
    earlier = state if ranks.is_first else TrainingState()
    began, spent = clock() - earlier.seconds, processor_clock() - earlier.processor_seconds

    def timed(state: TrainingState) -> TrainingState:
        times = ranks.gather_numbers(clock() - began, processor_clock() - spent)
        worked = sum(processor_seconds for _, processor_seconds in times)
        return replace(state, seconds=times[0][0], processor_seconds=worked)

    return timed


def _validation(
    scores: ValidationScores, state: TrainingState, config: TrainingConfig, *, is_last: bool
) -> Validation:
    """Update best scores, patience and plateaus after a validation."""
    nats = scores.nats_per_token
    if not math.isfinite(nats):
        raise DivergenceError(
            f"the validation loss is {nats} after update {state.update:,}",
            hint="lower training.learning_rate; the checkpoints from before are intact",
        )
    state = ranked(state, scores, config.metric)
    improved = state.best_update == state.update
    may_reduce = state.reductions < config.plateau_times and not is_last
    reduced = may_reduce and _is_on_plateau(state, config)
    if reduced:
        state = replace(state, waited=0, reductions=state.reductions + 1)
    return Validation(state, scores, improved, reduced)


def _is_on_plateau(state: TrainingState, config: TrainingConfig) -> bool:
    return config.decay == "plateau" and state.waited >= config.plateau_patience


def share_done(state: TrainingState, config: TrainingConfig) -> float:
    """The share of the run that is done, 0 to 1, by updates or minutes, whichever is further."""
    done = state.update / max(config.updates, 1)
    if config.minutes is not None:
        done = max(done, state.seconds / (60 * config.minutes))
    return min(done, 1.0)


def _refuse_divergence(
    nll: float, objective: float, norm: float, *, update: int, group: list[Batch]
) -> None:
    """Raise DivergenceError, with the corpus lines, unless loss and gradient norm are usable.

    nll, objective: a token; the objective has further terms, whose weights may be large
    """
    if not nll <= HOPELESS:  # True for NaN
        what = f"loss is {nll:g} nats a token"
    elif not math.isfinite(objective):
        what = f"objective is {objective}"
    elif not math.isfinite(norm):
        what = f"gradient norm is {norm}"
    else:
        return
    numbers = [line for batch in group for line in batch.lines]
    lines = ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
    first = group[0].position
    raise DivergenceError(
        f"the {what} at update {update:,}: epoch {first.epoch}, batch "
        f"{first.batch + 1}, corpus lines {lines}",
        hint="lower training.learning_rate, lengthen training.warmup, or look at those lines; "
        "the checkpoints from before are intact",
    )
